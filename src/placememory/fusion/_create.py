"""Make fusion methods by name."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from placememory._registry import discover, load
from placememory.errors import SettingError
from placememory.fusion._base import Fusion
from placememory.fusion._places import PlaceTable

_PACKAGE = __package__ or "placememory.fusion"


def names() -> list[str]:
    """Names of all methods, ours and those of installed third parties.

    Example:
        >>> names()
        ['bayes', 'frequency', 'heatmap', 'spatial']
    """
    return list(discover(_PACKAGE))


def create(name: str, places: PlaceTable, **parameters: Any) -> Fusion:
    """Make a fusion method for one map and one robot.

    A method is a module in this folder (or one named by an entry point in the group
    ``placememory.fusion``) with ``create``, a class or function that takes the place table, then
    its settings by name, and gives a :class:`Fusion`.

    Args:
        name: One of :func:`names`.
        places: The map.
        parameters: Settings; those left out have their documented values.

    Raises:
        SettingError: No method has this name, or it has no such setting or value.

    Example:
        >>> table = PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0]])
        >>> type(create("frequency", table, window=3)).__name__
        'Frequency'
    """
    if name not in discover(_PACKAGE):
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SettingError(f"no fusion is called {name!r}; known: {', '.join(names())}{hint}")
    make = load(_PACKAGE, name).create
    known = list(inspect.signature(make).parameters)[1:]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise SettingError(f"{name} has no setting {unknown[0]!r}; it has: {', '.join(known)}")
    fusion: Fusion = make(places, **parameters)
    return fusion
