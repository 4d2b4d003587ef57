"""The rendered building: files, poses, determinism, and the stretch off the map."""

from __future__ import annotations

import csv
import filecmp
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from placememory.errors import InputError, PlaceMemoryError, SettingError
from placememory.samples import Building, Change, render_building
from placememory.samples.changes import move_furniture
from placememory.samples.demonstration import FLOOR, START
from placememory.samples.level import textmap, wad
from placememory.samples.world import World

pytest.importorskip("vizdoom", reason="the renderer of the sample building is not installed")

FRAMES = 24


@pytest.fixture(scope="session")
def building(tmp_path_factory: pytest.TempPathFactory) -> Building:
    return render_building(tmp_path_factory.mktemp("samples") / "building", frames=FRAMES)


def poses(vertices: Path) -> dict[int, list[float]]:
    with vertices.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert len(header) == 18
    assert header[2] == " position x [m]"
    return {int(row[0]): [float(value) for value in row[2:9]] for row in rows}


def images(folder: Path) -> list[Path]:
    return sorted(folder.glob("vertex_*.png"), key=lambda path: path.name.split("_")[2])


def positions(folder: Path) -> np.ndarray:
    table = poses(folder / "vertices.csv")
    return np.array([table[int(p.name.split("_")[1])][:2] for p in images(folder)])


def yaws(folder: Path) -> np.ndarray:
    table = poses(folder / "vertices.csv")
    rows = [table[int(p.name.split("_")[1])] for p in images(folder)]
    return np.array([2 * math.atan2(row[5], row[6]) for row in rows])


def test_every_image_has_a_vertex_and_some_vertices_have_no_image(building: Building) -> None:
    first = poses(building.mapping_vertices)
    second = poses(building.query_vertices)
    assert len(images(building.mapping)) == FRAMES
    assert len(images(building.query)) == round(1.05 * FRAMES)
    for folder, table in ((building.mapping, first), (building.query, second)):
        ids = [int(path.name.split("_")[1]) for path in images(folder)]
        assert set(ids) < set(table)
        assert min(table) > len(table) / 2
    assert list(first) == list(range(40, 40 + len(first)))
    assert min(second) == max(first) + 1
    with building.mapping_vertices.open() as stream:
        stamps = {row.split(", ")[0]: row.split(", ")[1] for row in stream}
    assert all(
        stamps[str(int(p.name.split("_")[1]))] == p.stem.split("_")[3]
        for p in images(building.mapping)
    )


def test_every_pose_is_in_free_space_of_the_map(building: Building) -> None:
    meta = yaml.safe_load(building.map_yaml.read_text())
    assert (meta["mode"], meta["negate"]) == ("trinary", 0)
    grid = np.array(Image.open(building.folder / meta["image"]))
    assert set(np.unique(grid)) == {0, 205, 254}
    for folder in (building.mapping, building.query):
        x, y = positions(folder).T
        column = ((x - meta["origin"][0]) / meta["resolution"]).astype(int)
        row = grid.shape[0] - 1 - ((y - meta["origin"][1]) / meta["resolution"]).astype(int)
        for i in range(-6, 7):
            for j in range(-6, 7):
                assert (grid[row + i, column + j] == 254).all()


def test_the_off_map_stretch_is_far_from_every_mapping_pose(building: Building) -> None:
    names = [path.name for path in images(building.query)]
    off = np.isin(names, building.off_map)
    gap = np.linalg.norm(positions(building.query)[:, None] - positions(building.mapping), axis=2)
    assert len(building.off_map) == off.sum()
    assert off.mean() >= 0.15
    assert gap.min(axis=1)[off].min() > 3.0


def test_both_runs_see_the_same_places_in_other_light_and_from_aside(building: Building) -> None:
    here, there = positions(building.mapping), positions(building.query)
    off = np.isin([p.name for p in images(building.query)], building.off_map)
    gap = np.linalg.norm(there[:, None] - here, axis=2)[~off]
    assert np.median(gap.min(axis=1)) < 4.4 / 2 + 0.6
    brightness = [
        np.mean([np.asarray(Image.open(p)).mean() for p in images(folder)[: FRAMES // 2]])
        for folder in (building.mapping, building.query)
    ]
    assert brightness[1] < 0.9 * brightness[0]
    assert brightness[0] > 50
    assert np.abs(np.diff(np.unwrap(yaws(building.query)))).max() < math.pi


def test_images_are_rgb_of_the_asked_size_and_show_something(building: Building) -> None:
    for path in images(building.mapping) + images(building.query):
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((320, 240), "RGB")
            assert np.asarray(image).std() > 5


def test_the_same_arguments_give_the_same_bytes(building: Building, tmp_path: Path) -> None:
    again = render_building(tmp_path / "again", frames=FRAMES)
    names = [str(p.relative_to(again.folder)) for p in again.folder.rglob("*") if p.is_file()]
    same, different, missing = filecmp.cmpfiles(building.folder, again.folder, names, shallow=False)
    assert (len(same), different, missing) == (len(names), [], [])
    assert not list(tmp_path.glob(".*"))


def test_a_finished_building_is_reused_and_another_one_replaced(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    target = tmp_path / "b"
    leftover = tmp_path / ".b.part-999999999"
    leftover.mkdir()
    render_building(target, frames=8, progress=lambda *call: calls.append(call))
    assert calls == [(i, 16) for i in range(1, 17)]
    assert not leftover.exists()
    render_building(target, frames=8, progress=lambda *call: calls.append(call))
    assert len(calls) == 16
    next(iter(images(target / "query"))).unlink()
    render_building(target, frames=8, seed=1)
    assert json.loads((target / "building.json").read_text())["seed"] == 1
    assert len(images(target / "query")) == 8


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_building(tmp_path / "b", frames=8, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="another folder"):
        render_building(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="frames"):
        render_building(tmp_path / "b", frames=2)
    with pytest.raises(SettingError, match="seed"):
        render_building(tmp_path / "b", seed=-1)
    with pytest.raises(SettingError, match="321x77"):
        render_building(tmp_path / "b", frames=8, size=(321, 77))
    assert list(tmp_path.iterdir()) == []


def test_the_engine_reports_the_asked_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    lights = {area: area.light for area in FLOOR.areas}
    level = wad(textmap(FLOOR.areas, FLOOR.things, START, lights))
    with World(level, size=(160, 120)) as world:
        view = world.view(4.51, 5.0, -3.0)
        assert view.image.shape == (120, 160, 3)
        assert (view.x, view.y) == (4.5, 5.0)
        assert view.z == pytest.approx(41 / 32)
        assert view.yaw == pytest.approx(-3.0, abs=2e-4)
        monkeypatch.setattr("placememory.samples.world._TRIES", 1)
        with pytest.raises(PlaceMemoryError, match="did not reach"):
            world.view(4.5, 5.0, 1.0)


def test_the_textures_of_the_plan_exist() -> None:
    vizdoom = pytest.importorskip("vizdoom")
    data = (Path(vizdoom.__file__).parent / "freedoom2.wad").read_bytes()
    for area in FLOOR.areas:
        for name in {area.wall, area.flat, area.top, area.side or area.wall}:
            assert name.encode().ljust(8, b"\0") in data, name


@pytest.mark.parametrize("change", ["night", "moved"])
def test_a_change_touches_only_what_the_query_run_sees(
    building: Building, tmp_path: Path, change: Change
) -> None:
    changed = render_building(tmp_path / "b", frames=FRAMES, change=change)
    same = [p.relative_to(building.folder) for p in images(building.mapping)]
    same += [Path(name) for name in ("map.pgm", "map.yaml")]
    same += [Path(run, "vertices.csv") for run in ("mapping", "query")]
    for name in same:
        assert (changed.folder / name).read_bytes() == (building.folder / name).read_bytes()
    assert changed.off_map == building.off_map
    pairs = zip(images(building.query), images(changed.query), strict=True)
    both = np.array([[np.asarray(Image.open(p), float) for p in pair] for pair in pairs])
    if change == "night":
        light = both.mean(axis=(0, 2, 3))
        assert (light[1] < 0.5 * light[0]).all()
        assert light[1, 0] > light[1, 1] > light[1, 2]
    else:
        other = (np.abs(both[:, 0] - both[:, 1]).max(axis=-1) > 16).mean(axis=(1, 2))
        assert 0.1 < other.mean() < 0.6
        assert other.min() < 0.05
    again = render_building(tmp_path / "again", frames=FRAMES, change=change)
    assert all(p.read_bytes() == (again.query / p.name).read_bytes() for p in images(changed.query))
    with pytest.raises(SettingError, match="none, night, moved"):
        render_building(tmp_path / "c", frames=FRAMES, change="winter")  # type: ignore[arg-type]


def test_moved_furniture_stands_clear_of_the_route_and_of_the_rest() -> None:
    way = np.array([[4.5, 3.0], [4.5, 12.0]])
    path = np.stack([np.interp(np.linspace(0, 1, 91), [0, 1], way[:, i]) for i in (0, 1)], axis=1)
    for seed in range(8):
        moved = move_furniture(np.random.default_rng(seed), FLOOR, path)
        new = [area for area in moved.areas if area not in FLOOR.areas]
        placed = [a for a in new if a.rect not in {old.rect for old in FLOOR.areas}]
        assert len(moved.areas) < len(FLOOR.areas)
        assert len(placed) >= 3
        for area in placed:
            x0, y0, x1, y1 = area.rect
            inside = (path > [x0 - 0.5, y0 - 0.5]) & (path < [x1 + 0.5, y1 + 0.5])
            assert not inside.all(axis=1).any()
            for other in placed:
                u0, v0, u1, v1 = other.rect
                assert other is area or x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0
