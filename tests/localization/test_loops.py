"""Loop closures of a map, and the graphs they are written to."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from placememory import PlaceMemory, Pose
from placememory.errors import InputError, SettingError
from placememory.frames.pose import compose, inverse
from placememory.localization.loops import Loop, find_loops, graph_text
from placememory.memory import Place
from tests.conftest import make_card, make_descriptors, run_command


@pytest.fixture(scope="module")
def two(building, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with a mapping run and an evening run."""
    path = tmp_path_factory.mktemp("loops") / "two.memory"
    for run, poses in (
        (building.mapping, building.mapping_vertices),
        (building.query, building.query_vertices),
    ):
        run_command("build", path, run, "--poses", poses)
    return path


def test_loops_between_sessions_are_where_they_say(two: Path) -> None:
    with PlaceMemory.open(two, readonly=True) as memory:
        loops = find_loops(memory, verify=None)
        at = {place.id: place.pose for place in memory.places}
    between = [loop for loop in loops if loop.first[0] != loop.second[0]]
    assert len(between) > 10
    off, sigmas = [], []
    for loop in between:
        true = compose(inverse(at[loop.first]), at[loop.second])
        error = compose(inverse(loop.relative), true)
        off.append(np.hypot(error.x, error.y))
        seen = np.array([error.x, error.y, error.yaw])
        spread = loop.covariance[np.ix_([0, 1, 5], [0, 1, 5])]
        sigmas.append(seen @ np.linalg.solve(spread, seen))
    assert np.median(off) < 1.5
    assert np.mean(np.array(off) < 2.5) > 0.9
    assert np.mean(np.array(sigmas) < 14.2) > 0.8  # 99.7 % of a Gaussian's


def test_drift_between_the_passes_does_not_matter(two: Path) -> None:
    """The second session is moved and turned as a whole: the loops stay the same."""
    with PlaceMemory.open(two, readonly=True) as memory:
        rows = memory.rows
        away = Pose.from_yaw(100.0, -40.0, 1.0)
        moved = [
            place
            if place.session == "mapping"
            else Place(place.session, place.index, place.name, pose=compose(away, place.pose))
            for place in rows.places
        ]
        drifted = PlaceMemory.create(":memory:", encoder=memory.card)
        drifted.add(moved, rows.descriptors)
        kept = [loop for loop in find_loops(memory, verify=None) if loop.first[0] == "mapping"]
        found = [loop for loop in find_loops(drifted, verify=None) if loop.first[0] == "mapping"]
    same = {loop.second: loop for loop in found}
    both = [(loop, same[loop.second]) for loop in kept if loop.second in same]
    assert len(both) > 0.8 * len(kept) > 8
    for one, other in both:
        if one.first == other.first:
            assert one.relative.distance_to(other.relative) < 0.3


def test_a_graph_is_read_by_gtsam_as_it_was_meant(tmp_path: Path) -> None:
    gtsam = pytest.importorskip("gtsam", reason="gtsam is not installed")
    places = [Place("a", i, f"{i}", pose=Pose.from_yaw(2.0 * i, 1.0, 0.1 * i)) for i in range(3)]
    spread = np.diag([0.01, 0.04, 0.09, 0.001, 0.002, 0.003])
    spread[0, 5] = spread[5, 0] = 0.002
    loop = Loop(("a", 0), ("a", 2), Pose.from_yaw(0.5, -0.2, 0.3), spread, 0.9)
    file = tmp_path / "loops.txt"
    file.write_text(graph_text([loop], places, "gtsam"))
    graph, values = gtsam.load3D(str(file))
    assert values.size() == 3
    factor = graph.at(0)
    assert list(factor.keys()) == [0, 2]
    assert factor.measured().translation() == pytest.approx([0.5, -0.2, 0.0])
    assert factor.measured().rotation().yaw() == pytest.approx(0.3)
    covariance = np.linalg.inv(factor.noiseModel().information())
    order = [3, 4, 5, 0, 1, 2]  # of GTSAM: rotation, translation
    assert covariance == pytest.approx(spread[np.ix_(order, order)], abs=1e-9)
    assert values.atPose3(1).translation() == pytest.approx([2.0, 1.0, 0.0])


def test_g2o_has_the_information_of_a_quaternion() -> None:
    places = [Place("a", i, f"{i}", pose=Pose.from_yaw(i, 0.0, 0.0)) for i in range(2)]
    loop = Loop(("a", 0), ("a", 1), Pose.from_yaw(1.0, 0.0, 0.0), 0.01 * np.eye(6), 0.9)
    lines = graph_text([loop], places).splitlines()
    assert lines[1] == "VERTEX_SE3:QUAT 1 1 0 0 0 0 0 1"
    name, first, second, *numbers = lines[2].split()
    assert (name, first, second) == ("EDGE_SE3:QUAT", "0", "1")
    values = np.zeros((6, 6))
    values[np.triu_indices(6)] = [float(v) for v in numbers[7:]]
    assert values.diagonal() == pytest.approx([100, 100, 100, 400, 400, 400])


def test_what_has_no_poses_has_no_loops() -> None:
    memory = PlaceMemory.create(":memory:", encoder=make_card(16))
    memory.add([Place("a", i, f"{i}") for i in range(30)], make_descriptors(30, 16))
    with pytest.raises(InputError, match="no place has a pose with a rotation"):
        find_loops(memory)
    with pytest.raises(SettingError, match="format"):
        graph_text([], [], "toro")
    with pytest.raises(SettingError):
        find_loops(memory, apart=0.0)


def test_the_command(two: Path, tmp_path: Path) -> None:
    out = tmp_path / "loops.g2o"
    shown = run_command("loops", two, "--out", out, "--no-verify")
    assert "between sessions" in shown.err
    lines = out.read_text().splitlines()
    with (tmp_path / "loops.g2o.places.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(line.startswith("VERTEX") for line in lines) == len(rows)
    edges = [line.split() for line in lines if line.startswith("EDGE")]
    assert edges
    assert all(len(edge) == 3 + 7 + 21 for edge in edges)
