"""The matching of one run: descriptors in, a result for each query frame out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from placememory import matching
from placememory.datasets import Traverse
from placememory.errors import SettingError
from placememory.evaluation.config import Settings
from placememory.evaluation.plan import Run
from placememory.pipeline import QueryResult, SequencePipeline, TraverseDescriptors, casevpr

_ACCEPT_ALL = 100.0  # the published threshold, which no score exceeds


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """What a query pass gave.

    Attributes:
        results: One a frame; fewer where the published code stops.
        searchable: (M,) int64 how many of the first rows might answer; ``None`` for all.
        counts: True and false positives, true and false negatives by the published code's own
            count; ``None`` in the default protocol.
        seconds: Of the query pass, without encoders.
    """

    results: list[QueryResult]
    searchable: NDArray[np.int64] | None
    counts: tuple[int, int, int, int] | None
    seconds: float


def match_run(
    run: Run,
    reference: Traverse,
    query: Traverse,
    reference_rows: TraverseDescriptors,
    query_rows: TraverseDescriptors,
) -> Matched:
    """Match a query traverse to a reference, or to its own past.

    Args:
        run: Settings, matcher and pair.
        reference: Traverse of the map.
        query: Traverse of the queries.
        reference_rows: Descriptors of the map.
        query_rows: Descriptors of the queries.

    Raises:
        SettingError: The protocol cannot do what is asked.
        DescriptorError: Descriptors of the two do not fit.
    """
    if run.settings.protocol == "casevpr":
        return _published(run, reference, query, reference_rows, query_rows)
    started = time.perf_counter()
    pooled = reference_rows.sequences is None
    length = run.settings.window if pooled else _length(reference_rows, query_rows)
    pipeline = _pipeline(run, length)
    if run.pair.reference is not None:
        pipeline.add_reference(reference_rows.descriptors, reference_rows.sequences)
        pipeline.freeze()
    results = pipeline.run(query_rows)
    seconds = time.perf_counter() - started
    if run.pair.reference is not None:
        results = [_from_zero(result, len(reference)) for result in results]
    return Matched(results, _searchable(run, len(query)), None, seconds)


def _matcher(run: Run, length: int) -> matching.Matcher:
    """The matcher, told how many frames its candidates stand for unless the run says it."""
    parameters = dict(run.matcher.parameters)
    if "sequence_length" in matching.settings_of(run.matcher.matcher):
        parameters.setdefault("sequence_length", length)
    return matching.create(run.matcher.matcher, **parameters)


def _pipeline(run: Run, length: int) -> SequencePipeline:
    settings = run.settings
    return SequencePipeline(
        _matcher(run, length),
        window=settings.window,
        similarity=settings.similarity,
        keyframe_threshold=settings.keyframe_threshold,
        search_nonkeyframes=settings.search_nonkeyframes,
        separate=settings.separate,
        exclusion=settings.exclusion,
        growing=run.pair.reference is None,
        candidates=settings.candidates,
        threshold=math.inf if settings.threshold is None else settings.threshold,
    )


def _length(*described: TraverseDescriptors) -> int:
    """Frames that a sequence descriptor stands for: the first ones of a traverse have none."""
    missing = [len(d) - len(d.sequences) for d in described if d.sequences is not None]
    return max(missing, default=0) + 1


def _published(
    run: Run,
    reference: Traverse,
    query: Traverse,
    reference_rows: TraverseDescriptors,
    query_rows: TraverseDescriptors,
) -> Matched:
    settings, parameters = run.settings, run.matcher.parameters
    if run.pair.reference is None:
        raise SettingError("CaseVPR's protocol has no single session; its code crashes there")
    started = time.perf_counter()
    found = casevpr.run(
        _with_positions(reference_rows, reference),
        _with_positions(query_rows, query),
        run.matcher.matcher,
        radius=run.dataset.radius,
        sequence_rule=None if settings.ground_truth == "frame" else settings.ground_truth,
        window=settings.window,
        candidates=settings.candidates,
        search_width=int(parameters.get("search_width", 4)),
        block=int(parameters.get("block", 14)),
        sequence_length=int(parameters.get("sequence_length", 5)),
        similarity=settings.similarity,
        keyframe_threshold=settings.keyframe_threshold,
        search_nonkeyframes=settings.search_nonkeyframes,
        separate=settings.separate,
        threshold=_ACCEPT_ALL if settings.threshold is None else settings.threshold,
    )
    seconds = time.perf_counter() - started
    results = [_from_zero(result, len(reference)) for result in found.results]
    return Matched(results, None, found.totals, seconds)


def _with_positions(rows: TraverseDescriptors, traverse: Traverse) -> TraverseDescriptors:
    return TraverseDescriptors(rows.descriptors, rows.sequences, traverse.positions)


def _from_zero(result: QueryResult, references: int) -> QueryResult:
    """A result whose query frames are counted from zero; negative ones are of the map's end."""
    return replace(result, frame=result.frame - references, window=result.window - references)


def _searchable(run: Run, frames: int) -> NDArray[np.int64] | None:
    """How many rows might answer each frame of a single session: all that is long enough ago."""
    if run.pair.reference is not None:
        return None
    settings: Settings = run.settings
    return (np.arange(frames) + 1 - settings.window - settings.exclusion).clip(0)
