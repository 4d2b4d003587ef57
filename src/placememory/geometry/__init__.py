"""Verification: is this candidate the same place? Local features and geometry decide.

Slow beside a search (some 30 ms an image and 10 ms a pair on one core), so a :class:`Policy` says
when it pays. Needs the extra ``verify``.
"""

from placememory.geometry.camera_pose import (
    LEAST,
    OPTICAL_IN_BODY,
    CameraPose,
    RelativePose,
    absolute_pose,
)
from placememory.geometry.cameras import Camera, read_camera
from placememory.geometry.colmap import PosedImage, PosedModel
from placememory.geometry.features import Extractor, Features, XFeat, inside, mutual
from placememory.geometry.poser import REACH, SURE, Poser, Refined, Refinement
from placememory.geometry.triangulation import Triangulated, triangulate
from placememory.geometry.two_view import Geometry, relate
from placememory.geometry.verifier import (
    FLOOR,
    Policy,
    Verification,
    Verified,
    Verifier,
    rerank,
)

__all__ = [
    "FLOOR",
    "LEAST",
    "OPTICAL_IN_BODY",
    "REACH",
    "SURE",
    "Camera",
    "CameraPose",
    "Extractor",
    "Features",
    "Geometry",
    "Policy",
    "PosedImage",
    "PosedModel",
    "Poser",
    "Refined",
    "Refinement",
    "RelativePose",
    "Triangulated",
    "Verification",
    "Verified",
    "Verifier",
    "XFeat",
    "absolute_pose",
    "inside",
    "mutual",
    "read_camera",
    "relate",
    "rerank",
    "triangulate",
]
