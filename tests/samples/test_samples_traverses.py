"""Random buildings: plans that hold together, traverses in other light, files that open."""

from __future__ import annotations

import filecmp
import math
from pathlib import Path

import numpy as np
import pytest

from placememory.datasets import open_dataset
from placememory.errors import InputError, SettingError
from placememory.samples import render_traverses, style
from placememory.samples.drives import plan_traverses
from placememory.samples.grid import clearance, flood, occupancy
from placememory.samples.random_floor import random_floor

FRAMES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("vizdoom", reason="the renderer of the sample building is not installed")
    root = tmp_path_factory.mktemp("samples") / "train"
    render_traverses(root, seeds=[3], traverses=2, frames=FRAMES)
    return root


@pytest.mark.parametrize("seed", [*range(7), 1002])
def test_a_robot_reaches_every_room_through_the_doors(seed: int) -> None:
    floor = random_floor(np.random.default_rng(seed))
    assert len(floor.doors) >= len(floor.rooms) > 4
    grid = occupancy(floor, 0.125)
    room = clearance(grid.blocked, 0.125)
    reached = flood(room >= 0.6, grid.cell(*floor.doors[0].centre))
    for area in floor.rooms:
        x0, y0, x1, y1 = area.rect
        low, high = grid.cell(x0, y0), grid.cell(x1, y1)
        assert reached[low[0] : high[0], low[1] : high[1]].any()
    assert len({area.wall for area in floor.rooms}) < len(floor.rooms)


@pytest.mark.parametrize("seed", range(4))
def test_traverses_keep_clear_of_walls_and_near_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    floor = random_floor(rng)
    first, *others = plan_traverses(rng, floor, 3, 60)
    grid = occupancy(floor, 0.125)
    room = clearance(grid.blocked, 0.125)
    for plan in (first, *others):
        assert plan.poses.shape == (60, 3)
        assert min(room[grid.cell(x, y)] for x, y, _ in plan.poses) >= 0.5
        assert (np.diff(plan.stamps_ns) > 0).all()
    step = np.linalg.norm(np.diff(first.poses[:, :2], axis=0), axis=1).max()
    for plan in others:
        gap = np.linalg.norm(plan.poses[:, None, :2] - first.poses[None, :, :2], axis=2).min(axis=1)
        assert gap.max() < 0.75 + step
        assert gap.max() > 0.1
        assert not np.allclose(plan.poses[0], first.poses[0])
        assert plan.light != first.light
        assert set(plan.light) == set(floor.areas)


def test_a_manifest_opens_with_exact_poses(folder: Path) -> None:
    [building] = folder.iterdir()
    assert building.name == "building-003"
    dataset = open_dataset(None, building)
    assert dataset.splits() == ["t0", "t1"]
    for split in dataset.splits():
        traverse = dataset.traverse(split)
        assert len(traverse.frames) == FRAMES
        assert traverse.frames[0].image().shape == (240, 320, 3)
        assert all(frame.pose is not None for frame in traverse.frames)
        assert all(frame.session == split for frame in traverse.frames)
        assert np.mean([frame.image().std() for frame in traverse.frames]) > 10
    rng = np.random.default_rng(3)
    plan = plan_traverses(rng, random_floor(rng), 2, FRAMES)[1]
    for frame, (x, y, yaw) in zip(dataset.traverse("t1").frames, plan.poses, strict=True):
        assert frame.pose is not None
        assert math.hypot(frame.pose.x - x, frame.pose.y - y) < 1 / 32
        assert abs(math.remainder(frame.pose.yaw - yaw, 2 * math.pi)) < 1e-3


def test_the_same_seed_gives_the_same_bytes_and_is_reused(folder: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    settings = {"seeds": [3], "traverses": 2, "frames": FRAMES}
    [again] = render_traverses(tmp_path, **settings, progress=lambda *call: calls.append(call))
    assert calls == [(i, 2 * FRAMES) for i in range(1, 2 * FRAMES + 1)]
    names = [str(p.relative_to(again)) for p in again.rglob("*") if p.is_file()]
    same, different, missing = filecmp.cmpfiles(folder / again.name, again, names, shallow=False)
    assert (len(same), different, missing) == (2 * FRAMES + 2, [], [])
    calls.clear()
    render_traverses(tmp_path, **settings, progress=lambda *call: calls.append(call))
    assert calls == [(2 * FRAMES, 2 * FRAMES)]


def test_an_interrupted_call_leaves_finished_buildings_only(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2 * 8 + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_traverses(tmp_path, seeds=[1, 2], traverses=2, frames=8, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["building-001"]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "building-000").mkdir()
    (tmp_path / "building-000" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="another folder"):
        render_traverses(tmp_path, seeds=[0])


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="frames"):
        render_traverses(tmp_path, frames=2)
    with pytest.raises(SettingError, match="two traverses"):
        render_traverses(tmp_path, traverses=1)
    with pytest.raises(SettingError, match="seed"):
        render_traverses(tmp_path, seeds=[-1])
    assert list(tmp_path.iterdir()) == []


def test_the_textures_exist() -> None:
    vizdoom = pytest.importorskip("vizdoom")
    data = (Path(vizdoom.__file__).parent / "freedoom2.wad").read_bytes()
    pairs = {name for pair in style.DESKS + style.CRATES for name in pair}
    single = {*style.WALLS, *style.FLOORS, *style.CEILINGS, *style.LAMPS, *style.CUPBOARDS}
    for name in pairs | single | {*style.PICTURES, *style.COLUMNS, *style.DOORS}:
        assert name.encode().ljust(8, b"\0") in data, name
