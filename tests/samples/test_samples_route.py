"""Laws of the grid and route functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from placememory.errors import SettingError
from placememory.samples import route
from placememory.samples.grid import Grid, clearance, flood, occupancy
from placememory.samples.plan import Area, Floor, solid

ROOM = Area((0, 0, 6, 4), 0, 3, "W", "F", "C", 200)


def _floor(areas: list[Area]) -> Floor:
    return Floor(tuple(areas), (), ())


grids = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9))
paths = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.just(2)),
    elements=st.floats(-50, 50, allow_nan=False).map(lambda v: round(v, 3)),
    unique=True,
)


@given(grids)
def test_flood_is_closed_and_connected_to_its_start(free: np.ndarray) -> None:
    reached = flood(free, (0, 0))
    assert not (reached & ~free).any()
    assert reached[0, 0] == free[0, 0]
    grown = reached.copy()
    grown[1:] |= reached[:-1]
    grown[:-1] |= reached[1:]
    grown[:, 1:] |= reached[:, :-1]
    grown[:, :-1] |= reached[:, 1:]
    assert not (grown & free & ~reached).any()
    assert all(np.array_equal(flood(free, tuple(c)), reached) for c in np.argwhere(reached))


@given(grids)
def test_clearance_is_the_brute_force_distance(blocked: np.ndarray) -> None:
    cells = np.argwhere(blocked)
    expected = np.full(blocked.shape, 1.5)
    for row, column in np.ndindex(*blocked.shape):
        if len(cells):
            nearest = np.linalg.norm(cells - (row, column), axis=1).min() * 0.5
            expected[row, column] = min(1.5, nearest)
    np.testing.assert_allclose(clearance(blocked, 0.5), expected)


@given(grids)
def test_the_way_exists_exactly_where_the_flood_arrives(blocked: np.ndarray) -> None:
    wide = blocked.copy()
    wide[0, 0] = wide[-1, -1] = False
    grid = Grid(wide, 0.0, 0.0, 1.0)
    room = clearance(wide, 1.0)
    goal = grid.point(wide.shape[0] - 1, wide.shape[1] - 1)
    by_rows_and_columns = flood(~wide, (0, 0))[-1, -1]
    try:
        path = route.shortest_path(grid, room, (0.5, 0.5), goal, radius=0.5)
    except SettingError:
        assert not by_rows_and_columns
        return
    assert path[0].tolist() == [0.5, 0.5]
    assert tuple(path[-1]) == goal
    assert np.abs(np.diff(path, axis=0)).max() <= 1.0
    assert all(not wide[grid.cell(*point)] for point in path)


def test_the_way_goes_round_a_wall() -> None:
    grid = occupancy(_floor([ROOM, solid((3, 0, 3.5, 3), "W")]), 0.25)
    room = clearance(grid.blocked, 0.25)
    path = route.shortest_path(grid, room, (1, 1), (5, 1), radius=0.3)
    assert path[:, 1].max() > 3
    assert min(room[grid.cell(*point)] for point in path) >= 0.3
    with pytest.raises(SettingError, match="no way"):
        route.shortest_path(grid, room, (1, 1), (5, 1), radius=0.8)


@given(paths, st.integers(2, 40))
def test_resampled_points_keep_the_ends_and_never_lengthen(path: np.ndarray, count: int) -> None:
    points = route.resample(path, count)
    assert points.shape == (count, 2)
    np.testing.assert_allclose(points[[0, -1]], path[[0, -1]], atol=1e-9)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    total = route.arc_lengths(path)[-1]
    assert (steps <= total / (count - 1) + 1e-9).all()


@given(paths, st.floats(0, 4))
def test_smoothing_keeps_the_ends(path: np.ndarray, width: float) -> None:
    smoothed = route.smooth(path, width)
    assert smoothed.shape == path.shape
    np.testing.assert_allclose(smoothed[[0, -1]], path[[0, -1]], atol=1e-9)


@given(st.floats(-math.pi, math.pi), st.integers(2, 30), st.floats(0.1, 5))
def test_smoothing_and_headings_of_a_straight_line(angle: float, count: int, ahead: float) -> None:
    line = np.arange(count)[:, None] * np.array([[math.cos(angle), math.sin(angle)]])
    np.testing.assert_allclose(route.smooth(line, 2.0), line, atol=1e-9)
    turn = (route.headings(line, ahead) - angle + math.pi) % (2 * math.pi) - math.pi
    np.testing.assert_allclose(turn, 0, atol=1e-6)


@given(hnp.arrays(np.float64, 20, elements=st.floats(-3, 3)))
def test_sideways_shifts_stay_clear_of_walls(offsets: np.ndarray) -> None:
    grid = occupancy(_floor([ROOM]), 0.125)
    room = clearance(grid.blocked, 0.125)
    path = np.stack([np.linspace(1.5, 4.5, 20), np.full(20, 2.0)], axis=1)
    moved = route.shift_sideways(path, offsets, grid, room, radius=0.75)
    assert min(room[grid.cell(*point)] for point in moved) >= 0.75
    assert ((moved[:, 1] - 2) * np.sign(offsets) >= -1e-9).all()
    np.testing.assert_allclose(moved[:, 0], path[:, 0])


@pytest.mark.parametrize("bad", [0, 1])
def test_too_few_points_are_refused(bad: int) -> None:
    with pytest.raises(SettingError):
        route.resample(np.zeros((2, 2)), bad)
    with pytest.raises(SettingError):
        route.tour(occupancy(_floor([ROOM]), 0.5), np.zeros((12, 16)), [(1, 1)] * bad, radius=0)


def test_a_grid_needs_a_resolution() -> None:
    with pytest.raises(SettingError, match="resolution"):
        occupancy(_floor([ROOM]), 0)


def test_cells_and_points_agree() -> None:
    grid = occupancy(_floor([ROOM]), 0.25)
    assert grid.cell(*grid.point(7, 11)) == (7, 11)
    assert grid.cell(-100, 100) == (grid.blocked.shape[0] - 1, 0)
