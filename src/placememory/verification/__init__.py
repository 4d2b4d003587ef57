"""Verification: is this candidate the same place? Local features and geometry decide.

Slow beside a search (some 30 ms an image and 10 ms a pair on one core), so a :class:`Policy` says
when it pays. Needs the extra ``verify``.
"""

from placememory.verification._border import inside
from placememory.verification._camera import Camera
from placememory.verification._camera_files import read_camera
from placememory.verification._features import Extractor, Features, mutual
from placememory.verification._geometry import Geometry, relate
from placememory.verification._policy import Policy
from placememory.verification._verified import FLOOR, Verified, rerank
from placememory.verification._verifier import ImageOf, Verification, Verifier
from placememory.verification._weigh import weigh
from placememory.verification.xfeat import XFeat

__all__ = [
    "FLOOR",
    "Camera",
    "Extractor",
    "Features",
    "Geometry",
    "ImageOf",
    "Policy",
    "Verification",
    "Verified",
    "Verifier",
    "XFeat",
    "inside",
    "mutual",
    "read_camera",
    "relate",
    "rerank",
    "weigh",
]
