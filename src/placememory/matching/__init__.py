"""Matchers: distances of a window of query frames to a map -> rows of the map, frame by frame.

A matcher is a module in this folder (or one named by an entry point in the group
``placememory.matching``) with ``create``, a class or function that takes the settings by name and
gives a :class:`Matcher`. Matchers are pure: NumPy in, NumPy out.
"""

from placememory._registry import Registry
from placememory.matching._base import Matcher, ScoreKind, SequenceMatch
from placememory.matching._candidates import PooledSequences
from placememory.matching._keyframes import KeyFrames
from placememory.matching._walk import block_minima, greedy_walk, rank_paths, smallest, within
from placememory.matching._windows import DistanceWindow, Growing, Similarity

DEFAULT_MATCHER = "band-dp"
"""The matcher that is taken where none is named."""

_MATCHERS = Registry(__name__, "matcher")

__all__ = [
    "DEFAULT_MATCHER",
    "DistanceWindow",
    "Growing",
    "KeyFrames",
    "Matcher",
    "PooledSequences",
    "ScoreKind",
    "SequenceMatch",
    "Similarity",
    "block_minima",
    "create",
    "greedy_walk",
    "names",
    "rank_paths",
    "settings_of",
    "smallest",
    "within",
]


def names() -> list[str]:
    """Names of all matchers, ours and those of installed packages.

    Example:
        >>> "adaptseq-v2" in names()
        True
    """
    return _MATCHERS.names()


def settings_of(name: str) -> list[str]:
    """Names of the settings of a matcher.

    Raises:
        SettingError: No matcher has this name.

    Example:
        >>> settings_of("adaptseq")
        ['candidates', 'search_width', 'block']
    """
    return _MATCHERS.settings_of(name)


def create(name: str, **settings: float) -> Matcher:
    """Make a matcher.

    Args:
        name: One of :func:`names`.
        settings: Those left out have their published values.

    Raises:
        SettingError: No matcher has this name, or it has no such setting or value.

    Example:
        >>> create("adaptseq", candidates=3)
        AdaptSeq(candidates=3, search_width=4, block=14)
    """
    matcher: Matcher = _MATCHERS.create(name, **settings)
    return matcher
