"""A system of the kind ``online``: the Localizer over descriptors that are there already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from placememory import matching
from placememory._types import Bools, Floats, Rows, Vectors
from placememory.datasets import Traverse
from placememory.encoders import EncoderCard
from placememory.errors import InputError
from placememory.evaluation.config import System
from placememory.evaluation.describe import TraverseDescriptors
from placememory.evaluation.plan import Question, Run
from placememory.frames import Pose, read_poses
from placememory.fusion import Belief, Odometry
from placememory.geometry import Verifier
from placememory.likeness import Background
from placememory.localization import Estimate, Localizer, Motions
from placememory.localization.localizer import create_matcher
from placememory.matching import KeyFrames
from placememory.memory import Place, PlaceMemory, images_of

_PLACED = ("spatial", "heatmap")  # methods that need positions


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers of a system to M query frames; rows are those of the question's map.

    Attributes:
        candidates: (M, K) int64, best first; -1 where there are fewer.
        rows: (M,) int64, row of the answer; -1 where there is none.
        scores: (M,) float64 of the answer, lower is surer; infinite where there is none.
        answered: (M,) bool, whether the answer was given: located, or a match accepted.
        skipped: Why a frame was not searched; ``""`` where it was.
        poses: Pose of each answer; ``None`` where none is known.
        beliefs: Of the fusion, ``None`` before the first; ``None`` without fusion.
        paths: Frame number, matched rows (T,) and query frames (T,) of each matched window.
        limits: (M,) how many of the first rows may answer each frame; ``None`` for all.
        score_kind: What the scores are.
        seconds: Of all frames, without encoders.
        published: True and false positives, true and false negatives by the published code's own
            count; ``None`` in the default protocol.
        estimates: Of the Localizer, where it answered.
        retrieved: Frame number and rows (K', T) of every path, best first, where they are asked
            for; see ``retrieval.npz``.
    """

    candidates: Rows
    rows: Rows
    scores: Floats
    answered: Bools
    skipped: list[str]
    poses: list[Pose | None]
    beliefs: list[Belief | None] | None
    paths: list[tuple[int, Rows, Rows]]
    limits: Rows | None
    score_kind: str
    seconds: float
    published: tuple[int, int, int, int] | None = None
    estimates: list[Estimate] = field(default_factory=list)
    retrieved: list[tuple[int, Rows]] | None = None

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.rows)


def localize_run(
    run: Run, question: Question, reference: TraverseDescriptors, query: TraverseDescriptors
) -> Answers:
    """Run a system as a robot would, frame by frame.

    Args:
        run: System and settings.
        question: Map and queries.
        reference: Descriptors of the whole reference traverse.
        query: Descriptors of the queries.

    Returns:
        An answer for each query frame. Where queries change their session, the localizer begins
        anew.

    Raises:
        SettingError: A setting is impossible.
        DescriptorError: Descriptors of the two do not fit.
    """
    settings, single = run.settings, run.pair.reference is None
    map_rows, map_sequences, first = _rows_to_search(reference)
    asked_rows, asked_sequences, warm = _rows_to_search(query)
    selected = question.rows[question.rows >= first]
    if not single:
        selected = _key_rows(selected, map_rows, settings.keyframe_threshold)
    chosen = np.empty(0, np.int64) if single else selected
    placed = run.system.fusion in _PLACED and question.reference.unit == "frames"
    places = [_place(question.reference, int(row), placed) for row in chosen]
    frame_ids = (place.pose.frame_id for place in places if place.pose is not None)
    with PlaceMemory.create(
        ":memory:",
        encoder=EncoderCard(name=run.encoder.encoder, dim=map_rows.shape[1]),
        frame_id=next(frame_ids, "map"),
        sequence_dim=None if map_sequences is None or single else map_sequences.shape[1],
    ) as memory:
        sequences = None
        if map_sequences is not None and not single:
            sequences = map_sequences[chosen]
        if places:
            memory.add(places, map_rows[chosen], sequences)
        if places and reference.background is not None:
            memory.set_background(Background.measure(map_rows[chosen], reference.background))
        localizer = Localizer(
            memory,
            matcher=_matcher(run, reference),
            fusion=None if single else run.system.fusion,
            settings=settings.fusion,
            verify=_verifier(question.reference, run.system),
            k=settings.k,
            window=settings.window,
            candidates=settings.candidates,
            keyframes=settings.keyframe_threshold,
            growing=single,
            exclusion=settings.exclusion,
        )
        started = time.perf_counter()
        estimates = list(
            _observe(run, localizer, question.query, asked_rows, asked_sequences, warm)
        )
        seconds = time.perf_counter() - started
    number = {int(row): i for i, row in enumerate(question.rows)}
    of_place = {
        _place(question.reference, int(row), placed).id: number[int(row)] for row in selected
    }
    limits = None
    if single:
        limits = (np.arange(len(estimates)) + 1 - settings.window - settings.exclusion).clip(0)
    return _answers(run, question.query, estimates, of_place, limits, seconds)


def _observe(
    run: Run,
    localizer: Localizer,
    traverse: Traverse,
    rows: Vectors,
    sequences: Vectors | None,
    warm: int,
) -> Iterator[Estimate]:
    motions = None
    if run.dataset.odometry is not None:
        motions = Motions(read_poses(run.dataset.odometry), plane=localizer.plane)
    session = None
    for i, frame in enumerate(traverse.frames):
        if session not in (None, frame.session):
            localizer.reset()
        session = frame.session
        odometry: Odometry | None = None if motions is None else motions.since_last(frame)
        if i < warm:
            yield Estimate(frame, (), note="warming-up")
            continue
        sequence = None if sequences is None or np.isnan(sequences[i, 0]) else sequences[i]
        yield localizer.observe(frame, odometry, descriptor=rows[i], sequence=sequence)


def _answers(
    run: Run,
    query: Traverse,
    estimates: list[Estimate],
    number: dict[tuple[str, int], int],
    limits: Rows | None,
    seconds: float,
) -> Answers:
    count, fused = len(estimates), run.system.fusion is not None and limits is None
    candidates = np.full((count, run.settings.k), -1)
    rows, scores = np.full(count, -1), np.full(count, np.inf)
    answered = np.zeros(count, np.bool_)
    skipped, poses, paths, kind = [], [], [], "similarity"
    last: dict[str, int] = {}
    limit = np.inf if run.settings.threshold is None else run.settings.threshold
    for i, estimate in enumerate(estimates):
        last[query.frames[i].name] = i
        found = [number[c.place.id] for c in estimate.candidates]
        candidates[i, : len(found)] = found
        match = estimate.match
        if match is not None:
            path = np.array([number[place.id] for place in match.places])
            paths.append((i, path, np.array([last[name] for name in match.frames])))
        reason = "" if estimate.candidates else estimate.note  # a note may be on a used frame
        if fused:
            belief = estimate.belief
            if belief is not None and belief.best is not None:
                rows[i] = number[belief.best.place]
                weight = belief.best.weight  # what orders the answers of votes
                scores[i] = 1.0 - (weight if belief.probability is None else belief.probability)
            answered[i] = estimate.verdict == "located"
        elif run.system.matcher is not None:
            if match is not None:
                rows[i], scores[i], kind = path[-1], match.score, match.score_kind
            elif not reason:
                reason = "warming-up" if i < run.settings.window - 1 else "map-too-small"
            answered[i] = scores[i] < limit
        elif found:
            rows[i], scores[i] = found[0], 1.0 - estimate.candidates[0].similarity
            answered[i] = scores[i] < limit
        elif not reason:
            reason = "map-too-small"
        skipped.append(reason)
        poses.append(estimate.hypothesis)
    beliefs = [e.belief for e in estimates] if fused else None
    if beliefs is not None:
        sure = any(belief is not None and belief.probability is not None for belief in beliefs)
        kind = "probability" if sure else "weight"
    return Answers(
        candidates, rows, scores, answered, skipped, poses, beliefs, paths, limits, kind, seconds,
        estimates=estimates,
    )  # fmt: skip


def _rows_to_search(described: TraverseDescriptors) -> tuple[Vectors, Vectors | None, int]:
    """Rows (N, D) to search, sequences (N, Ds) that end at them, and the first known row.

    Where frames have no descriptors of their own, the sequences take their place, and frames before
    the first whole window have none. Sequences are NaN where there is none.
    """
    sequences, count = described.sequences, len(described)
    if sequences is not None and len(sequences) < count:
        missing = np.full((count - len(sequences), sequences.shape[1]), np.nan, np.float32)
        sequences = np.concatenate([missing, sequences])
    if described.descriptors is not None:
        return described.descriptors, sequences, 0
    if sequences is None or np.isnan(sequences).all():
        raise InputError(f"a traverse of {count} frames is shorter than a window")
    first = int((~np.isnan(sequences[:, 0])).argmax())
    return sequences, None, first


def _key_rows(rows: Rows, descriptors: Vectors, threshold: float) -> Rows:
    """Rows of the map that are key frames."""
    keys, selected = KeyFrames(threshold), []
    for row in rows.tolist():
        if keys.is_key(descriptors[row]):
            keys.set_reference(descriptors[row])
            selected.append(row)
    return np.array(selected, np.int64)


def _matcher(run: Run, reference: TraverseDescriptors) -> matching.Matcher | None:
    if run.matcher is None:
        return None
    length = run.settings.window
    if reference.sequences is not None:
        length = reference.length
    return create_matcher(run.matcher.matcher, length, run.matcher.parameters)


def _place(traverse: Traverse, row: int, placed: bool) -> Place:
    """A place of the map; where a frame has no pose, one is made of its position.

    Positions in frames are on a line, one metre a frame, for methods that need positions.
    """
    place = Place.from_frame(traverse.frames[row])
    if place.pose is None and (traverse.unit == "m" or placed):
        return replace(place, pose=traverse.pose_of(row))
    return place


def _verifier(reference: Traverse, system: System) -> Verifier | None:
    wanted = system.verify is True or (system.verify == "auto" and Verifier.is_installed())
    if not wanted or system.fusion is None:
        return None
    return Verifier(images_of(list(reference.frames)))
