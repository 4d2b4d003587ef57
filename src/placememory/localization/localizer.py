"""The online step: one frame in, one estimate out, with the memory and the model loaded."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory import fusion as fusions
from placememory import matching
from placememory._checks import check_whole
from placememory._types import Rows, Vectors
from placememory.encoders import (
    Encoder,
    SequenceEncoder,
    SequenceStream,
    from_card,
    resolve_encoder,
)
from placememory.errors import DescriptorError, ImageError, InputError, SettingError
from placememory.frames import Frame, Image, Pose, as_frame, as_rgb
from placememory.frames.quality import is_blurred, is_covered, shows_something
from placememory.frames.stamps import StampOrder
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
from placememory.localization.covariance import MapSpread, of_candidates
from placememory.localization.estimate import Estimate, FrameMatch
from placememory.localization.freshness import Freshness, SameView, Timing
from placememory.localization.odometry_check import OdometryCheck
from placememory.localization.online_map import OnlineMap, unit_vector
from placememory.localization.plane import MapPlane
from placememory.localization.reason import explain
from placememory.memory import Candidate, Place, PlaceMemory, Where

_RELATIVE = "relative"
_SEQUENCE_CANDIDATES = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """A frame and the motion since the one before it.

    Attributes:
        frame: With its image, or any frame where the descriptor is given.
        odometry: Motion since the frame before; ``None`` if unknown.
        descriptor: (D,) of the frame, where it was computed before.
        sequence: (Ds,) of the window that ends with the frame, likewise.
        note: What is wrong with its odometry, for the estimate's note.
    """

    frame: Frame
    odometry: Odometry | None = None
    descriptor: Vectors | None = None
    sequence: Vectors | None = None
    note: str = ""


class Localizer:
    """The online step: takes frames one by one and estimates where the robot is from all of them.

    The only place where search, window, matcher, verification and fusion meet. A frame costs one
    pass of the encoder, one product of the memory's descriptors with a vector, the matcher and the
    fusion; the state does not grow with the frames seen (but for a growing map). The memory itself
    is never changed. One thread observes; others may read :attr:`latest` at any time.

    Invalid input is handled as follows: an image that cannot be read or shows nothing (black,
    covered), a descriptor with NaN, and the very same image more than three times in a row while
    nothing says that the robot stands are no evidence, so the belief only moves on; a frame that
    comes late changes nothing; a clock that restarts starts the belief again. Such estimates carry
    a note. A belief without evidence for too long is ``unknown``, see :class:`Timing`.

    Args:
        memory: Open memory; its poses are the map.
        encoder: The memory's encoder or its name; by default it is rebuilt from the memory's card
            when the first image comes.
        sequence_encoder: The encoder of the memory's sequence descriptors, likewise. Where the
            memory has them, candidates are the places where the most similar sequences end.
        matcher: Sequence matcher, or its name; ``None`` for none.
        fusion: Name of a method of :mod:`placememory.fusion`; ``None`` answers each frame alone.
        settings: Of the fusion; by default those of the memory's calibration, where it has one.
        verify: Checks candidates by local features where the belief is not clear; what looks alike
            but does not fit loses weight in the fusion. ``k`` bounds how many it can check.
        poser: Gives the pose of the camera, where the belief is not ``unknown``.
        where: Which places are the map; all by default.
        k: Candidates a frame.
        window: Frames that the matcher matches together.
        candidates: How many likely sequences the matcher is given, from sequence descriptors or
            else pooled from frames; 0 lets it search all rows. By default 5 where the memory has
            sequence descriptors, else 0.
        keyframes: A frame is a key frame if its cosine to the last key frame is at most this; the
            window holds key frames and the newest frame. 1 makes all frames key frames.
        growing: Whether key frames are added to the map as they come, for loop closure in a single
            session; the memory may be empty then. Needs ``fusion=None``.
        exclusion: In a growing map, key frames before the window that are not searched.
        timing: Which stamps follow each other, and how long a belief stays good without evidence.
        plane: ``xy``, ``xz`` or ``yz`` of the map frame, in which the robot moves; by default it is
            found, see :class:`MapPlane`.

    Raises:
        EncoderMismatchError: The encoder is not the memory's.
        InputError: The memory is empty, or the poser's model does not fit it.
        SettingError: A name or setting is unknown.

    Example:
        >>> import numpy as np
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> from placememory.frames import Pose
        >>> from placememory.memory import Place
        >>> card = EncoderCard(name="toy", dim=12, preprocess=Preprocess(longest=8))
        >>> memory = PlaceMemory.create(":memory:", encoder=card)
        >>> places = [Place("run", i, f"{i}.png", pose=Pose(float(i), 0.0)) for i in range(12)]
        >>> _ = memory.add(places, np.eye(12, dtype=np.float32))
        >>> localizer = Localizer(memory, matcher="seqslam", fusion=None, window=3)
        >>> for row in np.eye(12, dtype=np.float32)[4:9]:
        ...     estimate = localizer.observe(descriptor=row)
        >>> [place.index for place in estimate.match.places]
        [6, 7, 8]
    """

    def __init__(
        self,
        memory: PlaceMemory,
        encoder: Encoder | str | None = None,
        *,
        sequence_encoder: SequenceEncoder | None = None,
        matcher: matching.Matcher | str | None = None,
        fusion: str | None = fusions.DEFAULT_FUSION,
        settings: Mapping[str, Any] | None = None,
        verify: Verifier | None = None,
        poser: Poser | None = None,
        where: Where | None = None,
        k: int = 10,
        window: int = 5,
        candidates: int | None = None,
        keyframes: float = 1.0,
        growing: bool = False,
        exclusion: int = 0,
        timing: Timing | None = None,
        plane: str | None = None,
    ) -> None:
        if not isinstance(memory, PlaceMemory):
            raise InputError(
                f"a localizer needs an open memory, not {memory!r}; open it: placememory.open(...)"
            )
        check_whole(k=k, window=window)
        self.memory = memory
        self._describe = _Describer(memory, encoder, sequence_encoder)
        if not len(memory) and not growing:
            raise InputError(f"{memory.uri} holds no places; build it first")
        if growing and fusion is not None:
            raise SettingError("a growing map has no fixed places to fuse over; give fusion=None")
        rows = memory.rows
        if where is not None:
            rows = rows.take(where.rows(rows).tolist())
            if not len(rows):
                raise InputError(f"{memory.uri}: no place meets the filter {where}")
        self.k = k
        self._candidates = candidates
        if candidates is None:
            self._candidates = 0 if rows.sequences is None else _SEQUENCE_CANDIDATES
        check_whole(candidates=self._candidates, least=0)
        self._matcher = (
            create_matcher(matcher, self._describe.sequence_length or window)
            if isinstance(matcher, str)
            else matcher
        )
        self._map = OnlineMap(
            rows.places,
            rows.descriptors,
            rows.sequences,
            window=window if self._matcher else 1,
            keyframes=keyframes,
            growing=growing,
            exclusion=exclusion,
        )
        self._frame_id = memory.manifest.frame_id
        self._verify = verify
        self._refinement = None if poser is None else Refinement(poser, rows.places)
        self._fusion: Fusion | None = None
        self.plane = MapPlane.of(rows.places, plane)
        self._check = OdometryCheck()
        if fusion is not None:
            level = [self.plane.lower(place) for place in rows.places]
            table = PlaceTable.from_places(level)
            self._spread = MapSpread(level)
            self._where = np.column_stack([table.positions[:, :2], table.yaw])
            self._fusion = fusions.create(fusion, table, **_settings(memory, fusion, settings))
        self._names: deque[str] = deque(maxlen=self._map.window.length)
        self._lock = Lock()
        self._latest: Estimate | None = None
        self._belief: Belief | None = None  # in coordinates of the plane
        timing = timing or Timing()
        self._growing = growing
        self._order = StampOrder(timing.reorder, timing.leap)
        self._fresh, self._same = Freshness(timing), SameView()
        self._count = 0

    def __repr__(self) -> str:
        parts = [repr(self.memory.uri), f"{len(self.memory)} places"]
        parts += [] if self._matcher is None else [type(self._matcher).__name__]
        parts += ["no fusion" if self._fusion is None else type(self._fusion).__name__]
        return f"Localizer({', '.join(parts)})"

    @property
    def places(self) -> Sequence[Place]:
        """Places of the map, by row; with those that a growing map took in."""
        return self._map.places

    @property
    def latest(self) -> Estimate | None:
        """The last estimate; a frozen snapshot that any thread may read."""
        return self._latest

    def reset(self) -> None:
        """Forget all frames, as after a change of floor or a restart of the camera."""
        with self._lock:
            self._map.restart()
            self._begin_again()
            self._order.reset()
            self._check.reset()
            self._count = 0

    def observe(
        self,
        image: Frame | Image | str | Path | None = None,
        odometry: Odometry | None = None,
        *,
        descriptor: ArrayLike | None = None,
        sequence: ArrayLike | None = None,
        note: str = "",
    ) -> Estimate:
        """Take the next frame.

        Args:
            image: A frame, a file, or (H, W, 3) uint8 RGB; may be left out where the descriptor is
                given.
            odometry: Motion since the frame before, in the robot's frame at that time; ``None`` if
                unknown.
            descriptor: (D,) of the frame, where it is known already; the image is then read only
                if candidates are to be verified or the camera posed.
            sequence: (Ds,) sequence descriptor of the window that ends with the frame, likewise.
            note: What is known to be wrong with the frame or its odometry, for the estimate's note.

        Returns:
            The estimate; see :class:`Estimate`.

        Raises:
            InputError: There is neither an image nor a descriptor.
            ImageError: An array is no image.
            DescriptorError: A given descriptor has another length or type than the memory's.
        """
        if image is None and descriptor is None:
            raise InputError("give an image, a frame or a descriptor")
        with self._lock:
            count = self._count
            frame = (
                Frame(f"frame {count}", "query", count) if image is None else as_frame(image, count)
            )
            followed = None if self._check.reason else odometry
            estimate = self._observe(frame, followed, descriptor, sequence)
            if note or self._check.reason:
                told = _join(estimate.note, note or self._check.reason)
                estimate = replace(estimate, note=told)
            self._count += 1
            self._latest = estimate
        return estimate

    def run(self, steps: Iterable[Step | Frame]) -> Iterator[Estimate]:
        """Observe one after another; an estimate for each."""
        for step in steps:
            if isinstance(step, Frame):
                yield self.observe(step)
            else:
                yield self.observe(
                    step.frame,
                    step.odometry,
                    descriptor=step.descriptor,
                    sequence=step.sequence,
                    note=step.note,
                )

    def _observe(
        self,
        frame: Frame,
        odometry: Odometry | None,
        descriptor: ArrayLike | None,
        sequence: ArrayLike | None,
    ) -> Estimate:
        clock = _Clock()
        stamp = None if frame.stamp is None else frame.stamp * 1e-9
        if self._order.take(stamp) == "late":
            return self._skip(frame, "out of order", None, clock, moves=False)
        note = self._order.reason
        if note:
            odometry = None  # it leads from a frame of the clock before
            self._begin_again()
        if descriptor is None:
            try:
                image = as_rgb(frame.image())
            except ImageError:
                return self._skip(frame, _join(note, "unreadable"), odometry, clock)
            clock.lap("read")
            if not shows_something(image):
                return self._skip(frame, _join(note, "featureless"), odometry, clock)
            if is_covered(image):
                return self._skip(frame, _join(note, "covered"), odometry, clock)
            note = _join(note, "blurred" if is_blurred(image) else "")
            frame = replace(frame, read=lambda: image)
            try:
                described = self._describe(image)
            except DescriptorError:
                return self._skip(frame, _join(note, "no descriptor"), odometry, clock)
        else:
            described = self._describe.check(descriptor, sequence)
        clock.lap("encode")
        return self._answer(frame, described, odometry, stamp, note, clock)

    def _answer(
        self,
        frame: Frame,
        described: _Descriptors,
        odometry: Odometry | None,
        stamp: float | None,
        note: str,
        clock: _Clock,
    ) -> Estimate:
        frozen = self._same.is_frozen(described.frame, odometry)
        informs = not frozen or self._same.stands
        if self._map.replaces:
            self._names.pop()
        self._map.push(described.frame, Place.from_frame(frame))
        self._names.append(frame.name)
        found = self._map.search(self.k, described.sequence)
        clock.lap("search")
        self._compare(found.rows, odometry)
        candidates = tuple(
            Candidate(self._map.places[row], float(similarity), rank)
            for rank, (row, similarity) in enumerate(
                zip(found.rows.tolist(), found.similarities, strict=True), start=1
            )
        )
        match, row = self._match(described.sequence)
        clock.lap("match")
        belief, checked = None, None
        if self._fusion is not None:
            relative = match is not None and match.score_kind == _RELATIVE
            evidence = Evidence(stamp=stamp)
            if informs:
                evidence = Evidence(
                    rows=found.rows,
                    similarities=found.similarities.astype(np.float64),
                    column=found.column.astype(np.float64),
                    match_rows=np.array([row] if relative else [], np.int64),
                    match_scores=np.array([match.score] if match is not None and relative else []),
                    stamp=stamp,
                )
                evidence, checked = self._check_candidates(frame, candidates, evidence)
            clock.lap("verify")
            belief = self._fusion.update(evidence, odometry)
            self._fresh.take(stamp, odometry, evidence=informs)
            self._belief = self._fresh.judge(belief)
            belief = self.plane.lift(self._belief)
        clock.lap("fuse")
        refined = self._refine(frame, candidates, checked, belief, clock)
        spread = of_candidates(candidates) if belief is None else self._spread_of()
        return Estimate(
            frame,
            candidates,
            belief,
            match,
            self._frame_id,
            note=_join(note, "frozen" if frozen else ""),
            reason="" if belief is None else explain(belief, self._map.places),
            age=None if belief is None else self._fresh.age,
            checked=0 if checked is None else checked.checked,
            relative=None if checked is None else RelativePose.of(checked.candidates),
            camera_pose=refined.camera,
            refined=refined.body,
            placed=self._place(),
            spread=spread,
            milliseconds=clock.milliseconds,
            descriptor=described.frame,
        )

    def _match(self, sequence: Vectors | None) -> tuple[FrameMatch | None, int]:
        """The best sequence of all sessions and its newest row, where there is one."""
        if self._matcher is None or not self._map.is_full:
            return None, -1
        ends = None
        if self._candidates:
            if sequence is not None and self._map.has_sequences:
                ends = self._map.search(self._candidates, sequence).rows
            else:
                ends = self._map.pooled_candidates(self._candidates)
        found = self._map.match(self._matcher, ends)
        if found is None:
            return None, -1
        match, path = found
        places = tuple(self._map.places[row] for row in path.tolist())
        distances = tuple(float(value) for value in match.distances)
        score = float(match.scores[0])
        return (
            FrameMatch(tuple(self._names), places, distances, score, match.score_kind),
            int(path[-1]),
        )

    def _check_candidates(
        self, frame: Frame, candidates: tuple[Candidate, ...], evidence: Evidence
    ) -> tuple[Evidence, Verification | None]:
        """Verify candidates where the policy asks for it, and weigh the evidence by the result."""
        if self._verify is None:
            return evidence, None
        before = None if self._latest is None else self._latest.belief
        due = self._verify.policy.count(candidates, before)
        if not due:
            return evidence, None
        found = self._verify.check(frame.image(), candidates, due)
        return weigh(evidence, found.candidates), found

    def _refine(
        self,
        frame: Frame,
        candidates: tuple[Candidate, ...],
        found: Verification | None,
        belief: Belief | None,
        clock: _Clock,
    ) -> Refined:
        """Estimate the camera's pose, from verified candidates where there are some."""
        if self._refinement is None:
            return Refined()
        ordered = candidates if found is None else [row.candidate for row in found.candidates]
        refined = self._refinement.refine(frame.image(), ordered, belief, self._frame_id)
        clock.lap("pose")
        return refined

    def _skip(
        self,
        frame: Frame,
        note: str,
        odometry: Odometry | None,
        clock: _Clock,
        *,
        moves: bool = True,
    ) -> Estimate:
        """An estimate without this frame's image: the belief of before, moved on."""
        if self._fusion is not None:
            stamp = None if frame.stamp is None or not moves else frame.stamp * 1e-9
            if moves:
                self._belief = self._fusion.update(Evidence(stamp=stamp), odometry)
                self._check.take(None, odometry)
            self._fresh.take(stamp, odometry, evidence=False)
        belief = None
        if self._belief is not None:
            self._belief = self._fresh.judge(self._belief)
            belief = self.plane.lift(self._belief)
        clock.lap("fuse")
        located = belief is not None and belief.verdict == "located"
        return Estimate(
            frame,
            (),
            belief,
            None,
            self._frame_id,
            note=note,
            reason="" if located else note,
            age=None if belief is None else self._fresh.age,
            placed=self._place(),
            spread=self._spread_of(),
            milliseconds=clock.milliseconds,
        )

    def _place(self) -> Pose | None:
        """The best hypothesis in the map, where its plane has other coordinates."""
        if self._belief is None or self.plane.is_plain:
            return None
        return self.plane.pose_of(self._belief, self._frame_id)

    def _spread_of(self) -> NDArray[np.float64] | None:
        if self._belief is None:
            return None
        return self.plane.spread_of(self._spread.of_belief(self._belief))

    def _compare(self, rows: Rows, odometry: Odometry | None) -> None:
        """Compare the odometry with the most similar place; warn once where they differ."""
        if self._fusion is None or self._check.reason or not len(rows):
            return
        x, y, yaw = self._where[int(rows[0])].tolist()
        self._check.take((x, y, yaw), odometry)
        if self._check.reason:
            _log.warning("%s It is not followed (--extrinsic)", self._check.reason)

    def _begin_again(self) -> None:
        """Forget the frames seen, but for what a growing map took in."""
        if not self._growing:
            self._map.restart()
        self._describe.restart()
        self._names.clear()
        self._fresh.reset()
        self._check.pause()
        self._same.reset()
        if self._fusion is not None:
            self._fusion.reset()
        self._latest = self._belief = None


class _Descriptors(NamedTuple):
    """Unit descriptors of the newest frame: (D,), and (Ds,) of the window or ``None``."""

    frame: Vectors
    sequence: Vectors | None


class _Describer:
    """The encoders of a memory: made when they are first needed, and streamed where they stream."""

    def __init__(
        self,
        memory: PlaceMemory,
        encoder: Encoder | str | None,
        sequence_encoder: SequenceEncoder | None,
    ) -> None:
        self._memory = memory
        self._encoder = None if encoder is None else resolve_encoder(encoder)
        self._sequence_encoder = sequence_encoder
        card = memory.sequence_card
        if self._encoder is not None:
            memory.check_encoder(self._encoder.card)
        if sequence_encoder is not None:
            memory.check_sequence_encoder(sequence_encoder.card)
        self.sequence_length = None if card is None else int(card.options["length"])
        self.restart()

    def restart(self) -> None:
        """Begin new streams."""
        self._stream: SequenceStream | None = None
        self._sequences: SequenceStream | None = None
        if self._encoder is not None:
            self._begin()

    def __call__(self, image: Image) -> _Descriptors:
        """Describe the next image.

        Raises:
            DescriptorError: The descriptor has NaN or is zero.
        """
        if self._encoder is None:
            self._encoder = self._memory.encoder()
            self._begin()
        frame = sequence = None
        if self._stream is not None:
            frame, sequence = self._stream.push(image)
        if frame is None:
            frame = self._encoder.encode([image])[0]
        if self._sequences is not None:
            sequence = self._sequences.push(image).sequence
        return self.check(frame, sequence if self._memory.sequence_card else None)

    def check(self, descriptor: ArrayLike, sequence: ArrayLike | None) -> _Descriptors:
        """Descriptors brought to unit length.

        Raises:
            DescriptorError: Another length or type than the memory's, NaN, infinity or zero.
        """
        frame = unit_vector("the descriptor", np.asarray(descriptor), self._memory.card.dim)
        if sequence is None:
            return _Descriptors(frame, None)
        return _Descriptors(frame, unit_vector("the sequence", np.asarray(sequence), None))

    def _begin(self) -> None:
        encoder, card = self._encoder, self._memory.sequence_card
        if isinstance(encoder, SequenceEncoder):
            self._stream = encoder.stream()
        if card is None or (self._stream is not None and card.hash == self._memory.card.hash):
            return  # there are no sequences, or one stream gives both
        if self._sequence_encoder is None:
            made = from_card(card)
            assert isinstance(made, SequenceEncoder)
            self._sequence_encoder = made
        self._sequences = self._sequence_encoder.stream()


def create_matcher(
    name: str, length: int, parameters: Mapping[str, float] | None = None
) -> matching.Matcher:
    """Make a matcher whose candidates span ``length`` frames, unless the parameters say otherwise.

    Args:
        name: Of the matcher.
        length: Frames of a sequence descriptor, or of the window that is pooled.
        parameters: Of the matcher.

    Raises:
        SettingError: The name or a parameter is unknown.
    """
    given = dict(parameters or {})
    if "sequence_length" in matching.settings_of(name):
        given.setdefault("sequence_length", length)
    return matching.create(name, **given)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


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


def _settings(
    memory: PlaceMemory, fusion: str, settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    calibration = Calibration.of(memory) if fusion == fusions.DEFAULT_FUSION else None
    return {**({} if calibration is None else calibration.settings()), **(settings or {})}
