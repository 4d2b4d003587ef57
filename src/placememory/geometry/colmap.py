"""Images with known cameras and poses, and which of them see the same things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from placememory._types import Floats
from placememory.errors import InputError, SettingError
from placememory.frames import Image, Levels
from placememory.frames.images import read_image
from placememory.geometry.camera_pose import pycolmap
from placememory.geometry.cameras import Camera, from_colmap

BASELINE = 0.1
"""Metres that neighbours are apart at least: from one place there is no depth."""

TURN = 45.0
"""Degrees by which two cameras may look apart to be neighbours by their poses."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """An image of the model.

    Attributes:
        name: As in the model.
        camera: Its intrinsics.
        rotation: (3, 3), world from camera; the camera frame is x right, y down, z forward.
        position: (3,) metres, world frame.
    """

    name: str
    camera: Camera
    rotation: Floats
    position: Floats


class PosedModel:
    """A map of images with exact poses, as COLMAP writes it. Its world frame is the map frame.

    Points of the model, where there are any, only say which images see the same; so any model
    serves, whatever features it was built with, and one without points too. It is metric only if
    it was made so, and lengths are called metres here.

    Args:
        images: With distinct names.
        read: The pixels of an image by its name, (H, W, 3) uint8 RGB.
        count_shared: How many points an image shares with others, by name; ``None`` takes as
            neighbours what is near and looks the same way.

    Raises:
        InputError: There are no images.
    """

    def __init__(
        self,
        images: Sequence[PosedImage],
        read: Callable[[str], Image],
        count_shared: Callable[[str], Mapping[str, int]] | None = None,
    ) -> None:
        if not images:
            raise InputError("a model needs at least one image with a pose")
        self._images = {image.name: image for image in images}
        self._names = [image.name for image in images]
        self._positions = np.array([image.position for image in images])
        self._ahead = np.array([image.rotation[:, 2] for image in images])
        self._read, self._count_shared = read, count_shared

    @classmethod
    def open(
        cls, folder: Path | str, images: Path | str, levels: Levels | None = None
    ) -> PosedModel:
        """Read a COLMAP model, binary or text.

        Args:
            folder: With ``cameras``, ``images`` and ``points3D``, as ``.bin`` or ``.txt``.
            images: Folder that the names of the images start from.
            levels: What deep images (16 bits, float) are scaled by, as in the memory.

        Raises:
            InputError: There is no model, it cannot be read, it has no image with a pose, or some
                of its images are not there.
            SettingError: A camera is of a kind that is not supported.
            MissingExtraError: The extra ``colmap`` is not installed.
        """
        colmap, root = pycolmap(), Path(images)
        try:
            model = colmap.Reconstruction(str(folder))
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(
                f"{folder}: cannot read a COLMAP model ({str(error).strip()}); it needs the files "
                "cameras, images and points3D, all .bin or all .txt"
            ) from error
        registered = [image for image in model.images.values() if image.has_pose]
        if not registered:
            raise InputError(f"{folder}: the COLMAP model has no image with a pose")
        try:
            posed = [_to_posed_image(model, image) for image in registered]
        except SettingError as error:
            raise SettingError(f"{folder}: {error}") from error
        missing = [image.name for image in posed if not (root / image.name).is_file()]
        if missing:
            raise InputError(
                f"{root}: {len(missing)} of the {len(posed)} images of the COLMAP model are not "
                f"there, such as {missing[0]!r}; give the folder that their names start from"
            )
        by_points = _shared_points(model) if model.num_points3D() else None
        return cls(
            posed, lambda name: read_image(root / name, exif=False, levels=levels), by_points
        )

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._images

    def __getitem__(self, name: str) -> PosedImage:
        """The image of a name.

        Raises:
            InputError: The model has no such image.
        """
        if name not in self._images:
            raise InputError(
                f"the model has no image {name!r}; its names are like {self._names[0]!r}. Places "
                "must be called as the model's images are"
            )
        return self._images[name]

    @property
    def names(self) -> Sequence[str]:
        """Of all images."""
        return self._names

    def pixels(self, name: str) -> Image:
        """(H, W, 3) uint8 RGB.

        Raises:
            ImageError: The image cannot be read.
        """
        return self._read(name)

    def neighbours(self, name: str, count: int) -> list[str]:
        """Images that see the same from elsewhere, best first.

        By shared points where the model has them, else the nearest that look the same way; each
        at least :data:`BASELINE` from the image and from those before it.

        Args:
            name: Of an image.
            count: The most to give.

        Raises:
            InputError: The model has no such image.
        """
        image = self[name]
        positions = [image.position]
        found: list[str] = []
        for other in self._alike(image):
            if len(found) == count:
                break
            position = self._images[other].position
            if min(float(np.linalg.norm(position - p)) for p in positions) >= BASELINE:
                positions.append(position)
                found.append(other)
        return found

    def _alike(self, image: PosedImage) -> list[str]:
        """All that may see the same, best first."""
        if self._count_shared is not None:
            counts = self._count_shared(image.name)
            return sorted(counts, key=lambda other: (-counts[other], other))
        away = np.linalg.norm(self._positions - image.position, axis=1)
        alike = self._ahead @ image.rotation[:, 2] >= np.cos(np.radians(TURN))
        rows = np.argsort(away, kind="stable")
        return [self._names[row] for row in rows if alike[row] and self._names[row] != image.name]


def _to_posed_image(model: Any, image: Any) -> PosedImage:
    camera = model.cameras[image.camera_id]
    matrix = np.asarray(image.cam_from_world().matrix(), np.float64)
    rotation = np.ascontiguousarray(matrix[:, :3].T)
    return PosedImage(
        image.name,
        from_colmap(camera.model_name, camera.width, camera.height, list(camera.params)),
        rotation,
        -rotation @ matrix[:, 3],
    )


def _shared_points(model: Any) -> Callable[[str], Mapping[str, int]]:
    """How many of a model's points an image shares with each other one."""
    by_name = {image.name: image for image in model.images.values() if image.has_pose}
    names = {image.image_id: name for name, image in by_name.items()}

    def count_shared(name: str) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for seen in by_name[name].get_observation_points2D():
            track = model.points3D[seen.point3D_id].track
            counts.update({names[e.image_id] for e in track.elements if e.image_id in names})
        del counts[name]
        return counts

    return count_shared
