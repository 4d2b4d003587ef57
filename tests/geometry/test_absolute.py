from __future__ import annotations

import numpy as np
import pytest

from placememory.geometry import CameraPose, absolute_pose
from tests.geometry._scene import CAMERA, NO_COLMAP, REASON, seen, turned

pytestmark = pytest.mark.skipif(bool(NO_COLMAP), reason=REASON)

ROTATION_VECTOR = np.array([0.3, -0.5, 0.2])
POSITION = np.array([1.0, 2.0, 3.0])


def scene(seed: int = 0, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and points of a camera at :data:`POSITION`."""
    rng = np.random.default_rng(seed)
    rotation = turned(ROTATION_VECTOR)
    local = rng.uniform((-0.5, -0.4, 1), (0.5, 0.4, 1), (count, 3)) * rng.uniform(3, 8, (count, 1))
    points = local @ rotation.T + POSITION
    return seen(points, rotation, POSITION), points


@pytest.mark.parametrize("at", [0.0, 5e6])
def test_exact_matches_give_the_pose_among_wrong_ones(at: float) -> None:
    pixels, points = scene()
    pixels[::3] = np.random.default_rng(1).uniform(0, 480, (20, 2))
    found = absolute_pose(pixels, points + at, CAMERA)
    assert found is not None
    assert np.abs(found.position - POSITION - at).max() < 1e-3
    assert np.abs(found.rotation - turned(ROTATION_VECTOR)).max() < 1e-4
    assert 40 <= found.inliers <= 42
    assert found.error < 0.5


@pytest.mark.parametrize("noise", [0.4, 1.5])
def test_the_covariance_is_the_scatter(noise: float) -> None:
    pixels, points = scene()
    rotation, rng, runs = turned(ROTATION_VECTOR), np.random.default_rng(2), 250
    errors, covariances = [], []
    for _ in range(runs):
        found = absolute_pose(
            pixels + rng.normal(0, noise, pixels.shape), points, CAMERA, threshold=10.0
        )
        assert found is not None
        turn = found.rotation @ rotation.T
        angles = np.array(
            [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
        )
        errors.append(np.concatenate((found.position - POSITION, angles / 2)))
        covariances.append(found.covariance)
    scatter, predicted = np.cov(np.array(errors).T), np.mean(covariances, axis=0)
    ratio = np.sqrt(np.diag(scatter) / np.diag(predicted))
    assert (ratio > 0.8).all(), ratio
    assert (ratio < 1.25).all(), ratio
    assert np.abs(correlation(scatter) - correlation(predicted)).max() < 0.25  # signs and axes, too


def correlation(covariance: np.ndarray) -> np.ndarray:
    spread = np.sqrt(np.diag(covariance))
    return covariance / np.outer(spread, spread)


def test_the_same_matches_give_the_same_pose() -> None:
    pixels, points = scene()
    pixels[::2] += 40
    first, second = (absolute_pose(pixels, points, CAMERA) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.position.tolist() == second.position.tolist()


def test_a_pixel_matched_to_several_points_weighs_once() -> None:
    pixels, points = scene()
    pixels = pixels + np.random.default_rng(3).normal(0, 0.5, pixels.shape)
    once = absolute_pose(pixels, points, CAMERA)
    ids = np.tile(np.arange(60), 3)
    thrice = absolute_pose(np.tile(pixels, (3, 1)), np.tile(points, (3, 1)), CAMERA, ids=ids)
    assert once is not None
    assert thrice is not None
    assert thrice.inliers == once.inliers
    assert np.allclose(np.diag(thrice.covariance), np.diag(once.covariance), rtol=0.02)


def test_too_few_or_wrong_matches_give_no_pose() -> None:
    pixels, points = scene()
    assert absolute_pose(pixels[:11], points[:11], CAMERA) is None
    assert absolute_pose(pixels[:11], points[:11], CAMERA, least=10) is not None
    assert absolute_pose(np.zeros((0, 2)), np.zeros((0, 3)), CAMERA) is None
    wrong = np.random.default_rng(4).uniform(0, 480, pixels.shape)
    assert absolute_pose(wrong, points, CAMERA) is None
    same = np.tile(points[:1], (60, 1))
    assert absolute_pose(np.tile(pixels[:1], (60, 1)), same, CAMERA) is None
    eight = np.tile(np.arange(8), 3)
    assert absolute_pose(pixels[eight], points[eight], CAMERA, ids=eight) is None


def test_the_pose_of_the_body_and_its_covariance() -> None:
    rotation = turned(np.array([0.4, 0.2, -0.3]))
    mount = np.eye(4)
    mount[:3, :3], mount[:3, 3] = turned(np.array([0.1, -0.2, 0.3])), [0.5, 0.1, 1.0]
    rng = np.random.default_rng(5)
    half = 0.02 * rng.normal(size=(6, 6))
    covariance = half @ half.T
    found = CameraPose(rotation, POSITION, covariance, 20, 1.0).pose(mount)
    bodies = []
    for p in rng.multivariate_normal(np.zeros(6), covariance, 4000):
        other = CameraPose(turned(p[3:]) @ rotation, POSITION + p[:3], covariance, 20, 1.0)
        bodies.append(other.pose(mount).position)
    assert found.covariance is not None
    predicted = np.array(found.covariance).reshape(6, 6)
    scatter = np.cov(np.array(bodies).T)
    assert np.abs(scatter - predicted[:3, :3]).max() < 0.1 * predicted.max()
    camera = found.matrix() @ mount
    assert np.allclose(camera[:3, :3], rotation)
    assert np.allclose(camera[:3, 3], POSITION)
