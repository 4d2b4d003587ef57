"""The stream: key frames, windows, what is searched, and what is refused."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placememory.pipeline import create

from placememory.compat.casevpr.pipeline import CasevprPipeline, PublishedTraverse, SequencePipeline
from placememory.errors import DescriptorError, InputError, PlaceMemoryError, SettingError
from placememory.matching import create as create_matcher
from placememory.matching import names as matcher_names

DIM = 16


def descriptors(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class Plain:
    """The pipeline as one would write it without a thought of speed: everything anew each frame."""

    def __init__(self, matcher: str, **settings: object) -> None:
        self.s = SequencePipeline(matcher, **settings)  # for its settings only
        self.rows: list[tuple[int, np.ndarray]] = []
        self.own: list[int] = []  # numbers of rows of the run that asks
        self.window: list[tuple[int, np.ndarray, bool]] = []
        self.keys: list[np.ndarray] = []
        self.count, self.begun = 0, False

    def is_key(self, keys: list[np.ndarray], frame: np.ndarray) -> bool:
        limit = self.s.keyframe_threshold
        return limit >= 1 or not keys or float(unit(keys[-1]) @ unit(frame)) <= limit

    def add_reference(self, frames: np.ndarray) -> None:
        for frame in frames:
            if self.is_key([row for _, row in self.rows], frame):
                self.rows.append((self.count, frame))
            self.count += 1

    def query(self, frame: np.ndarray) -> tuple[str | None, list[list[int]], int]:
        if not self.begun and not self.s.separate:
            self.own = [number for number, _ in self.rows]
            self.keys = [row for _, row in self.rows]
            last = self.rows[max(0, len(self.rows) - self.s.window + 1) :]
            self.window = [(*row, True) for row in last]
        self.begun = True
        key, number = self.is_key(self.keys, frame), self.count
        self.count += 1
        if not key and not self.s.search_nonkeyframes:
            return "not-a-key-frame", [], 0
        if self.window and not self.window[-1][2]:
            self.window.pop()
        self.window = [*self.window, (number, frame, key)][-self.s.window :]
        if key:
            self.keys.append(frame)
            self.own.append(number)
            if self.s.growing:
                self.rows.append((number, frame))
        if len(self.window) < self.s.window:
            return "warming-up", [], 0
        within = sum(1 for number, _, key in self.window if key)
        banned = set(self.own[max(0, len(self.own) - within - self.s.exclusion) :])
        rows = [row for row in self.rows if row[0] not in banned]
        if not rows:
            return "map-too-small", [], 0
        numbers = np.array([number for number, _ in rows])
        places = unit(np.stack([row for _, row in rows]))
        asked = unit(np.stack([row for _, row, _ in self.window]))
        match = self.s.matcher.match(1 - places @ asked.T, self.candidates(places, asked))
        return None, numbers[match.paths].tolist(), len(rows)

    def candidates(self, places: np.ndarray, asked: np.ndarray) -> np.ndarray | None:
        length, count = self.s.window, self.s.candidates
        if len(places) < length or count == 0:
            return None
        ends = range(length - 1, len(places))
        means = unit(np.stack([places[e - length + 1 : e + 1].mean(axis=0) for e in ends]))
        away = np.linalg.norm(means - unit(asked.mean(axis=0)), axis=1)
        return np.argsort(away, kind="stable")[:count] + length - 1


@settings(max_examples=120, deadline=None)
@given(
    matcher=st.sampled_from(["adaptseq-v2", "band-dp", "seqslam", "nearest"]),
    window=st.integers(1, 5),
    threshold=st.sampled_from([1.0, 0.9]),
    search_nonkeyframes=st.booleans(),
    separate=st.booleans(),
    growing=st.booleans(),
    exclusion=st.integers(0, 4),
    candidates=st.integers(0, 3),
    reference=st.integers(0, 12),
    seed=st.integers(0, 999),
)
def test_every_step_is_that_of_a_plain_pipeline(
    matcher, threshold, reference, seed, **parameters
) -> None:
    rng = np.random.default_rng(seed)
    stream = [rng.normal(size=DIM)]
    for _ in range(40):  # new places, standing still, and places seen before
        kind = rng.random()
        near = stream[-1] if kind < 0.35 else stream[rng.integers(len(stream))]
        fresh = rng.normal(size=DIM)
        stream.append(fresh if kind > 0.7 else near + 0.1 * fresh)
    frames = np.array(stream, np.float32)
    settings = {"keyframe_threshold": threshold, **parameters}
    fast, plain = SequencePipeline(matcher, **settings), Plain(matcher, **settings)
    for part in np.split(frames[:reference], [reference // 3]):
        fast.add_reference(part)
        plain.add_reference(part)
    for frame in frames[reference:]:
        result = fast.query(frame)
        skipped, paths, rows = plain.query(frame)
        assert (result.skipped, result.rows) == (skipped, rows)
        if result.searched:
            assert result.match.paths.tolist() == paths
            assert result.window.tolist() == [number for number, _, _ in plain.window]
    assert fast.frames.tolist() == [number for number, _ in plain.rows]


def test_references_may_be_added_between_queries() -> None:
    places = descriptors(60)
    late, early = SequencePipeline("seqslam", window=3), SequencePipeline("seqslam", window=3)
    early.add_reference(places)
    late.add_reference(places[:30])
    for frame in places[40:42]:
        late.query(frame)
        early.query(frame)
    late.add_reference(places[30:])
    first, second = late.query(places[42]), early.query(places[42])
    assert second.path.tolist() == [40, 41, 42]
    assert first.rows == second.rows == 60
    assert late.frames[40:43].tolist() == first.path.tolist() == [42, 43, 44]  # two queries between


def figure_eight(laps: int, steps: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) metres and descriptors (N, 256) that depend on where, not on when."""
    angle = np.arange(laps * steps) * 2 * np.pi / steps
    places = np.stack([20 * np.sin(angle), 10 * np.sin(2 * angle)], axis=1)
    heading = np.stack([np.cos(angle), np.cos(2 * angle)], axis=1)
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 0.4, (4, 256))
    features = np.cos(np.hstack([places, 4 * unit(heading)]) @ waves + rng.uniform(0, 7, 256))
    return places, features + rng.normal(0, 0.2, features.shape)


@pytest.mark.parametrize("matcher", ["band-dp", "adaptseq-v2"])
def test_loop_closure_in_a_single_session(matcher: str) -> None:
    places, frames = figure_eight(laps=2)
    exclusion = 20
    pipeline = SequencePipeline(
        matcher, window=5, separate=False, growing=True, exclusion=exclusion
    )
    results = [pipeline.query(frame) for frame in frames]
    assert [r.skipped for r in results[:5]] == ["warming-up"] * 4 + ["map-too-small"]
    searched = [r for r in results if r.searched]
    assert searched[0].frame == exclusion + 5
    for r in searched:
        assert r.rows == r.window[0] - exclusion
        assert r.match.paths.max() < r.window[0] - exclusion
    away = np.array([np.linalg.norm(places[r.matched] - places[r.frame]) for r in results[120:]])
    means = np.array([r.match.means[0] for r in results if r.searched])
    second = means[-120:]
    assert (away[5:] < 3).mean() > 0.98
    assert np.median(second) < 0.5 * np.median(means[:60])
    assert len(pipeline) == len(frames)


def test_a_growing_map_can_be_frozen() -> None:
    frames = descriptors(40)
    pipeline = SequencePipeline("seqslam", window=3, separate=False, growing=True)
    for frame in frames[:20]:
        pipeline.query(frame)
    pipeline.freeze()
    results = [pipeline.query(frame) for frame in frames[20:]]
    assert len(pipeline) == 20
    assert [r.rows for r in results[:4]] == [18, 19, 20, 20]
    with pytest.raises(InputError, match="frozen"):
        pipeline.add_reference(frames)


def test_continued_and_separate() -> None:
    frames = descriptors(50)
    apart, on = (SequencePipeline("seqslam", window=5, separate=s) for s in (True, False))
    for pipeline in (apart, on):
        pipeline.add_reference(frames[:40])
    first = [pipeline.query(frames[40]) for pipeline in (apart, on)]
    assert first[0].skipped == "warming-up"
    assert first[0].window.tolist() == [40]
    assert first[1].searched
    assert first[1].window.tolist() == [36, 37, 38, 39, 40]
    assert first[1].rows == 36
    assert first[1].path.max() < 36
    later = [[pipeline.query(frame) for frame in frames[41:]] for pipeline in (apart, on)]
    assert [r.rows for r in later[1]] == [37, 38, 39, 40, 40, 40, 40, 40, 40]
    for a, b in zip(later[0][3:], later[1][3:], strict=True):  # then both windows are the same
        assert a.path.tolist() == b.path.tolist()


def test_nonkey_frames_are_replaced_or_dropped() -> None:
    places = descriptors(30)
    stops = np.repeat(places[10:16], 3, axis=0) + 0.01 * descriptors(18, seed=1)
    kept = SequencePipeline("band-dp", window=3, keyframe_threshold=0.95)
    keys = kept.add_reference(np.repeat(places, 2, axis=0))
    assert keys.tolist() == [True, False] * 30
    assert kept.frames.tolist() == list(range(0, 60, 2))
    results = [kept.query(frame) for frame in stops]
    assert results[6].window.tolist() == [60, 63, 66]
    assert results[7].window.tolist() == [63, 66, 67]
    assert results[8].window.tolist() == [63, 66, 68]
    assert results[9].window.tolist() == [63, 66, 69]
    assert results[17].path.tolist() == [28, 30, 30]
    dropping = SequencePipeline(
        "seqslam", window=3, keyframe_threshold=0.95, search_nonkeyframes=False
    )
    dropping.add_reference(places)
    results = [dropping.query(frame) for frame in stops]
    assert [r.skipped for r in results[6:9]] == [None, "not-a-key-frame", "not-a-key-frame"]
    assert results[8].window.tolist() == [30, 33, 36]
    assert results[15].path.tolist() == [13, 14, 15]


def test_sequence_descriptors_are_used_as_they_are() -> None:
    frames, sequences = descriptors(40), descriptors(36, seed=3, dim=7)
    sequences *= np.linspace(1, 20, 36)[:, None].astype(np.float32)
    pipeline = SequencePipeline("sequence-only", window=3, candidates=4)
    pipeline.add_reference(frames, sequences)
    for i in range(20):
        result = pipeline.query(frames[i], sequences[i])
    away = np.linalg.norm(sequences.astype(float) - sequences[19], axis=1)
    assert result.candidates.tolist() == (np.argsort(away)[:4] + 4).tolist()
    assert result.path.tolist() == [23] * 3
    assert result.match.score_kind == "constant"
    assert pipeline.query(frames[20]).candidates[0] == 20  # pooled where a frame has none


def test_run_streams_a_traverse() -> None:
    frames = descriptors(30)
    sequences = np.concatenate([np.full((4, 3), np.nan), descriptors(26, dim=3)])
    run = PublishedTraverse(frames, sequences, np.zeros((30, 2)))
    pipeline = create("adaptseq-v2", window=5)
    pipeline.add_reference(run.descriptors, run.sequences)
    results = pipeline.run(run)
    assert [r.matched for r in results[4:]] == list(range(4, 30))
    assert [r.candidates[0] for r in results[4:]] == list(range(4, 30))
    pipeline.restart()
    again = pipeline.run(run)
    assert [r.path.tolist() for r in again] == [r.path.tolist() for r in results]


@pytest.mark.parametrize("matcher", [name for name in matcher_names() if "." not in name])
@pytest.mark.parametrize("places", [1, 2, 4])
def test_tiny_maps(matcher: str, places: int) -> None:
    rows = descriptors(places)
    for separate in (True, False):
        pipeline = SequencePipeline(matcher, window=5, separate=separate)
        pipeline.add_reference(rows)
        results = [pipeline.query(frame) for frame in np.resize(rows, (12, DIM))]
        assert results[0].skipped in ("warming-up", "map-too-small")
        for r in results[-3:]:
            assert r.searched
            assert r.rows == places
            assert r.match.paths.shape[1] == 5
            assert (r.matched is None) == (len(r.match) == 0)
            assert r.accepted == (len(r.match) > 0)


def test_an_empty_map() -> None:
    pipeline = SequencePipeline(window=2)
    results = [pipeline.query(frame) for frame in descriptors(3)]
    assert [r.skipped for r in results] == ["warming-up", "map-too-small", "map-too-small"]
    assert results[-1].matched is None
    assert results[-1].score == np.inf
    assert results[-1].path.shape == results[-1].distances.shape == (0,)
    assert len(pipeline) == pipeline.add_reference(np.empty((0, DIM))).sum() == 0


BAD = {
    "NaN": np.r_[np.nan, np.ones(DIM - 1)],
    "infinity": np.r_[np.inf, np.ones(DIM - 1)],
    "too large for float32": np.r_[1e300, np.ones(DIM - 1)],
    "zero": np.zeros(DIM),
    "too long": np.ones(DIM + 1),
    "a matrix": np.ones((1, DIM)),
    "a number": np.float64(3.0),
    "whole numbers": np.ones(DIM, np.int64),
    "text": np.array(["x"] * DIM),
    "empty": np.empty(0),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_a_refused_frame_changes_nothing(bad: str, similarity: str) -> None:
    places, sequences = descriptors(30), descriptors(30, seed=2)
    parameters = {"window": 3, "growing": True, "similarity": similarity, "keyframe_threshold": 0.9}
    told, spared = (SequencePipeline("adaptseq-v2", **parameters) for _ in range(2))
    for pipeline in (told, spared):
        pipeline.add_reference(places[:20], sequences[:20])
    with pytest.raises(DescriptorError):
        told.add_reference(np.tile(np.atleast_2d(BAD[bad]), (2, 1)).reshape(2, 1, -1))
    for i in range(10, 30):
        with pytest.raises(DescriptorError):
            told.query(BAD[bad])
        with pytest.raises(DescriptorError):
            told.query(places[i], BAD[bad])
        first, second = (p.query(places[i], sequences[i]) for p in (told, spared))
        assert first.frame == second.frame
        assert first.skipped == second.skipped
        assert first.path.tolist() == second.path.tolist()
        assert first.score == second.score
    assert told.frames.tolist() == spared.frames.tolist()
    assert told.nbytes == spared.nbytes


@pytest.mark.parametrize("bad", ["NaN", "zero", "too long"])
def test_refused_references_change_nothing(bad: str) -> None:
    pipeline, rows = SequencePipeline(window=2), descriptors(5)
    pipeline.add_reference(rows)
    with pytest.raises(DescriptorError):
        pipeline.add_reference(np.stack([np.ones(len(BAD[bad])), BAD[bad]]))
    with pytest.raises(PlaceMemoryError):
        pipeline.add_reference(rows, np.ones((6, 3)))
    assert len(pipeline) == 5


def test_a_continued_or_growing_map_takes_no_references_in_between() -> None:
    for parameters in ({"separate": False}, {"growing": True}):
        pipeline, rows = SequencePipeline(window=2, **parameters), descriptors(5)
        pipeline.add_reference(rows)
        pipeline.query(rows[0])
        with pytest.raises(InputError, match="restart"):
            pipeline.add_reference(rows)
        pipeline.restart()
        pipeline.add_reference(rows)


def test_the_threshold_decides_what_is_accepted() -> None:
    places = descriptors(40)
    pipeline = SequencePipeline("adaptseq", window=3, threshold=0.5)
    pipeline.add_reference(places)
    assert [pipeline.query(frame).accepted for frame in places[20:25]] == [False] * 2 + [True] * 3
    lost = [pipeline.query(frame) for frame in descriptors(5, seed=9)]
    assert lost[-1].searched
    assert not lost[-1].accepted


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_memory_is_flat_over_a_frozen_map(similarity: str) -> None:
    places = descriptors(300)
    pipeline = SequencePipeline("adaptseq-v2", similarity=similarity, window=8)
    pipeline.add_reference(places)
    pipeline.freeze()
    for frame in places[:50]:
        pipeline.query(frame)
    size = pipeline.nbytes
    gc.collect()
    tracemalloc.start()
    try:
        for frame in np.resize(places, (1500, DIM)):
            pipeline.query(frame)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pipeline.nbytes == size
    assert held < 100_000


def test_impossible_settings() -> None:
    for bad in (
        {"window": 0},
        {"window": 2.5},
        {"similarity": "dot"},
        {"keyframe_threshold": 1.5},
        {"keyframe_threshold": float("nan")},
        {"exclusion": -1},
        {"candidates": -1},
        {"smallest_map": 0},
        {"threshold": float("nan")},
    ):
        with pytest.raises(SettingError, match=next(iter(bad))):
            SequencePipeline(**bad)
    with pytest.raises(SettingError, match="protocol"):
        create(protocol="published")
    with pytest.raises(SettingError, match="exclusion"):
        create("seqslam", protocol="casevpr", exclusion=3)
    with pytest.raises(SettingError, match="no setting 'windows'"):
        create(windows=3)


def test_protocols_are_made_by_name() -> None:
    assert isinstance(create("seq_desc", protocol="casevpr", exclusion=0), CasevprPipeline)
    own = create_matcher("band-dp", candidates=2)
    assert create(own, window=7).matcher is own
    assert type(create()) is SequencePipeline
