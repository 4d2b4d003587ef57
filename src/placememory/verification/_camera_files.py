"""Cameras from files: ROS ``camera_info``, COLMAP's ``cameras.txt`` and plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from placememory.errors import SettingError
from placememory.verification._camera import Camera

COLMAP_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
"""Camera models of COLMAP that are read."""

_TWO_FOCALS = ("PINHOLE", "OPENCV")
_COUNTS = dict(zip(COLMAP_MODELS, (3, 4, 4, 5, 8), strict=True))
_PLUMB_BOB = ("plumb_bob", "", None)


def read_camera(path: Path | str) -> Camera:
    """Read the intrinsics of a camera.

    Understood are a ROS ``camera_info`` YAML (``plumb_bob``), a COLMAP ``cameras.txt`` with one
    camera, and a JSON such as ``{"fx": 500, "fy": 500, "cx": 320, "cy": 240}`` with ``distortion``,
    ``width`` and ``height`` where known.

    Args:
        path: ``.yaml`` or ``.yml``, ``.txt``, or ``.json``.

    Raises:
        SettingError: The file is missing, of another kind, or holds no camera we know.
    """
    path = Path(path)
    readers = {".yaml": _ros, ".yml": _ros, ".txt": _colmap, ".json": _plain}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SettingError(
            f"{path}: a camera is read from a ROS camera_info (.yaml), COLMAP's cameras.txt or "
            "a .json"
        )
    try:
        return reader(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SettingError(f"{path}: there is no such file") from error
    except KeyError as error:
        raise SettingError(f"{path}: the key {error} is missing") from error
    except (OSError, ValueError, TypeError, IndexError, yaml.YAMLError, SettingError) as error:
        raise SettingError(f"{path}: cannot read a camera ({error})") from error


def from_colmap(model: str, width: int, height: int, parameters: Sequence[float]) -> Camera:
    """Camera of a COLMAP model; its pixel (0.5, 0.5) is the middle of the upper left one.

    Raises:
        SettingError: The model is none of :data:`COLMAP_MODELS`, or has other parameters.

    Example:
        >>> from_colmap("SIMPLE_RADIAL", 640, 480, [500, 320, 240, 0.1])
        Camera(fx=500, fy=500, cx=319.5, cy=239.5, distortion=(0.1, 0.0, 0.0, 0.0), width=640,
               height=480)
    """
    if model not in _COUNTS:
        raise SettingError(
            f"the COLMAP camera model {model} is not supported; undistort the images, or use one "
            f"of {', '.join(COLMAP_MODELS)}"
        )
    if len(parameters) != _COUNTS[model]:
        raise SettingError(f"{model} has {_COUNTS[model]} parameters, not {len(parameters)}")
    focals = 2 if model in _TWO_FOCALS else 1
    fx, fy = parameters[0], parameters[focals - 1]
    cx, cy, *bent = parameters[focals:]
    distortion = tuple(bent) + (0.0,) * (4 - len(bent)) if bent else ()
    return Camera(fx, fy, cx - 0.5, cy - 0.5, distortion, width, height)


def _ros(text: str) -> Camera:
    found = _mapping(yaml.safe_load(text))
    model = found.get("distortion_model")
    if model not in _PLUMB_BOB:
        raise SettingError(f"the distortion model is {model!r}; only plumb_bob is supported")
    k = [float(value) for value in found["camera_matrix"]["data"]]
    if len(k) != 9:
        raise SettingError(f"camera_matrix.data has 9 numbers, not {len(k)}")
    bent = found.get("distortion_coefficients", {}).get("data", ())
    size = int(found["image_width"]), int(found["image_height"])
    return Camera(k[0], k[4], k[2], k[5], _bent(bent), *size)


def _colmap(text: str) -> Camera:
    lines = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if len(lines) != 1:
        raise SettingError(f"it has {len(lines)} cameras; keep the line of the query's camera")
    _, model, width, height, *parameters = lines[0]
    return from_colmap(model, int(width), int(height), [float(value) for value in parameters])


def _plain(text: str) -> Camera:
    found = _mapping(json.loads(text))
    known = {"fx", "fy", "cx", "cy", "distortion", "width", "height"}
    if set(found) - known:
        raise SettingError(f"unknown keys {sorted(set(found) - known)}; known are {sorted(known)}")
    fx, fy, cx, cy = (float(found[key]) for key in ("fx", "fy", "cx", "cy"))
    size = int(found.get("width", 0)), int(found.get("height", 0))
    return Camera(fx, fy, cx, cy, _bent(found.get("distortion", ())), *size)


def _bent(values: Sequence[float]) -> tuple[float, ...]:
    """Distortion; none where all are zero."""
    found = tuple(float(value) for value in values)
    return found if any(found) else ()


def _mapping(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise SettingError("it holds no keys and values")
    return found
