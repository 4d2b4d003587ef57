"""A sense of place for robots.

Images with poses become a place memory; the memory answers where on the map a camera is.

Example:
    >>> import placememory as pm
    >>> pm.Pose(1.0, 2.0).distance_to(pm.Pose(1.0, 3.0))
    1.0
    >>> memory = pm.build("office.memory", "run1", poses="run1/poses.csv")  # doctest: +SKIP
    >>> pm.localize(memory, "run2").to_frame()  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from placememory._version import __version__

if TYPE_CHECKING:
    from placememory.encoders import Encoder, EncoderCard, register_encoder
    from placememory.encoders import create as create_encoder
    from placememory.errors import PlaceMemoryError
    from placememory.evaluation import Evaluation, EvaluationTable, evaluate
    from placememory.frames import Frame, Pose, list_frames, read_image, read_poses
    from placememory.fusion import Odometry
    from placememory.localization import Estimate, LocalizedRun, Localizer, add_run, localize
    from placememory.maps import OccupancyGrid, read_map
    from placememory.memory import Candidate, Place, PlaceMemory, Where, merge
    from placememory.memory import copy as copy
    from placememory.memory import open_memory as open  # noqa: A004, F401
    from placememory.memory.build import build
    from placememory.memory.report import BuildReport
    from placememory.metrics import GroundTruth, Outcome
    from placememory.training import train

_HOMES = {
    "BuildReport": "memory.report",
    "Candidate": "memory",
    "Encoder": "encoders",
    "EncoderCard": "encoders",
    "Estimate": "localization",
    "Evaluation": "evaluation",
    "EvaluationTable": "evaluation",
    "Frame": "frames",
    "GroundTruth": "metrics",
    "LocalizedRun": "localization",
    "Localizer": "localization",
    "OccupancyGrid": "maps",
    "Odometry": "fusion",
    "Outcome": "metrics",
    "Place": "memory",
    "PlaceMemory": "memory",
    "PlaceMemoryError": "errors",
    "Pose": "frames",
    "Where": "memory",
    "add_run": "localization",
    "build": "memory.build",
    "copy": "memory",
    "create_encoder": "encoders:create",
    "evaluate": "evaluation",
    "list_frames": "frames",
    "localize": "localization",
    "merge": "memory",
    "open": "memory:open_memory",
    "read_image": "frames",
    "read_map": "maps",
    "read_poses": "frames",
    "register_encoder": "encoders",
    "train": "training",
}
_HIDDEN = {"open", "copy"}
"""Public names that ``from placememory import *`` leaves out, since they would shadow others."""

__all__ = [
    "BuildReport",
    "Candidate",
    "Encoder",
    "EncoderCard",
    "Estimate",
    "Evaluation",
    "EvaluationTable",
    "Frame",
    "GroundTruth",
    "LocalizedRun",
    "Localizer",
    "OccupancyGrid",
    "Odometry",
    "Outcome",
    "Place",
    "PlaceMemory",
    "PlaceMemoryError",
    "Pose",
    "Where",
    "__version__",
    "add_run",
    "build",
    "create_encoder",
    "evaluate",
    "list_frames",
    "localize",
    "merge",
    "read_image",
    "read_map",
    "read_poses",
    "register_encoder",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the import itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'placememory' has no attribute {name!r}")
    home, _, inner = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"placememory.{home}"), inner or name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted({*__all__, *_HIDDEN})
