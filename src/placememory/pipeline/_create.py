"""Make pipelines by the name of their protocol."""

from __future__ import annotations

import inspect
from typing import Any, get_args

from placememory._types import Protocol
from placememory.errors import SettingError
from placememory.matching import DEFAULT_MATCHER, Matcher
from placememory.pipeline._stream import SequencePipeline
from placememory.pipeline.casevpr import CasevprPipeline


def create(
    matcher: Matcher | str = DEFAULT_MATCHER, *, protocol: Protocol = "default", **settings: Any
) -> SequencePipeline:
    """Make a pipeline.

    Args:
        matcher: A matcher or its name.
        protocol: See :data:`Protocol`.
        settings: Of :class:`SequencePipeline`, or of
            :class:`placememory.pipeline.casevpr.CasevprPipeline`, which has no ``exclusion``,
            ``growing`` and ``smallest_map`` but lets their defaults pass.

    Raises:
        SettingError: There is no such protocol or setting, or a value is impossible.

    Example:
        >>> type(create("adaptseq-v2", protocol="casevpr", window=10)).__name__
        'CasevprPipeline'
    """
    if protocol not in get_args(Protocol):
        raise SettingError(f"protocol is {protocol!r}; give default or casevpr")
    kind = SequencePipeline if protocol == "default" else CasevprPipeline
    known = [name for name in inspect.signature(kind).parameters if name != "matcher"]
    common = inspect.signature(SequencePipeline).parameters
    unknown = [
        name
        for name in sorted(set(settings) - set(known))
        if name not in common or settings[name] != common[name].default
    ]
    if unknown:
        raise SettingError(
            f"the {protocol} pipeline has no setting {unknown[0]!r}; it has: {', '.join(known)}"
        )
    return kind(matcher, **{name: settings[name] for name in settings if name in known})
