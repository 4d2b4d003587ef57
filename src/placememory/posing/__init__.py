"""Posing: where exactly the camera was, from geometry.

Needs the intrinsics of the query's camera. From one verified place follows a direction
(:class:`RelativePose`); from a COLMAP model of the places the full pose with covariance
(:class:`Poser`), which needs the extras ``verify`` and ``colmap``.
"""

from placememory.posing._absolute import LEAST, absolute_pose
from placememory.posing._camera_pose import OPTICAL_IN_BODY, CameraPose, RelativePose
from placememory.posing._model import PosedImage, PosedModel
from placememory.posing._poser import Poser
from placememory.posing._refine import REACH, SURE, Refined, Refinement
from placememory.posing._triangulate import Triangulated, triangulate

__all__ = [
    "LEAST",
    "OPTICAL_IN_BODY",
    "REACH",
    "SURE",
    "CameraPose",
    "PosedImage",
    "PosedModel",
    "Poser",
    "Refined",
    "Refinement",
    "RelativePose",
    "Triangulated",
    "absolute_pose",
    "triangulate",
]
