"""The Localizer over ready descriptors: key frames, windows, what is searched, what is refused."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory import Frame, Localizer, PlaceMemory
from placememory.errors import DescriptorError, InputError, SettingError
from placememory.matching import create as create_matcher
from placememory.matching import names as matcher_names
from tests.conftest import make_card

DIM = 16


def descriptors(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def memory_of(
    rows: np.ndarray, sequences: np.ndarray | None = None, session: str = "map"
) -> PlaceMemory:
    dim = None if sequences is None else sequences.shape[1]
    memory = PlaceMemory.create(":memory:", encoder=make_card(rows.shape[1]), sequence_dim=dim)
    if len(rows):
        frames = [Frame(f"{i}.png", session, i) for i in range(len(rows))]
        memory.add(frames, rows, sequences)
    return memory


def query(number: int) -> Frame:
    return Frame(f"q{number}.png", "query", number)


class Plain:
    """The same as one would write it without a thought of speed: everything anew each frame."""

    def __init__(
        self, matcher: str, rows: np.ndarray, *, window: int, threshold: float, growing: bool,
        exclusion: int, candidates: int,
    ) -> None:  # fmt: skip
        self.matcher = create_matcher(
            matcher,
            **({"sequence_length": window} if matcher in ("band-dp", "adaptseq-v2") else {}),
        )
        self.length, self.threshold, self.growing = window, threshold, growing
        self.exclusion, self.candidates = exclusion, candidates
        self.map = [(("map", i), row) for i, row in enumerate(rows)]
        self.own: list[tuple[tuple[str, int], np.ndarray]] = []
        self.window: list[tuple[tuple[str, int], np.ndarray, bool]] = []
        self.keys: list[np.ndarray] = []

    def observe(self, number: int, frame: np.ndarray) -> list[tuple[str, int]] | None:
        key = self.threshold >= 1 or not self.keys or (
            float(unit(self.keys[-1]) @ unit(frame)) <= self.threshold
        )  # fmt: skip
        if self.window and not self.window[-1][2]:
            self.window.pop()
        self.window = [*self.window, (("query", number), frame, key)][-self.length :]
        if key:
            self.keys.append(frame)
            if self.growing:
                self.own.append((("query", number), frame))
        if len(self.window) < self.length:
            return None
        within = sum(1 for _, _, is_key in self.window if is_key)
        old = self.own[: max(0, len(self.own) - within - self.exclusion)]
        best: tuple[float, list[tuple[str, int]]] | None = None
        asked = unit(np.stack([row for _, row, _ in self.window]))
        ends = self._ends([self.map, old], asked)
        for part, ends_of in zip([self.map, old], ends, strict=True):
            if not part or (ends_of is not None and not len(ends_of)):
                continue
            places = unit(np.stack([row for _, row in part]))
            match = self.matcher.match(1 - places @ asked.T, ends_of)
            if len(match) and (best is None or match.scores[0] < best[0]):
                best = float(match.scores[0]), [part[row][0] for row in match.paths[0]]
        return None if best is None else best[1]

    def _ends(self, parts: list, asked: np.ndarray) -> list[np.ndarray | None]:
        """Ends of the nearest pooled sequences within each part."""
        if not self.candidates:
            return [None] * len(parts)
        found = []
        for number, part in enumerate(parts):
            for end in range(self.length - 1, len(part)):
                rows = unit(np.stack([row for _, row in part[end - self.length + 1 : end + 1]]))
                mean = unit(rows.mean(axis=0))
                found.append((-float(mean @ unit(asked.mean(axis=0))), number, end))
        chosen = sorted(found)[: self.candidates]
        return [
            np.array([end for _, number, end in chosen if number == i], np.int64)
            for i in range(len(parts))
        ]


@settings(max_examples=80, deadline=None)
@given(
    matcher=st.sampled_from(["adaptseq-v2", "band-dp", "seqslam", "nearest"]),
    window=st.integers(1, 5),
    threshold=st.sampled_from([1.0, 0.9]),
    growing=st.booleans(),
    exclusion=st.integers(0, 4),
    candidates=st.integers(0, 3),
    reference=st.integers(1, 12),
    seed=st.integers(0, 999),
)
def test_every_step_is_that_of_a_plain_loop(
    matcher, window, threshold, growing, exclusion, candidates, reference, seed
) -> None:
    rng = np.random.default_rng(seed)
    stream = [rng.normal(size=DIM)]
    for _ in range(32):  # new places, standing still, and places seen before
        kind = rng.random()
        near = stream[-1] if kind < 0.35 else stream[rng.integers(len(stream))]
        fresh = rng.normal(size=DIM)
        stream.append(fresh if kind > 0.7 else near + 0.1 * fresh)
    frames = np.array(stream, np.float32)
    plain = Plain(
        matcher, frames[:reference], window=window, threshold=threshold, growing=growing,
        exclusion=exclusion, candidates=candidates,
    )  # fmt: skip
    fast = Localizer(
        memory_of(frames[:reference]), matcher=matcher, fusion=None, window=window,
        keyframes=threshold, growing=growing, exclusion=exclusion, candidates=candidates,
    )  # fmt: skip
    for number, frame in enumerate(frames[reference:]):
        expected = plain.observe(number, frame)
        match = fast.observe(query(number), descriptor=frame).match
        assert (match is None) == (expected is None)
        if match is not None:
            assert [place.id for place in match.places] == expected
            assert match.frames == tuple(f"q{name[1]}.png" for name, _, _ in plain.window)


def figure_eight(laps: int, steps: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) metres and descriptors (N, 256) that depend on where, not on when."""
    angle = np.arange(laps * steps) * 2 * np.pi / steps
    places = np.stack([20 * np.sin(angle), 10 * np.sin(2 * angle)], axis=1)
    heading = np.stack([np.cos(angle), np.cos(2 * angle)], axis=1)
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 0.4, (4, 256))
    features = np.cos(np.hstack([places, 4 * unit(heading)]) @ waves + rng.uniform(0, 7, 256))
    return places, (features + rng.normal(0, 0.2, features.shape)).astype(np.float32)


@pytest.mark.parametrize("matcher", ["band-dp", "adaptseq-v2"])
def test_loop_closure_in_a_single_session(matcher: str) -> None:
    places, frames = figure_eight(laps=2)
    exclusion = 20
    localizer = Localizer(
        memory_of(np.empty((0, 256), np.float32)), matcher=matcher, fusion=None, window=5,
        growing=True, exclusion=exclusion, candidates=5,
    )  # fmt: skip
    estimates = [localizer.observe(query(i), descriptor=row) for i, row in enumerate(frames)]
    first = next(i for i, e in enumerate(estimates) if e.match is not None)
    assert first >= exclusion + 4
    for i, estimate in enumerate(estimates):
        for place in estimate.match.places if estimate.match else ():
            assert place.index < i - 4 - exclusion
    away = np.array(
        [
            np.linalg.norm(places[e.match.places[-1].index] - places[i])
            for i, e in enumerate(estimates)
            if i >= 125 and e.match is not None
        ]
    )
    assert len(away) > 100
    assert (away < 3).mean() > 0.98
    assert len(localizer.places) == len(frames)
    localizer.reset()
    assert len(localizer.places) == 0


def test_sequence_descriptors_give_the_candidates() -> None:
    frames, sequences = unit(descriptors(40)), unit(descriptors(40, seed=3, dim=7))
    sequences[:4] = np.nan
    memory = memory_of(frames, sequences)
    localizer = Localizer(memory, matcher="sequence-only", fusion=None, window=3, candidates=4, k=6)
    for i in range(4, 20):
        estimate = localizer.observe(query(i), descriptor=frames[i], sequence=sequences[i])
    order = np.argsort(-(np.nan_to_num(sequences) @ sequences[19]), kind="stable")
    assert [c.place.index for c in estimate.candidates] == order[:6].tolist()
    assert [place.index for place in estimate.match.places] == [19] * 3
    alone = localizer.observe(query(20), descriptor=frames[20])  # a frame without a sequence
    assert alone.candidates[0].place.index == 20


@pytest.mark.parametrize("matcher", [name for name in matcher_names() if "." not in name])
@pytest.mark.parametrize("places", [1, 2, 4])
def test_tiny_maps(matcher: str, places: int) -> None:
    rows = descriptors(places)
    localizer = Localizer(memory_of(rows), matcher=matcher, fusion=None, window=5)
    estimates = [
        localizer.observe(query(i), descriptor=row)
        for i, row in enumerate(np.resize(rows, (12, DIM)))
    ]
    assert all(e.match is None for e in estimates[:4])
    assert all(len(e.candidates) == places for e in estimates)
    assert all(e.match is None or len(e.match.places) == 5 for e in estimates)


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
def test_a_refused_descriptor_changes_nothing(bad: str) -> None:
    rows = descriptors(30)
    given, spared = (
        Localizer(
            memory_of(rows[:20]),
            matcher="adaptseq-v2",
            fusion=None,
            window=3,
            growing=True,
            keyframes=0.9,
        )
        for _ in range(2)
    )
    for i in range(10, 30):
        with pytest.raises(DescriptorError):
            given.observe(query(i), descriptor=BAD[bad])
        first, second = (one.observe(query(i), descriptor=rows[i]) for one in (given, spared))
        assert first.match == second.match
        assert first.candidates == second.candidates
    assert len(given.places) == len(spared.places)


def test_memory_is_flat_over_a_map() -> None:
    rows = descriptors(300)
    localizer = Localizer(memory_of(rows), matcher="adaptseq-v2", fusion=None, window=8)
    for i, row in enumerate(rows[:50]):
        localizer.observe(query(i), descriptor=row)
    gc.collect()
    tracemalloc.start()
    try:
        for i, row in enumerate(np.resize(rows, (1500, DIM))):
            localizer.observe(query(i), descriptor=row)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000


def test_impossible_settings_are_refused() -> None:
    memory = memory_of(descriptors(5))
    for bad in (
        {"window": 0},
        {"window": 2.5},
        {"k": 0},
        {"keyframes": 1.5},
        {"keyframes": float("nan")},
        {"exclusion": -1},
        {"candidates": -1},
        {"growing": True, "fusion": "bayes"},
        {"matcher": "band-pd"},
        {"fusion": "bays"},
    ):
        with pytest.raises(SettingError):
            Localizer(memory, **{"fusion": None, **bad})
    with pytest.raises(InputError, match="holds no places"):
        Localizer(memory_of(np.empty((0, DIM), np.float32)))
    with pytest.raises(InputError, match="give an image"):
        Localizer(memory, fusion=None).observe()
