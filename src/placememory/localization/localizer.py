"""The online step: one frame in, one estimate out, with the memory and the model loaded."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

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
from placememory.errors import (
    DescriptorError,
    ImageError,
    InputError,
    PlaceMemoryError,
    SettingError,
)
from placememory.frames import Frame, Image, Pose, as_frame, as_rgb, fit_origin
from placememory.frames.quality import is_blurred, is_covered, shows_something
from placememory.frames.stamps import StampOrder
from placememory.fusion import (
    Belief,
    Evidence,
    Fusion,
    Heat,
    MapProfile,
    Odometry,
    PlaceTable,
    Proposing,
    Rest,
    Resumable,
    State,
)
from placememory.geometry import (
    Poser,
    Refined,
    Refinement,
    RelativePose,
    Verification,
    Verifier,
)
from placememory.likeness import Background
from placememory.localization.calibration import Calibration
from placememory.localization.covariance import MapSpread, of_candidates
from placememory.localization.estimate import Estimate, FrameMatch
from placememory.localization.freshness import Freshness, SameView, Timing
from placememory.localization.odometry_check import OdometryCheck
from placememory.localization.online_map import OnlineMap, SearchResult, unit_vector
from placememory.localization.plane import MapPlane
from placememory.localization.reason import explain
from placememory.localization.state import StateHeader, fingerprint, read_state, write_state
from placememory.localization.working_set import WorkingSet
from placememory.memory import Candidate, Place, PlaceMemory, Where
from placememory.memory.rows import PlaceRows

_log = logging.getLogger(__name__)
_SEQUENCE_CANDIDATES = 5
_READ, _SERVED = 100_000, 20_000  # places of a map in a file and in Milvus that are all read
_AT_HAND = 4096  # then
_MOST_LIKELY = 1000
_LIKELY = 0.01  # of a belief: places that are at hand with it
_CHANGED = Belief("unknown", (), None, 0.0, None, 0, reason="the map has changed")


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
        verify: Compares images by local features; the inliers are evidence in the fusion. By
            default where the extra ``verify`` is installed, the images of the places are where they
            were, and the belief is in doubt. ``None`` for never.
        poser: Gives the pose of the camera, where the belief is not ``unknown``.
        where: Which places are the map; all by default.
        k: Candidates a frame.
        window: Frames that the matcher matches together.
        candidates: How many likely sequences the matcher is given, from sequence descriptors or
            else pooled from frames; 0 lets it search all rows. By default 5 where the memory has
            sequence descriptors, else 0.
        keyframes: A frame is a key frame if its cosine to the last key frame is at most this; the
            window holds key frames and the newest frame. 1 makes all frames key frames.
        calibrated: Whether the memory's calibration is used, where it has one.
        refresh_every: Frames after which the memory is asked whether other processes have changed
            it, as :meth:`refresh`; 0 never asks.
        growing: Whether key frames are added to the map as they come, for loop closure in a single
            session; the memory may be empty then. Needs ``fusion=None``.
        exclusion: In a growing map, key frames before the window that are not searched.
        timing: Which stamps follow each other, and how long a belief stays good without evidence.
        plane: ``xy``, ``xz`` or ``yz`` of the map frame, in which the robot moves; by default it is
            found, see :class:`MapPlane`.
        working: Places at hand at a time, see :class:`WorkingSet`; the memory is searched for each
            frame. ``None`` reads all; of a map of more than 100,000 places (20,000 in Milvus) 4,096
            are. Needs the fusion ``bayes`` or none, no ``where`` and no sequence descriptors.

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
        verify: Verifier | Literal["auto"] | None = "auto",
        poser: Poser | None = None,
        where: Where | None = None,
        k: int = 10,
        window: int = 5,
        candidates: int | None = None,
        keyframes: float = 1.0,
        calibrated: bool = True,
        refresh_every: int = 25,
        growing: bool = False,
        exclusion: int = 0,
        timing: Timing | None = None,
        plane: str | None = None,
        working: int | None = None,
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
        self.k = k
        self._where = where
        self._working = working
        self._set: WorkingSet | None = None
        self._candidates = candidates
        if candidates is None:
            self._candidates = 0 if memory.rows.sequences is None else _SEQUENCE_CANDIDATES
        check_whole(candidates=self._candidates, least=0)
        self._matcher = (
            create_matcher(matcher, self._describe.sequence_length or window)
            if isinstance(matcher, str)
            else matcher
        )
        check_whole(refresh_every=refresh_every, least=0)
        self._refresh_every = 0 if growing else refresh_every
        self._make_map = partial(
            OnlineMap,
            window=window if self._matcher else 1,
            keyframes=keyframes,
            growing=growing,
            exclusion=exclusion,
        )
        self._frame_id = memory.manifest.frame_id
        self._levels = memory.levels
        self._verify = verify
        self._verifier: Verifier | None = None
        self._poser = poser
        self._map: OnlineMap
        self._fusion: Fusion | None = None
        self._belief: Belief | None  # in coordinates of the plane
        self._method, self._settings, self._calibrated = fusion, settings, calibrated
        self._check, self._plane = OdometryCheck(), plane
        self._growing = growing
        self._read()
        self._names: deque[str] = deque(maxlen=self._map.window.length)
        self._lock = Lock()
        self._latest: Estimate | None = None
        timing = timing or Timing()
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
    def revision(self) -> str:
        """Of the memory that is searched; see :attr:`PlaceMemory.revision`."""
        return self._revision

    @property
    def latest(self) -> Estimate | None:
        """The last estimate; a frozen snapshot that any thread may read."""
        return self._latest

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """(N,) of the newest belief, of each of :attr:`places`; what they lack to 1 is off the map.

        ``None`` where the fusion has no probabilities. Ask in the thread that observes.
        """
        found = getattr(self._fusion, "probabilities", None)
        return None if found is None else found[:-1]

    @property
    def heat(self) -> Heat | None:
        """What the frames of the window say together, in the map's :attr:`plane`.

        ``None`` with any fusion but ``heatmap``, and before its first candidates.
        """
        return getattr(self._fusion, "heat", None)

    def reset(self) -> None:
        """Forget all frames, as after a change of floor or a restart of the camera."""
        with self._lock:
            self._map.restart()
            self._begin_again()
            self._order.reset()
            self._check.reset()
            self._count = 0

    def refresh(self) -> bool:
        """Take in places that other processes, or this one, have added, changed or removed.

        An estimate is of one revision. The belief of ``bayes`` stays with its places, by their ids
        (that of a removed place goes to the nearest within two spacings, else off the map), the
        voting methods begin anew, and the matcher's window is compared to the new places. Called
        every ``refresh_every`` frames; where nothing has changed it costs one question to the
        store. A growing map cannot be refreshed.

        Returns:
            Whether anything had changed.

        Raises:
            InputError: No place is left, or the map grows. The map is then as before.
            MemoryStoreError: The store cannot be asked. The map is then as before.
        """
        with self._lock:
            return self._refresh()

    def seed(self, pose: Pose, covariance: ArrayLike | None = None) -> None:
        """Say that the robot is about here; the belief before is forgotten, its clock goes on.

        A seed is no evidence: nothing is located by it alone, and a wrong one is overcome, because
        a part of the belief stays off the map and anywhere on it.

        Args:
            pose: In the memory's map frame. Without a quaternion the heading is unknown.
            covariance: (3, 3) of x, y (metres) and yaw (radians), or (6, 6) in ROS's order (x, y,
                z, roll, pitch, yaw); by default the pose's own.

        Raises:
            InputError: The pose is of another frame, or there is no covariance.
            SettingError: The fusion cannot be seeded.

        Example:
            >>> import numpy as np
            >>> from placememory.encoders import EncoderCard, Preprocess
            >>> from placememory.memory import Place
            >>> card = EncoderCard(name="toy", dim=30, preprocess=Preprocess(longest=8))
            >>> memory = PlaceMemory.create(":memory:", encoder=card)
            >>> places = [Place("run", i, f"{i}", pose=Pose(float(i), 0.0)) for i in range(30)]
            >>> _ = memory.add(places, np.eye(30, dtype=np.float32))
            >>> localizer = Localizer(memory)
            >>> localizer.seed(Pose(12.0, 0.0), np.diag([0.25, 0.25, 0.1]))
            >>> seen = np.ones(30, np.float32)  # equally like every place
            >>> localizer.observe(odometry=Odometry(0, 0, 0), descriptor=seen).belief.best.place
            ('run', 12)
        """
        fusion = self._resumable("seeded")
        pose = fit_origin(pose, self._frame_id) or pose
        if pose.frame_id != self._frame_id:
            raise InputError(
                f"the seed is in the frame {pose.frame_id!r}, the memory in {self._frame_id!r}; "
                "transform it first"
            )
        spread = _planar(pose.covariance if covariance is None else covariance, self.plane)
        there, pose = pose.position, self.plane.lower(pose)
        with self._lock:
            if self._set is not None:
                radius = 1.0 + 3.0 * math.sqrt(float(np.linalg.eigvalsh(spread[:2, :2])[-1]))
                if self._set.bring_near(there, radius):
                    self._hold_others(self._set)
                    fusion = self._resumable("seeded")
            yaw = None if pose.quaternion is None else pose.yaw
            fusion.seed((pose.x, pose.y), yaw, spread)
            self._latest = None

    def save(self, path: str | Path) -> None:
        """Write the belief, its clock and its revision to one file, in one piece, without pickle.

        Raises:
            SettingError: The fusion cannot be saved.
            PlaceMemoryError: The folder cannot be written to, or the disk is full.
        """
        fusion = self._resumable("saved")
        with self._lock:
            header = StateHeader(
                encoder=self.memory.card.hash,
                frame_id=self._frame_id,
                revision=self._revision,
                fusion=str(self._method),
                stamp=self._order.last,
                count=self._count,
            )
            content = fingerprint(self._map.window.rows)
            write_state(Path(path), header, fusion.state(), content)

    def load(self, path: str | Path) -> None:
        """Go on from a saved belief, after a restart; the window of a matcher begins anew.

        The clock may have gone on by any time, or begun anew. Nothing is located until there is new
        evidence where more than ``Timing.max_age`` has passed.
        The memory may have another revision by now: the belief stays with its places, by their ids,
        as in :meth:`refresh`.

        Raises:
            InputError: The file is damaged, or of another encoder, map frame, fusion or memory. The
                localizer is then as before.
            SettingError: The fusion cannot go on from a file.
        """
        fusion = self._resumable("loaded")
        header, state, content = read_state(Path(path))
        mine = (self.memory.card.hash, self._frame_id, str(self._method))
        for name, theirs, wanted in zip(
            ("encoder", "map frame", "fusion"),
            (header.encoder, header.frame_id, header.fusion),
            mine,
            strict=True,
        ):
            if theirs != wanted:
                raise InputError(
                    f"{path} is of another {name}: {theirs[:12]!r}, not {wanted[:12]!r}"
                )
        with self._lock:
            if (
                header.revision != self._revision
                and not np.isin(content, fingerprint(self._map.window.rows)).any()
            ):
                raise InputError(f"{path} is of another memory: it has none of its places")
            if self._set is not None and self._set.bring(_likely(state)):
                self._hold_others(self._set)
                fusion = self._resumable("loaded")
            fusion.restore(state, paused=True)
            self._map.restart()
            self._forget_views()
            self._order.reset()
            self._fresh.take(header.stamp, None, evidence=True)
            self._count = header.count

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
            if self._refresh_every and count and not count % self._refresh_every:
                self._try_refresh()
            frame = (
                Frame(f"frame {count}", "query", count) if image is None else as_frame(image, count)
            )
            followed = None if self._check.reason else odometry
            estimate = self._observe(frame, followed, descriptor, sequence)
            estimate = replace(estimate, odometry=odometry, revision=self._revision)
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

    def _read(self, before: OnlineMap | None = None) -> None:
        """Make the memory as it is now the map; see :meth:`_take`.

        Raises:
            InputError: No place meets the filter. Nothing has changed then.
        """
        rows = self.memory.rows
        revision, held = rows.revision, self._hold()
        if held is not None:
            if isinstance(self._fusion, Resumable):
                held.bring(_likely(self._fusion.state()))
            rows = held.rows
        elif self._where is not None:
            rows = rows.select(self._where)
            if not len(rows):
                raise InputError(f"{self.memory.uri}: no place meets the filter {self._where}")
        self._take(rows, MapPlane.of(list(rows.places), self._plane), held, before)
        self._revision = revision
        self._verifier = None if self._verify == "auto" else self._verify
        if self._verify == "auto" and self._fusion is not None:
            self._verifier = Verifier.of_memory(self.memory)

    def _hold(self) -> WorkingSet | None:
        """The part of the memory that is at hand, where not all of it is."""
        fits = self._method in (None, fusions.DEFAULT_FUSION) and not self._growing
        fits = fits and self._where is None and self.memory.rows.sequence_dim is None
        if self._working is not None:
            if not fits:
                raise SettingError(
                    f"working={self._working} needs the fusion {fusions.DEFAULT_FUSION!r} or none, "
                    "no filter, no growing map and a memory without sequence descriptors"
                )
            return WorkingSet(self.memory, self._working)
        most = _SERVED if self.memory.has_index else _READ
        if not fits or self.memory.rows.is_resident or len(self.memory) <= most:
            return None
        return WorkingSet(self.memory, _AT_HAND)

    def _take(
        self,
        rows: PlaceRows,
        plane: MapPlane,
        held: WorkingSet | None,
        before: OnlineMap | None,
        again: MapProfile | None = None,
    ) -> None:
        """Make rows of the memory the map; belief and window of the map before go on with it.

        ``again`` is the profile, where these are other places of the same map.
        """
        profile: MapProfile | None = None
        fusion: Fusion | None = None
        calibration: Calibration | None = None
        places = list(rows.places)
        rest, runs = (None, None) if held is None else (held.rest, held.runs)
        spread, spots = None, np.zeros((0, 3))
        if self._method is not None:
            level = [plane.lower_place(place) for place in places]
            spread, table = MapSpread(level), PlaceTable.from_places(level, runs)
            spots = np.column_stack([table.positions[:, :2], table.yaw])
            if rest is not None and again is not None:
                profile = again.with_others(rows.descriptors, table, rest)
            else:
                profile = _profile(rows, table, self.memory, rest)
            settings = dict(self._settings or {})
            if self._calibrated and self._method == fusions.DEFAULT_FUSION:
                calibration = Calibration.of(self.memory)
            if calibration is not None:
                settings = {**calibration.settings(), **settings}
            fusion = fusions.create(self._method, table, profile, **settings)
            if before is not None and isinstance(fusion, Resumable):
                assert isinstance(self._fusion, Resumable)
                fusion.restore(self._fusion.state())
        refinement = None if self._poser is None else Refinement(self._poser, places)
        made = self._make_map(places, rows.descriptors, rows.sequences, runs=runs)
        if before is not None:
            made.take_window(before)
        self._map, self._fusion, self._refinement, self._set = made, fusion, refinement, held
        self._profile = profile
        self.plane, self._spread, self._spots = plane, spread, spots
        self._belief = None if before is None else _CHANGED
        self._calibration = calibration

    def _refresh(self) -> bool:
        if self._map.grows:
            raise InputError("a growing map holds its own frames; it cannot be refreshed")
        if not self.memory.is_current():
            self.memory.refresh()
        if self.memory.revision == self._revision:
            return False
        if not len(self.memory):
            raise InputError(f"{self.memory.uri} holds no places any more")
        self._read(self._map)
        self._levels = self.memory.levels
        return True

    def _try_refresh(self) -> None:
        """Refresh; where that cannot be done, go on with the map there is."""
        try:
            if self._refresh():
                _log.info("%s has changed: %d places", self.memory.uri, len(self._map.places))
        except PlaceMemoryError as error:
            _log.warning("the map stays as it was: %s", error)

    def _resumable(self, what: str) -> Resumable:
        """The fusion, where its belief can be stored and seeded."""
        if not isinstance(self._fusion, Resumable):
            raise SettingError(
                f"only the fusion {fusions.DEFAULT_FUSION!r} has a belief that can be {what}, not "
                f"{self._method!r}"
            )
        return self._fusion

    def _observe(
        self,
        frame: Frame,
        odometry: Odometry | None,
        descriptor: ArrayLike | None,
        sequence: ArrayLike | None,
    ) -> Estimate:
        clock = _Clock()
        frame = frame.with_levels(self._levels)
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
        self._bring(described.frame)
        if self._map.replaces:
            self._names.pop()
        self._map.push(described.frame, Place.from_frame(frame))
        self._names.append(frame.name)
        found = self._map.search(self.k, described.sequence)
        clock.lap("search")
        self._compare(found.rows, odometry)
        candidates = self._candidates_of(found.rows, found.similarities)
        match, row = self._match(described.sequence)
        clock.lap("match")
        belief, checked = None, None
        if self._fusion is not None:
            evidence = Evidence(stamp=stamp)
            if informs:
                evidence = Evidence(
                    rows=found.rows,
                    similarities=found.similarities.astype(np.float64),
                    column=found.column.astype(np.float64),
                    match_rows=np.array([] if match is None else [row], np.int64),
                    match_scores=np.array([] if match is None else [_relative(match, found)]),
                    descriptor=self._map.query_of(described.frame, described.sequence),
                    stamp=stamp,
                )
                evidence, checked = self._check_candidates(frame, found, evidence)
            clock.lap("verify")
            belief = self._fuse(self._fusion, evidence, odometry)
            differs = len(found.column) > 0 and float(np.ptp(found.column)) > 1e-6
            self._fresh.take(stamp, odometry, evidence=informs and differs)
            self._belief = self._fresh.judge(belief)
            belief = self.plane.lift(self._belief)
        clock.lap("fuse")
        refined = self._refine(frame, candidates, checked, belief, clock)
        spread = of_candidates(candidates) if belief is None else self._spread_of()
        same = self._map.find_same(found, frame.name, frame.stamp)
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
            in_memory=None if same is None else self._map.places[same],
        )

    def _bring(self, descriptor: Vectors) -> None:
        """Have the places at hand that the next frame needs, where not all are."""
        held, belief = self._set, self._belief
        if held is None:
            return
        hypotheses = () if belief is None else belief.hypotheses
        likely = [h.place for h in hypotheses if h.weight >= _LIKELY]
        if held.cover(descriptor, self.k, likely):
            self._hold_others(held)
            self._belief = belief

    def _hold_others(self, held: WorkingSet) -> None:
        """Other places of the same map are at hand now."""
        self._take(held.rows, self.plane, held, self._map, self._profile)

    def _fuse(self, fusion: Fusion, evidence: Evidence, odometry: Odometry | None) -> Belief:
        """The belief after a frame, its covariance as wide as the calibration found it."""
        belief = fusion.update(evidence, odometry)
        if belief.covariance is None or self._calibration is None:
            return belief
        return replace(belief, covariance=self._calibration.widen(belief.covariance))

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
        self, frame: Frame, found: SearchResult, evidence: Evidence
    ) -> tuple[Evidence, Verification | None]:
        """Compare images by local features where it pays, and add the inliers to the evidence."""
        verifier = self._verifier
        if verifier is None or frame.read is None:
            return evidence, None
        if isinstance(self._fusion, Proposing):
            rows = self._fusion.propose(
                evidence, verifier.policy.top, always=not verifier.policy.ambiguous_only
            )
        else:
            before = None if self._latest is None else self._latest.belief
            due = verifier.policy.count(
                self._candidates_of(found.rows, found.column[found.rows]), before
            )
            rows = found.rows[:due]
        if not len(rows):
            return evidence, None
        checked = verifier.check(frame.image(), self._candidates_of(rows, found.column[rows]))
        row_of = {self._map.places[row].id: row for row in rows.tolist()}
        pairs = [
            (row_of[pair.candidate.place.id], float(pair.inliers))
            for pair in checked.candidates
            if pair.checked
        ]
        if pairs:
            at, inliers = zip(*pairs, strict=True)
            evidence = replace(
                evidence, checked_rows=np.array(at, np.int64), inliers=np.array(inliers)
            )
        return evidence, checked

    def _candidates_of(self, rows: Rows, similarities: Vectors) -> tuple[Candidate, ...]:
        """Places with their similarities (K,) and their rank in this order."""
        pairs = zip(rows.tolist(), similarities, strict=True)
        return tuple(
            Candidate(self._map.places[row], float(similarity), rank)
            for rank, (row, similarity) in enumerate(pairs, start=1)
        )

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
                self._belief = self._fuse(self._fusion, Evidence(stamp=stamp), odometry)
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
        if self._belief is None or self._spread is None:
            return None
        return self.plane.spread_of(self._spread.of_belief(self._belief))

    def _compare(self, rows: Rows, odometry: Odometry | None) -> None:
        """Compare the odometry with the most similar place; warn once where they differ."""
        if self._fusion is None or self._check.reason or not len(rows):
            return
        x, y, yaw = self._spots[int(rows[0])].tolist()
        self._check.take((x, y, yaw), odometry)
        if self._check.reason:
            _log.warning("%s It is not followed (--extrinsic)", self._check.reason)

    def _begin_again(self) -> None:
        """Forget the frames seen, but for what a growing map took in."""
        if not self._growing:
            self._map.restart()
        self._forget_views()
        if self._fusion is not None:
            self._fusion.reset()

    def _forget_views(self) -> None:
        self._describe.restart()
        self._names.clear()
        self._fresh.reset()
        self._check.pause()
        self._same.reset()
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
        return self.check(frame, None if self.sequence_length is None else sequence)

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


def _relative(match: FrameMatch, found: SearchResult) -> float:
    """0 same, 1 look-alike: distance along a path over that of any place, whatever the matcher."""
    usual = 1.0 - float(np.median(found.column))
    return min(1.0, float(np.mean(match.distances)) / max(usual, 1e-9))


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


def _profile(
    rows: PlaceRows, table: PlaceTable, memory: PlaceMemory, rest: Rest | None
) -> MapProfile:
    """What the map knows of itself by what is searched."""
    if rows.sequences is not None:
        return MapProfile(np.nan_to_num(rows.sequences), table)
    stored = memory.manifest.background
    background = None if stored is None else Background.from_dict(stored)
    return MapProfile(rows.descriptors, table, background, rest)


def _likely(state: State) -> list[tuple[str, int]]:
    """Places of a belief's state with a hundredth of what the likeliest has."""
    mass = np.asarray(state["mass"])
    rows = np.flatnonzero(mass >= _LIKELY * mass.max(initial=1e-9))
    rows = rows[np.argsort(-mass[rows], kind="stable")][:_MOST_LIKELY]
    return [(str(state["session"][row]), int(state["index"][row])) for row in rows.tolist()]


def _planar(covariance: ArrayLike | None, plane: MapPlane) -> NDArray[np.float64]:
    """(3, 3) of x, y, yaw in the plane from that, or from (6, 6) of the map in ROS's order."""
    if covariance is None:
        raise InputError("a seed needs a covariance: how far off may it be?")
    given = np.asarray(covariance, dtype=np.float64)
    if given.size == 36:
        axes = [0, 1, 5]
        both = np.kron(np.eye(2), plane.rotation)
        return np.asarray(both @ given.reshape(6, 6) @ both.T)[np.ix_(axes, axes)]
    if given.shape != (3, 3):
        raise InputError(f"a covariance is (3, 3) or (6, 6), not {given.shape}")
    return given
