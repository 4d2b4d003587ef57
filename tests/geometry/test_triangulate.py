from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.geometry import triangulate


def rotation(rng: np.random.Generator, size: float) -> np.ndarray:
    """A rotation by up to about ``size`` radians."""
    x, y, z = rng.normal(0, size, 3)
    u, _, v = np.linalg.svd(np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]]))
    return u @ v


def views(
    seed: int, count: int, at: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points, their rays in ``count`` views, rotations and positions."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-2, -2, 4), (2, 2, 12), (30, 3)) + at
    rotations = np.stack([rotation(rng, 0.1) for _ in range(count)])
    positions = at + np.cumsum(rng.uniform(0.3, 1.0, (count, 3)) * (1, 1, 0.2), axis=0)
    local = np.einsum("vji,vnj->vni", rotations, points - positions[:, None])
    return points, local[..., :2] / local[..., 2:], rotations, positions


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from([0.0, 5e6]))
def test_exact_rays_give_the_points(seed: int, count: int, at: float) -> None:
    points, rays, rotations, positions = views(seed, count, at)
    seen = np.random.default_rng(seed).random(rays.shape[:2]) < 0.5
    seen[:2] = True
    junk = np.where(seen[..., None], rays, 77.0)
    found = triangulate(junk, seen, rotations, positions)
    assert np.abs(found.points - points).max() < (1e-6 if at == 0 else 1e-4)
    assert found.errors.max() < 1e-6
    assert (found.depths > 0).all()
    assert found.good(1e-3, 0.1).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_noisy_rays_give_the_least_reprojection_error(seed: int) -> None:
    _, rays, rotations, positions = views(seed, 4)
    rays = rays + np.random.default_rng(seed).normal(0, 1e-3, rays.shape)
    seen = np.ones(rays.shape[:2], bool)
    found = triangulate(rays, seen, rotations, positions)
    least = (found.errors**2).sum(axis=0)
    for step in 1e-3 * np.vstack((np.eye(3), -np.eye(3))):
        local = np.einsum("vji,vnj->vni", rotations, found.points + step - positions[:, None])
        off = local[..., :2] / local[..., 2:] - rays
        assert ((off**2).sum(axis=(0, 2)) >= least - 1e-12).all()


def test_what_is_behind_or_without_parallax_or_off_is_no_good() -> None:
    eye, positions = np.stack([np.eye(3)] * 2), np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    seen = np.ones((2, 4), bool)
    first = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    second = np.array([[-0.2, 0.0], [0.2, 0.0], [-1e-4, 0.0], [-0.2, 0.1]])
    found = triangulate(np.stack((first, second)), seen, eye, positions)
    assert found.good(0.01, 1.0).tolist() == [True, False, False, False]
    assert found.depths[1] < 0
    assert found.parallax[2] < 0.01
    assert found.errors[:, 3].max() > 0.03
    assert found.parallax[0] == pytest.approx(np.degrees(np.arctan(0.2)))


def test_parallel_rays_are_finite_and_no_good() -> None:
    rays = np.zeros((2, 1, 2))
    found = triangulate(
        rays, np.ones((2, 1), bool), np.stack([np.eye(3)] * 2), np.array([[0.0] * 3, [1, 0, 0]])
    )
    assert np.isfinite(found.points).all()
    assert not found.good(1.0, 0.1).any()
