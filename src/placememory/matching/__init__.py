"""Matchers: distances of a window of query frames to a map -> rows of the map, frame by frame.

Each method is one file in this folder, found by its name. They are pure: NumPy in, NumPy out.
"""

from placememory.matching._base import Matcher, ScoreKind, SequenceMatch
from placememory.matching._create import create, names, parameters_of

DEFAULT_MATCHER = "band-dp"
"""The matcher that is taken where none is named."""

__all__ = [
    "DEFAULT_MATCHER",
    "Matcher",
    "ScoreKind",
    "SequenceMatch",
    "create",
    "names",
    "parameters_of",
]
