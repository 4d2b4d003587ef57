"""COLMAP ``images.txt``: two lines an image, quaternion **w x y z**, pose **world to camera**.

The camera's centre is -R^T t. Axes are the camera's: x right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from placememory.errors import PoseError
from placememory.frames.pose import Pose, rotation_from_quaternion
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import are_numbers, at, numbers


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the file is called ``images.txt``, or its first image line looks like one."""
    lines = [line.split() for line in head if not line.startswith("#")]
    return path.name == "images.txt" or (
        bool(lines)
        and len(lines[0]) >= 10
        and are_numbers(lines[0][:9], 9)
        and not are_numbers(lines[0][9:10], 1)
    )


def read(path: Path) -> PoseTable:
    """Read the images of a COLMAP text model; frames are joined by name."""
    records = []
    for line, text in _image_lines(path):
        words = text.split(maxsplit=9)
        if len(words) < 10:
            raise PoseError(f"{path}:{line}: an image line has 10 values, not {len(words)}")
        qw, qx, qy, qz, tx, ty, tz = numbers(path, line, words[1:8])
        with at(path, line):
            world_to_camera = Pose(tx, ty, tz, (qx, qy, qz, qw))
        records.append(PoseRecord(_inverse(world_to_camera), name=words[9].strip()))
    return PoseTable(records, str(path))


def _image_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The image lines; the line after each holds its points, and may be empty."""
    points_follow = False
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.startswith("#"):
            continue
        if points_follow:
            points_follow = False
        elif line.strip():
            points_follow = True
            yield number, line


def _inverse(pose: Pose) -> Pose:
    assert pose.quaternion is not None
    qx, qy, qz, qw = pose.quaternion
    centre = -rotation_from_quaternion(pose.quaternion).T @ pose.position
    x, y, z = (float(value) for value in np.round(centre, 12))
    return Pose(x, y, z, (-qx, -qy, -qz, qw))
