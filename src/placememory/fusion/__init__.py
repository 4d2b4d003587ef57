"""Fusion: several frames' candidates -> one belief over the map.

Each method is one file in this folder, found by its name. They are pure: NumPy in, NumPy out.
"""

from placememory.fusion._base import Fusion
from placememory.fusion._belief import Belief, Hypothesis, Verdict
from placememory.fusion._create import create, names
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._observation import ObservationModel
from placememory.fusion._places import PlaceTable

DEFAULT_FUSION = "bayes"
"""The method that is taken where none is named."""

__all__ = [
    "DEFAULT_FUSION",
    "Belief",
    "Evidence",
    "Fusion",
    "Hypothesis",
    "ObservationModel",
    "Odometry",
    "PlaceTable",
    "Verdict",
    "create",
    "names",
]
