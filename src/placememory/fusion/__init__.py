"""Fusion: several frames' candidates -> one belief over the map.

A method is a module in this folder (or one named by an entry point in the group
``placememory.fusion``) with ``create``, a class or function that takes the place table, then its
settings by name, and gives a :class:`Fusion`. Methods are pure: NumPy in, NumPy out.
"""

from typing import Any

from placememory._registry import Registry
from placememory.fusion._belief import Belief, Fusion, Hypothesis, Proposing, Verdict
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._observation import ObservationModel
from placememory.fusion._places import PlaceTable
from placememory.fusion._profile import MapProfile, Rest
from placememory.fusion._state import Resumable, State
from placememory.fusion.heatmap import Heat

DEFAULT_FUSION = "bayes"
"""The method that is taken where none is named."""

_METHODS = Registry(__name__, "fusion")

__all__ = [
    "DEFAULT_FUSION",
    "Belief",
    "Evidence",
    "Fusion",
    "Heat",
    "Hypothesis",
    "MapProfile",
    "ObservationModel",
    "Odometry",
    "PlaceTable",
    "Proposing",
    "Rest",
    "Resumable",
    "State",
    "Verdict",
    "create",
    "names",
]


def names() -> list[str]:
    """Names of all methods, ours and those of installed packages.

    Example:
        >>> names()
        ['bayes', 'frequency', 'heatmap', 'spatial']
    """
    return _METHODS.names()


def create(
    name: str, places: PlaceTable, profile: MapProfile | None = None, **settings: Any
) -> Fusion:
    """Make a fusion method for one map and one robot.

    Args:
        name: One of :func:`names`.
        places: The map.
        profile: What the map knows of itself, for methods that take it.
        settings: Those left out have their documented values.

    Raises:
        SettingError: No method has this name, or it has no such setting or value.

    Example:
        >>> table = PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0]])
        >>> type(create("frequency", table, window=3)).__name__
        'Frequency'
    """
    if profile is not None and "profile" in _METHODS.settings_of(name):
        settings["profile"] = profile
    fusion: Fusion = _METHODS.create(name, places, **settings)
    return fusion
