"""The online step: one frame in, one estimate out, with the memory and the model loaded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory import fusion as fusions
from placememory import matching
from placememory.encoders import Encoder, SequenceEncoder, SequenceStream
from placememory.errors import DescriptorError, ImageError, InputError
from placememory.frames import Frame, Image
from placememory.frames.quality import is_blurred, shows_something
from placememory.fusion import Belief, Evidence, Fusion, Odometry, PlaceTable
from placememory.geometry import (
    Poser,
    Refined,
    Refinement,
    RelativePose,
    Verification,
    Verifier,
    weigh,
)
from placememory.localization.calibration import Calibration
from placememory.localization.estimate import Estimate, FrameMatch
from placememory.matching._windows import DistanceWindow
from placememory.memory import Candidate, PlaceMemory
from placememory.memory.search import select

_RELATIVE = "relative"


@dataclass(frozen=True, slots=True)
class Step:
    """A frame and the motion since the one before it."""

    frame: Frame
    odometry: Odometry | None = None


class Localizer:
    """Frames stream in; what they say together is where the robot is, or that it is unknown.

    The memory is never changed. A frame costs one pass of the encoder, one product of the memory's
    descriptors with a vector, the matcher and the fusion; what is kept does not grow with the
    frames seen. One thread observes; others may read :attr:`latest` at any time.

    What is no good is defined: an image that cannot be read or shows nothing (black, covered) and
    a descriptor with NaN are no evidence, so the belief only moves on; a frame whose stamp is
    before the last one's changes nothing. Such estimates carry a note.

    Args:
        memory: Open memory; its poses are the map.
        encoder: The memory's encoder.
        matcher: Sequence matcher, or its name; ``None`` for none.
        fusion: Name of a method of :mod:`placememory.fusion`; ``None`` answers each frame alone.
        settings: Of the fusion; by default those of the memory's calibration, where it has one.
        verify: Checks candidates by local features where the belief is not clear; what looks alike
            but does not fit loses weight in the fusion. ``k`` bounds how many it can check.
        poser: Gives the pose of the camera, where the belief is not ``unknown``.
        k: Candidates a frame.
        window: Frames that the matcher matches together.

    Raises:
        EncoderMismatchError: The encoder is not the memory's.
        InputError: The memory is empty, or the poser's model does not fit it.
        SettingError: A name or setting is unknown.

    Example:
        >>> from placememory.localization.localizer import Localizer
        >>> Localizer.observe.__name__
        'observe'
    """

    def __init__(
        self,
        memory: PlaceMemory,
        encoder: Encoder,
        *,
        matcher: matching.Matcher | str | None = None,
        fusion: str | None = fusions.DEFAULT_FUSION,
        settings: dict[str, Any] | None = None,
        verify: Verifier | None = None,
        poser: Poser | None = None,
        k: int = 10,
        window: int = 5,
    ) -> None:
        memory.check_encoder(encoder.card)
        if not len(memory):
            raise InputError(f"{memory.uri} holds no places; build it first")
        self.memory, self.encoder = memory, encoder
        self.k = min(k, len(memory))
        self.places = PlaceTable.from_places(memory.places)
        self._frame_id = memory.manifest.frame_id
        self._descriptors = np.ascontiguousarray(memory.descriptors)
        self._matcher = matching.create(matcher) if isinstance(matcher, str) else matcher
        self._window = DistanceWindow.over(self._descriptors, window if self._matcher else 1)
        self._sessions = _runs(self.places.session)
        self._verify = verify
        self._refinement = None if poser is None else Refinement(poser, memory.places)
        self._fusion: Fusion | None = None
        if fusion is not None:
            self._fusion = fusions.create(
                fusion, self.places, **_settings(memory, fusion, settings)
            )
        self._names: deque[str] = deque(maxlen=window)
        self._lock = Lock()
        self._latest: Estimate | None = None
        self._stamp: float | None = None
        self._stream: SequenceStream | None = None
        self._restart()

    @property
    def latest(self) -> Estimate | None:
        """The last estimate; a frozen snapshot that any thread may read."""
        return self._latest

    def reset(self) -> None:
        """Forget all frames, as after a change of floor or a restart of the camera."""
        with self._lock:
            self._restart()
            if self._fusion is not None:
                self._fusion.reset()

    def observe(self, frame: Frame, odometry: Odometry | None = None) -> Estimate:
        """Take the next frame.

        Args:
            frame: With an image; its stamp, where known, in nanoseconds.
            odometry: Motion since the frame before, in the robot's frame of then; ``None`` if
                unknown.

        Returns:
            The estimate; see :class:`Estimate`.
        """
        with self._lock:
            self._latest = self._observe(frame, odometry)
        return self._latest

    def run(self, steps: Iterable[Step | Frame]) -> Iterator[Estimate]:
        """Observe one after another; an estimate for each."""
        for step in steps:
            given = step if isinstance(step, Step) else Step(step)
            yield self.observe(given.frame, given.odometry)

    def _observe(self, frame: Frame, odometry: Odometry | None) -> Estimate:
        clock = _Clock()
        stamp = None if frame.stamp is None else frame.stamp * 1e-9
        if stamp is not None and self._stamp is not None and stamp < self._stamp:
            return self._without(frame, "out of order", odometry=None, clock=clock, moves=False)
        self._stamp = stamp if stamp is not None else self._stamp
        try:
            image = frame.image()
        except ImageError:
            return self._without(frame, "unreadable", odometry, clock)
        clock.lap("read")
        if not shows_something(image):
            return self._without(frame, "featureless", odometry, clock)
        try:
            row = self._described(image)
        except DescriptorError:
            return self._without(frame, "no descriptor", odometry, clock)
        clock.lap("encode")
        return self._answer(frame, image, row, odometry, stamp, clock)

    def _answer(
        self,
        frame: Frame,
        image: Image,
        row: NDArray[np.float32],
        odometry: Odometry | None,
        stamp: float | None,
        clock: _Clock,
    ) -> Estimate:
        self._window.push(row)
        self._names.append(frame.name)
        column = 1.0 - self._window.matrix()[:, -1]
        rows, similarities = select(self._descriptors, row, column, self.k, None)
        clock.lap("search")
        match, best, score = self._match()
        clock.lap("match")
        places = self.memory.places
        candidates = tuple(
            Candidate(places[int(r)], float(s), rank)
            for rank, (r, s) in enumerate(zip(rows, similarities, strict=True), start=1)
        )
        belief, found = None, None
        if self._fusion is not None:
            relative = match is not None and match.score_kind == _RELATIVE
            evidence = Evidence(
                rows=rows,
                similarities=similarities.astype(np.float64),
                column=column.astype(np.float64),
                match_rows=np.array([best] if relative else [], np.int64),
                match_scores=np.array([score] if relative else []),
                stamp=stamp,
            )
            evidence, found = self._verified(image, candidates, evidence)
            clock.lap("verify")
            belief = self._fusion.update(evidence, odometry)
        clock.lap("fuse")
        refined = self._refined(image, candidates, found, belief, clock)
        return Estimate(
            frame,
            candidates,
            belief,
            match,
            self._frame_id,
            note="blurred" if is_blurred(image) else "",
            checked=0 if found is None else found.checked,
            relative=None if found is None else RelativePose.of(found.candidates),
            camera_pose=refined.camera,
            refined=refined.body,
            milliseconds=clock.milliseconds,
        )

    def _verified(
        self, image: Image, candidates: tuple[Candidate, ...], evidence: Evidence
    ) -> tuple[Evidence, Verification | None]:
        """Evidence weighed by a check of the candidates, where it pays, and the check."""
        if self._verify is None:
            return evidence, None
        before = None if self._latest is None else self._latest.belief
        due = self._verify.policy.count(candidates, before)
        if not due:
            return evidence, None
        found = self._verify.check(image, candidates, due)
        return weigh(evidence, found.candidates), found

    def _refined(
        self,
        image: Image,
        candidates: tuple[Candidate, ...],
        found: Verification | None,
        belief: Belief | None,
        clock: _Clock,
    ) -> Refined:
        """The camera's pose, from verified candidates where there are some."""
        if self._refinement is None:
            return Refined()
        ordered = candidates if found is None else [row.candidate for row in found.candidates]
        refined = self._refinement.refine(image, ordered, belief, self._frame_id)
        clock.lap("pose")
        return refined

    def _without(
        self,
        frame: Frame,
        note: str,
        odometry: Odometry | None,
        clock: _Clock,
        *,
        moves: bool = True,
    ) -> Estimate:
        """An estimate without this frame's image: the belief of before, moved on."""
        belief = None if self._latest is None else self._latest.belief
        if self._fusion is not None and moves:
            stamp = None if frame.stamp is None else frame.stamp * 1e-9
            belief = self._fusion.update(Evidence(stamp=stamp), odometry)
        clock.lap("fuse")
        return Estimate(
            frame, (), belief, None, self._frame_id, note=note, milliseconds=clock.milliseconds
        )

    def _described(self, image: Image) -> NDArray[np.float32]:
        """Unit descriptor (D,) of the newest frame.

        Raises:
            DescriptorError: It has NaN or is zero.
        """
        if self._stream is not None:
            found = self._stream.push(image).frame
            row = self.encoder.encode([image])[0] if found is None else found
        else:
            row = self.encoder.encode([image])[0]
        length = float(np.linalg.norm(row))
        if not np.isfinite(length) or length == 0.0:
            raise DescriptorError("the descriptor of the frame has NaN, or is zero")
        return np.asarray(row / length, np.float32)

    def _match(self) -> tuple[FrameMatch | None, int, float]:
        """Best sequence of all sessions, its newest row and score; none while the window fills."""
        if self._matcher is None or len(self._window) < self._window.length:
            return None, -1, 0.0
        matrix = self._window.matrix()
        found: tuple[float, int, Any] | None = None
        for first, last in self._sessions:
            match = self._matcher.match(matrix[first:last])
            if len(match) and (found is None or match.scores[0] < found[0]):
                found = (float(match.scores[0]), first, match)
        if found is None:
            return None, -1, 0.0
        score, first, match = found
        rows = match.paths[0] + first
        places = tuple(self.memory.places[int(row)] for row in rows)
        distances = tuple(float(value) for value in match.distances)
        kept = FrameMatch(tuple(self._names), places, distances, score, match.score_kind)
        return kept, int(rows[-1]), score

    def _restart(self) -> None:
        self._window.clear()
        self._names.clear()
        self._stamp = self._latest = None
        encoder = self.encoder
        self._stream = encoder.stream() if isinstance(encoder, SequenceEncoder) else None


class _Clock:
    """Milliseconds of the parts of a step."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """A part is done."""
        now = time.perf_counter()
        self.milliseconds[part] = round(1e3 * (now - self._last), 3)
        self._last = now


def _settings(memory: PlaceMemory, fusion: str, given: dict[str, Any] | None) -> dict[str, Any]:
    kept = Calibration.of(memory) if fusion == fusions.DEFAULT_FUSION else None
    return {**({} if kept is None else kept.settings()), **(given or {})}


def _runs(session: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last row of each run of places of one session."""
    edges = np.flatnonzero(np.diff(session)) + 1
    starts = [0, *edges.tolist()]
    return list(zip(starts, [*edges.tolist(), len(session)], strict=True))
