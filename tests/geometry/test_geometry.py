from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from placememory.errors import SettingError
from placememory.geometry import Camera, inside, mutual, relate
from tests.geometry._images import rimmed, textured

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None, reason="the extra 'verify' is not installed: cv2"
)
CAMERA = Camera(400.0, 400.0, 320.0, 240.0)
POINTS = np.random.default_rng(0).uniform([-3, -2, 4], [3, 2, 12], (200, 3))
YAW = np.array([[np.cos(0.1), 0, np.sin(0.1)], [0, 1, 0], [-np.sin(0.1), 0, np.cos(0.1)]])


def seen(points: np.ndarray) -> np.ndarray:
    return points[:, :2] / points[:, 2:] * 400 + [320, 240]


def views(shift: np.ndarray, wrong: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of both views, some of the second by chance, with a little noise."""
    rng = np.random.default_rng(1)
    second = seen(POINTS @ YAW.T + shift)
    second[:wrong] = rng.uniform([0, 0], [640, 480], (wrong, 2))
    return seen(POINTS) + rng.normal(0, 0.1, second.shape), second


def test_the_matches_of_one_motion_are_counted() -> None:
    found = relate(*views(np.array([0.9, 0.0, -0.4])), 1.5)
    assert found.kind == "fundamental"
    assert 120 <= found.inliers <= 160
    assert found.direction is None


def test_intrinsics_give_rotation_and_direction() -> None:
    shift = np.array([0.9, 0.0, -0.4])
    found = relate(*views(shift), 1.0, CAMERA)
    assert found.kind == "essential"
    assert found.rotation is not None
    assert found.direction is not None
    turned = np.degrees(np.arccos((np.trace(found.rotation @ YAW.T) - 1) / 2))
    away = np.degrees(np.arccos(found.direction @ shift / np.linalg.norm(shift)))
    assert turned < 3
    assert away < 12
    assert np.linalg.norm(found.direction) == pytest.approx(1.0)


@pytest.mark.parametrize("camera", [None, CAMERA])
def test_a_turn_on_the_spot_has_no_direction(camera: Camera | None) -> None:
    found = relate(*views(np.zeros(3)), 1.5, camera)
    assert found.kind == "homography"
    assert found.inliers >= 130
    assert found.direction is None
    assert found.rotation is None


@pytest.mark.parametrize("camera", [None, CAMERA])
def test_degenerate_points_are_no_evidence(camera: Camera | None) -> None:
    line = np.column_stack((np.arange(40.0), np.arange(40.0)))
    assert relate(np.ones((40, 2)), np.ones((40, 2)), 1.5, camera).inliers == 0
    assert relate(line, line, 1.5, camera).kind in ("none", "homography")
    assert relate(line[:7], line[:7], 1.5, camera).inliers == 0
    assert relate(line[:0], line[:0], 1.5, camera).inliers == 0


def test_chance_has_few_inliers() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.uniform(0, 640, (2, 60, 2))
    assert relate(first, second, 1.5).inliers < 20


def test_distortion_is_taken_out() -> None:
    bent = Camera(400.0, 400.0, 320.0, 240.0, (-0.2, 0.05, 0.0, 0.0))
    assert np.allclose(bent.rays(np.array([[320.0, 240.0]])), 0.0)
    assert (
        bent.rays(np.array([[600.0, 240.0]]))[0, 0] > CAMERA.rays(np.array([[600.0, 240.0]]))[0, 0]
    )


@pytest.mark.parametrize("values", [(0, 1, 0, 0), (1, 1, np.nan, 0), (1, 1, 0, 0, (0.1,))], ids=str)
def test_impossible_cameras_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(SettingError):
        Camera(*values)  # type: ignore[arg-type]


def test_only_pairs_nearest_to_each_other_match() -> None:
    first = np.array([[1, 0], [0.9, 0.436], [0, 1]], np.float32)
    second = np.array([[1, 0], [-1, 0]], np.float32)
    assert mutual(first, second, 0.8).tolist() == [[0, 0]]
    assert mutual(first, second[1:], 0.8).tolist() == []
    assert mutual(first[:0], second, 0.8).shape == (0, 2)
    assert mutual(first, second[:0], 0.8).shape == (0, 2)


def test_a_rim_and_bars_are_border() -> None:
    image = np.maximum(textured(0), 60)
    assert inside(image).all()
    rim = inside(rimmed(image))
    assert rim[128, 160]
    assert not rim[0, 0]
    assert not rim[128, 30]
    bars = image.copy()
    bars[:30] = bars[-30:] = 0
    kept = inside(bars)
    assert kept[60:200].all()
    assert not kept[:30].any()


def test_shadows_and_nights_are_no_border() -> None:
    image = np.maximum(textured(0), 60)
    image[:80, :90] = 5  # one dark corner
    assert inside(image).all()
    image = np.full((120, 160, 3), 3, np.uint8)
    image[50:60, 70:80] = 200  # a lamp at night
    assert inside(image).all()
    assert inside(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1)


@pytest.mark.parametrize("shape", [(1, 1), (161, 487), (480, 640)])
def test_the_mask_has_the_size_of_the_image(shape: tuple[int, int]) -> None:
    assert inside(np.zeros((*shape, 3), np.uint8)).shape == shape
