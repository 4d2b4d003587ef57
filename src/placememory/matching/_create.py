"""Make matchers by name."""

from __future__ import annotations

import difflib
import inspect

from placememory._registry import discover, load
from placememory.errors import SettingError
from placememory.matching._base import Matcher

_PACKAGE = __package__ or "placememory.matching"


def names() -> list[str]:
    """Names of all matchers, ours and those of installed third parties.

    Example:
        >>> "adaptseq-v2" in names()
        True
    """
    return list(discover(_PACKAGE))


def parameters_of(name: str) -> list[str]:
    """Names of the parameters of a matcher.

    Raises:
        SettingError: No matcher has this name.

    Example:
        >>> parameters_of("adaptseq")
        ['candidates', 'search_width', 'block']
    """
    if name not in discover(_PACKAGE):
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SettingError(f"no matcher is called {name!r}; known: {', '.join(names())}{hint}")
    return list(inspect.signature(load(_PACKAGE, name).create).parameters)


def create(name: str, **parameters: float) -> Matcher:
    """Make a matcher.

    A matcher is a module in this folder (or one named by an entry point in the group
    ``placememory.matching``) with ``create``, a class or function that takes the parameters by
    name and gives a :class:`Matcher`.

    Args:
        name: One of :func:`names`.
        parameters: Settings of the matcher; those left out have their published values.

    Raises:
        SettingError: No matcher has this name, or it has no such parameter or parameter value.

    Example:
        >>> create("adaptseq", candidates=3)
        AdaptSeq(candidates=3, search_width=4, block=14)
    """
    known = parameters_of(name)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise SettingError(f"{name} has no parameter {unknown[0]!r}; it has: {', '.join(known)}")
    matcher: Matcher = load(_PACKAGE, name).create(**parameters)
    return matcher
