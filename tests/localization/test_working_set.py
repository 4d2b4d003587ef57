"""A localizer with some places at hand answers like one with the whole map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory import Frame, Localizer, Place, PlaceMemory, Pose
from placememory.errors import SettingError
from placememory.fusion import (
    Evidence,
    MapProfile,
    ObservationModel,
    Odometry,
    PlaceTable,
    Rest,
    create,
)
from placememory.localization.working_set import WorkingSet
from placememory.memory import Where
from tests.conftest import make_card

DIM, COUNT = 64, 1500
STEP = Odometry(1.0, 0.0, 0.0)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Descriptors of a walk: neighbours are alike."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(count + 2, DIM))
    found = steps[:-2] + steps[1:-1] + steps[2:]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def seen(place: int, noise: float = 0.08, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([place, seed])
    return rows(COUNT)[place] + noise * rng.normal(size=DIM).astype(np.float32)


def fill(memory: PlaceMemory, *, posed: bool = True) -> PlaceMemory:
    places = [
        Frame(f"{i}", "run", i, pose=Pose.from_yaw(i, 0.0, 0.0) if posed else None)
        for i in range(COUNT)
    ]
    memory.add(places, rows(COUNT))
    return memory


@pytest.fixture
def memory() -> PlaceMemory:
    return fill(PlaceMemory.create(":memory:", encoder=make_card(DIM)))


def walk(localizer: Localizer, places: range, odometry: Odometry | None = STEP) -> list:
    return [localizer.observe(odometry=odometry, descriptor=seen(i)) for i in places]


@pytest.mark.parametrize("posed", [True, False])
@pytest.mark.parametrize("odometry", [STEP, None])
def test_it_answers_like_the_whole_map(odometry: Odometry | None, posed: bool) -> None:
    memory = fill(PlaceMemory.create(":memory:", encoder=make_card(DIM)), posed=posed)
    whole, some = Localizer(memory), Localizer(memory, working=512)
    pairs = list(
        zip(
            walk(whole, range(900, 960), odometry),
            walk(some, range(900, 960), odometry),
            strict=True,
        )
    )
    assert len(some.places) <= 512
    assert sum(a.verdict == b.verdict for a, b in pairs) >= 55
    located = [(a, b) for a, b in pairs if a.verdict == b.verdict == "located"]
    assert len(located) > 40
    assert all(a.belief.best.place == b.belief.best.place for a, b in located)
    assert all(a.candidates == b.candidates for a, b in pairs)


def test_views_of_other_places_are_located_nowhere(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, working=512)
    for row in rows(60, seed=9):
        assert localizer.observe(odometry=STEP, descriptor=row).verdict != "located"


def test_another_session_at_the_same_spot_comes_along(memory: PlaceMemory) -> None:
    beside = [Frame(f"b{i}", "beside", i, pose=Pose.from_yaw(i, 0.5, 0.0)) for i in range(COUNT)]
    memory.add(beside, rows(COUNT, seed=5))
    localizer = Localizer(memory, working=512)
    walk(localizer, range(900, 915))
    there = {place.id for place in localizer.places}
    assert {("beside", i) for i in range(908, 918)} <= there


def test_a_map_that_changes_keeps_the_belief(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, working=512, refresh_every=0)
    assert walk(localizer, range(900, 920))[-1].verdict == "located"
    memory.add([Frame("new", "another", 0, pose=Pose(-50.0, 0.0))], rows(1, seed=3))
    assert localizer.refresh()
    [after] = walk(localizer, range(920, 921))
    assert after.verdict == "located"
    assert after.belief.best.place == ("run", 920)
    assert after.revision == memory.revision


@pytest.mark.parametrize(("one", "other"), [(512, 512), (512, None), (None, 512)])
def test_a_belief_is_loaded_by_any(
    tmp_path: Path, memory: PlaceMemory, one: int | None, other: int | None
) -> None:
    first = Localizer(memory, working=one)
    assert walk(first, range(900, 920))[-1].verdict == "located"
    first.save(tmp_path / "belief")
    second = Localizer(memory, working=other)
    second.load(tmp_path / "belief")
    [after] = walk(second, range(920, 921))
    assert after.belief.best.place == ("run", 920)
    assert after.verdict == "located"


def test_a_seed_brings_its_places(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, working=512)
    localizer.seed(Pose(700.0, 0.0), np.diag([1.0, 1.0, 0.1]))
    same = np.ones(DIM, np.float32)
    best = localizer.observe(odometry=Odometry(0, 0, 0), descriptor=same).belief.best
    assert abs(best.place[1] - 700) <= 6


def test_what_it_cannot_do_is_refused(memory: PlaceMemory) -> None:
    for options in (
        {"fusion": "spatial"},
        {"where": Where(session="run")},
        {"growing": True, "fusion": None},
    ):
        with pytest.raises(SettingError, match="working=512"):
            Localizer(memory, working=512, **options)
    with pytest.raises(SettingError, match="at least 512"):
        Localizer(memory, working=100)


@given(st.integers(0, 2**32 - 1), st.integers(1, 10**7), st.booleans())
@settings(max_examples=25)
def test_probabilities_sum_to_one_with_the_rest(seed: int, count: int, moves: bool) -> None:
    rng = np.random.default_rng(seed)
    table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(64)], yaw=[0.0] * 64)
    rest = Rest(count, np.arange(0, 64, 3))
    profile = MapProfile(rows(64, seed), table, rest=rest)
    robot = create("bayes", table, profile)
    for i in range(6):
        column = rng.normal(0.2, 0.1, 64)
        evidence = Evidence(column=column, descriptor=rows(64, seed)[i], stamp=float(i))
        belief = robot.update(evidence, STEP if moves else None)
        held = robot.probabilities
        elsewhere, _ = robot.state()["elsewhere"]
        on_map = 1.0 - held[-1]
        assert held.min() >= 0.0
        beyond = robot.state()["beyond"].sum()
        assert held[:-1].sum() + on_map * elsewhere == pytest.approx(on_map, abs=beyond + 1e-9)
        assert belief.entropy >= 0.0


def test_more_places_elsewhere_make_the_filter_less_sure() -> None:
    table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(64)], yaw=[0.0] * 64)
    views, sure = rows(64), []
    for count in (1, 1000, 1_000_000):
        profile = MapProfile(views, table, rest=Rest(count, np.arange(0, 64, 3)))
        robot = create("bayes", table, profile, observation=ObservationModel())
        for i in range(20, 24):
            column = views @ views[i]
            belief = robot.update(Evidence(column=column, descriptor=views[i]), STEP)
        sure.append(belief.probability)
    assert sure[0] > sure[1] > sure[2]


def test_a_map_in_milvus_stays_there(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    uri = f"milvus-lite:{tmp_path / 'lite'}"
    with PlaceMemory.create(uri, encoder=make_card(DIM)) as made:
        fill(made)
        made.add([replace(Place("odd", 3 * i, f"o{i}")) for i in range(50)], rows(50, seed=8))
    file = fill(PlaceMemory.create(":memory:", encoder=make_card(DIM)))
    file.add([Place("odd", 3 * i, f"o{i}") for i in range(50)], rows(50, seed=8))
    with PlaceMemory.open(uri, readonly=True) as served:
        assert served.rows.extent() == file.rows.extent()
        wanted = [("run", 20, 3000), ("odd", 10, 40), ("run", 5, 7), ("none", 0, 9)]
        there, here = served.rows.stretches(wanted), file.rows.stretches(wanted)
        assert there.places == here.places
        assert np.array_equal(there.descriptors, here.descriptors)
        whole, some = Localizer(file, working=512), Localizer(served, working=512)
        for a, b in zip(walk(whole, range(900, 930)), walk(some, range(900, 930)), strict=True):
            assert (a.verdict, a.candidates) == (b.verdict, b.candidates)
            assert a.belief.best.place == b.belief.best.place
        assert not served.rows.is_resident


def test_the_sample_is_even_over_sessions_and_tiles() -> None:
    memory = PlaceMemory.create(":memory:", encoder=make_card(DIM))
    for name, step in (("a", 1), ("b", 10)):
        memory.add([Place(name, step * i, f"{i}") for i in range(800)], rows(800))
    there = WorkingSet(memory, 512)
    counts = there.rows.counts()
    assert counts["a"] == counts["b"] == 64
    assert there.rest.count == 1600 - len(there.rows)
    assert len(np.unique(there.runs)) == 4
