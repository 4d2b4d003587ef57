"""A sense of place for robots.

Images with poses become a place memory; the memory answers where on the map a camera is.

Example:
    >>> import placememory
    >>> placememory.Pose(1.0, 2.0).distance_to(placememory.Pose(1.0, 3.0))
    1.0
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from placememory._version import __version__

if TYPE_CHECKING:
    from placememory.encoders import Encoder, EncoderCard, register_encoder
    from placememory.encoders import create as create_encoder
    from placememory.errors import PlaceMemoryError
    from placememory.frames import Frame, Pose, list_frames, read_image, read_poses
    from placememory.localization.estimate import Estimate
    from placememory.localization.localizer import Localizer
    from placememory.localization.run import LocalizedRun, localize
    from placememory.maps import OccupancyGrid, read_map
    from placememory.memory import Candidate, Place, PlaceMemory, Where, copy, merge
    from placememory.memory.build import BuildReport, build

_HOMES = {
    "BuildReport": "memory.build",
    "Candidate": "memory",
    "Encoder": "encoders",
    "EncoderCard": "encoders",
    "Estimate": "localization.estimate",
    "Frame": "frames",
    "LocalizedRun": "localization.run",
    "Localizer": "localization.localizer",
    "OccupancyGrid": "maps",
    "Place": "memory",
    "PlaceMemory": "memory",
    "PlaceMemoryError": "errors",
    "Pose": "frames",
    "Where": "memory",
    "build": "memory.build",
    "copy": "memory",
    "create_encoder": "encoders:create",
    "list_frames": "frames",
    "localize": "localization.run",
    "merge": "memory",
    "read_image": "frames",
    "read_map": "maps",
    "read_poses": "frames",
    "register_encoder": "encoders",
}

__all__ = [
    "BuildReport",
    "Candidate",
    "Encoder",
    "EncoderCard",
    "Estimate",
    "Frame",
    "LocalizedRun",
    "Localizer",
    "OccupancyGrid",
    "Place",
    "PlaceMemory",
    "PlaceMemoryError",
    "Pose",
    "Where",
    "__version__",
    "build",
    "copy",
    "create_encoder",
    "list_frames",
    "localize",
    "merge",
    "read_image",
    "read_map",
    "read_poses",
    "register_encoder",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the import itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'placememory' has no attribute {name!r}")
    home, _, inner = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"placememory.{home}"), inner or name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
