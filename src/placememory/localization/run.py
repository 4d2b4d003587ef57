"""A localised run: the estimates of a stream of frames, scored, tabulated and drawn."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from placememory import matching
from placememory._registry import require
from placememory._types import Progress, Vectors
from placememory._version import __version__
from placememory.encoders import Encoder
from placememory.errors import ImageError, InputError, PoseError
from placememory.frames import (
    Frame,
    Pose,
    PoseTable,
    Trajectory,
    fit_origin,
    read_poses,
    resolve_frames,
)
from placememory.fusion import DEFAULT_FUSION
from placememory.geometry import Verifier
from placememory.localization.estimate import Estimate
from placememory.localization.localizer import Localizer, Step
from placememory.localization.odometry import Motions
from placememory.localization.plane import Axes
from placememory.memory import Place, PlaceId, PlaceMemory, Where
from placememory.metrics import (
    DEFAULT_RADIUS,
    FrameCheck,
    GroundTruth,
    LocatedFrames,
    LocatedResult,
    Outcome,
    PoseErrors,
    PoseErrorsResult,
    Recall,
    RecallResult,
    check_frames,
    pose_error,
)

Keep = Literal["all", "no images", "nothing"]
_CONFIDENT_SHARE = 0.5
_SECONDS = re.compile(r" \d.*")
_COLOURS = {"located": "C0", "ambiguous": "C1", "unknown": "C3", "warming-up": "0.6", "alone": "C0"}


@dataclass(slots=True)
class _Rank:
    """Similarities of one rank."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        self.count, self.total = self.count + 1, self.total + value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.total / self.count, "min": self.least, "max": self.most}


@dataclass(slots=True)
class Summary:
    """Counts that grow with each estimate, in memory that does not.

    Attributes:
        frames: Estimates.
        with_pose: Those with a pose.
        verdicts: How often each verdict was given; ``alone`` where frames are answered alone.
        notes: How often each note was.
        milliseconds: Time spent on answers, all frames together.
        in_memory: By session of the memory, how many frames it holds themselves: answers to these
            say nothing about another run.

    Example:
        >>> str(Summary())
        'no frames'
    """

    frames: int = 0
    with_pose: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    milliseconds: float = 0.0
    in_memory: Counter[str] = field(default_factory=Counter)
    _ranks: dict[int, _Rank] = field(default_factory=dict)

    def add(self, estimate: Estimate) -> None:
        """Count one more."""
        self.frames += 1
        self.with_pose += estimate.pose is not None
        self.verdicts[estimate.verdict or "alone"] += 1
        for note in estimate.note.split("; ") if estimate.note else []:
            self.notes[_SECONDS.sub("", note)] += 1  # one kind, however far a clock went
        self.milliseconds += sum(estimate.milliseconds.values())
        if estimate.in_memory is not None:
            self.in_memory[estimate.in_memory.session] += 1
        for candidate in estimate.candidates:
            self._ranks.setdefault(candidate.rank, _Rank()).add(candidate.similarity)

    def __str__(self) -> str:
        """Verdicts and notes, most frequent first, such as ``90 located, 30 unknown``."""
        both = [*self.verdicts.most_common(), *self.notes.most_common()]
        itself = self.in_memory.total()
        parts = [f"{count} {name}" for name, count in both] or ["no frames"]
        return ", ".join([*parts, *([f"{itself} in the memory itself"] if itself else [])])

    def warning(self, sessions: int) -> str | None:
        """What to say where the memory holds frames of the run themselves; ``None`` where not.

        Args:
            sessions: How many sessions the searched places are of.
        """
        if not self.in_memory:
            return None
        held = " ".join(f"--exclude-session {name}" for name in self.in_memory)
        advice = f"leave the session out with {held}"
        if len(self.in_memory) >= sessions:
            advice = "there is no other session to search; localise another run"
        return (
            f"{self.in_memory.total()} of {self.frames} frames are in the memory itself: these "
            f"numbers say nothing about another run; {advice}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "frames": self.frames,
            "frames_with_a_pose_found": self.with_pose,
            "ms_per_answer": self.milliseconds / self.frames if self.milliseconds else None,
            "verdict_counts": dict(self.verdicts),
            "notes": dict(self.notes),
            "frames_in_the_memory": self.in_memory.total(),
            "similarity_per_rank": {
                str(rank): self._ranks[rank].to_dict() for rank in sorted(self._ranks)
            },
        }


class RunScore(NamedTuple):
    """How right a localised run is.

    Attributes:
        recall: Of the candidates of each frame alone, with its protocol.
        located: Of the verdicts; ``None`` where frames are answered alone.
        errors: Position and rotation errors of the poses that were given.
        map_frames: Whether the two sessions share one map frame; ``None`` if that is not known.
        outcomes: One for each estimate of the run.
        warning: What keeps the numbers from saying anything about another run: frames that are in
            the memory themselves; ``None`` where there are none.
    """

    recall: RecallResult
    located: LocatedResult | None
    errors: PoseErrorsResult
    map_frames: FrameCheck | None
    outcomes: tuple[Outcome, ...]
    warning: str | None = None

    def __str__(self) -> str:
        """A few lines of text: a warning where there is one, verdicts, each with its protocol."""
        parts = [self.warning, self.located, self.recall, self.errors, self.map_frames]
        return "\n".join(str(part) for part in parts if part is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        check = self.map_frames
        return {
            "located": None if self.located is None else self.located.to_dict(),
            "recall": self.recall.to_dict(),
            "errors": self.errors.to_dict(),
            "map_frames": None if check is None else {"differ": check.differs, "text": str(check)},
        }


@dataclass(frozen=True, slots=True, eq=False)
class LocalizedRun:
    """A run of frames that went through a :class:`Localizer`.

    Attributes:
        estimates: One for each frame, in order, as far as they are kept.
        places: Of the memory that answered.
        summary: Counts over all frames.
        bad: Names and reasons of frames whose image could not be read.
        seconds: Time it took, reading included.
        ended: What ended a stream before its frames did: a bag or image that cannot be read, a
            camera that is gone.
        made_by: Software, memory and encoder.
    """

    estimates: tuple[Estimate, ...]
    places: Sequence[Place]
    summary: Summary
    bad: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    ended: InputError | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many estimates are kept."""
        return len(self.estimates)

    def __iter__(self) -> Iterator[Estimate]:
        """The estimates, in order."""
        return iter(self.estimates)

    def __repr__(self) -> str:
        return f"LocalizedRun({self.summary.frames} frames: {self.summary})"

    @property
    def descriptors(self) -> Vectors | None:
        """(N, D) float32 of the frames; ``None`` unless every image was used."""
        rows = [e.descriptor for e in self.estimates if e.descriptor is not None]
        return np.stack(rows) if rows and len(rows) == len(self) else None

    @property
    def warning(self) -> str | None:
        """What to say where the memory holds frames of the run themselves; ``None`` where not."""
        return self.summary.warning(len({place.session for place in self.places}))

    def truth(self, radius: float, heading: float | None = None) -> GroundTruth:
        """Which places are correct for each estimate, by the poses of the frames."""
        return GroundTruth.from_poses(
            [estimate.frame.pose for estimate in self.estimates],
            [place.pose for place in self.places],
            radius,
            heading=heading,
        )

    def score(
        self, radius: float = DEFAULT_RADIUS, heading: float | None = None
    ) -> RunScore | None:
        """Score estimates whose frames have true poses, which the localizer does not use.

        Args:
            radius: Metres within which an answer is correct.
            heading: Degrees within which its rotation must be, too.

        Returns:
            Verdicts, recall, errors and the check of the map frames; ``None`` if no true poses or
            no poses of places are known.
        """
        truth = self.truth(radius, heading)
        posed = any(place.pose is not None for place in self.places)
        if not truth.known.any() or not posed:
            return None
        rows = {place.id: row for row, place in enumerate(self.places)}
        recall, errors = Recall(), PoseErrors()
        located = LocatedFrames(truth.rule)
        on_map = truth.on_map()
        ranked = np.full((len(self), max(recall.ks)), -1)
        for i, estimate in enumerate(self.estimates):
            found = [rows[c.place.id] for c in estimate.candidates[: ranked.shape[1]]]
            ranked[i, : len(found)] = found
            if not truth.known[i]:
                continue
            if estimate.frame.pose is not None:
                errors.update(estimate.frame.pose, estimate.judged)
            if estimate.belief is not None:
                located.update(
                    located=estimate.verdict == "located",
                    probability=estimate.belief.probability,
                    correct=bool(truth.is_pose_correct(i, estimate.hypothesis)),
                    on_map=bool(on_map[i]),
                    error=truth.error(i, estimate.hypothesis),
                    pose_error=pose_error(estimate.frame.pose, estimate.hypothesis),
                    covariance=estimate.covariance,
                )
        recall.update(ranked, truth)
        fused = any(estimate.belief is not None for estimate in self.estimates)
        return RunScore(
            recall.compute(),
            located.compute() if fused else None,
            errors.compute(),
            _check_map_frames(self.estimates, radius),
            tuple(judge(self.estimates, truth)),
            self.warning,
        )

    def to_dict(self, score: RunScore | None = None) -> dict[str, Any]:
        """Plain values, for JSON: counts, what made it, and a score where one is given."""
        return {
            **self.made_by,
            "places": len(self.places),
            **self.summary.to_dict(),
            "bad_images": [name for name, _ in self.bad],
            "ms_per_frame": 1e3 * self.seconds / max(1, self.summary.frames),
            **({} if score is None else score.to_dict()),
        }

    def to_frame(self) -> Any:
        """A row for each estimate, as a pandas data frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = require("pandas", extra="figures", purpose="Tables of results")
        return pandas.DataFrame([_row(estimate) for estimate in self.estimates])

    def plot(self, ax: Any = None) -> Any:
        """Draw places and answers on the ground plane, coloured by verdict.

        Args:
            ax: Matplotlib axes; new ones by default.

        Returns:
            The axes.

        Raises:
            MissingExtraError: Matplotlib is not installed.
        """
        if ax is None:
            pyplot = require("matplotlib.pyplot", extra="figures", purpose="Plots of results")
            _, ax = pyplot.subplots()
        known = [place.pose for place in self.places if place.pose is not None]
        ax.scatter([p.x for p in known], [p.y for p in known], s=6, color="0.8", label="places")
        for verdict, colour in _COLOURS.items():
            poses = [
                estimate.hypothesis
                for estimate in self.estimates
                if (estimate.verdict or "alone") == verdict
            ]
            given = [pose for pose in poses if pose is not None]
            if given:
                ax.scatter(
                    [p.x for p in given], [p.y for p in given], s=12, c=colour, label=verdict
                )
        ax.set(xlabel="x [m]", ylabel="y [m]", aspect="equal")
        ax.legend()
        return ax


def judge(
    estimates: Sequence[Estimate], truth: GroundTruth, *, alone: bool = False
) -> list[Outcome]:
    """Outcome of each estimate: of its verdict or, where it has none, of its first candidate.

    Args:
        estimates: The queries of the truth.
        truth: Which places are correct; over a map without places, every frame counts as on it.
        alone: Judge the first candidate of every estimate.

    Example:
        >>> from placememory.frames import Pose
        >>> from placememory.memory import Candidate
        >>> place = Place("run1", 0, "a.png", pose=Pose(0.0, 0.0))
        >>> far = Estimate(Frame("q.png", "run2", 0, pose=Pose(9, 0)), (Candidate(place, 0.9, 1),))
        >>> judge([far], GroundTruth.from_poses([far.frame.pose], [place.pose], radius=2.0))
        [<Outcome.OFF_MAP: 'off the map'>]
    """
    on_map = truth.on_map() if truth.places else np.ones(len(estimates), np.bool_)
    outcomes = []
    for query, estimate in enumerate(estimates):
        by_candidate = alone or estimate.belief is None
        pose = estimate.hypothesis
        if alone:
            pose = None if estimate.best is None else estimate.best.place.pose
        near = bool(on_map[query]) if truth.known[query] else None
        correct = truth.is_pose_correct(query, pose)
        outcomes.append(
            Outcome.of(
                answered=bool(estimate.candidates)
                if by_candidate
                else estimate.verdict == "located",
                correct=None if correct is None else correct and near,
                on_map=near,
            )
        )
    return outcomes


def localize(
    memory: PlaceMemory,
    images: str | Path | Iterable[Frame],
    *,
    poses: str | Path | PoseTable | None = None,
    odometry: str | Path | PoseTable | Trajectory | None = None,
    extrinsic: Pose | None = None,
    odometry_axes: Axes | None = None,
    encoder: Encoder | str | None = None,
    matcher: matching.Matcher | str | None = None,
    fusion: str | None = DEFAULT_FUSION,
    settings: Mapping[str, Any] | None = None,
    verify: Verifier | None = None,
    where: Where | None = None,
    k: int = 10,
    window: int = 5,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> LocalizedRun:
    """Localise a run of frames, each with what came before; the memory is not changed.

    Args:
        memory: Open memory.
        images: A folder, video or bag, or frames in the order they were taken.
        poses: True poses, for :meth:`LocalizedRun.score`; they are not used to localise.
        odometry: File or table of odometry poses, from which the motion between frames follows.
        extrinsic: Pose of the memory's body in the odometry's; see :class:`Motions`.
        odometry_axes: Of the odometry's body, likewise.
        encoder: The memory's encoder or its name; rebuilt from the memory's card by default.
        matcher: See :class:`Localizer`.
        fusion: See :class:`Localizer`; ``None`` answers each frame alone.
        settings: See :class:`Localizer`.
        verify: See :class:`Localizer`.
        where: Which places are the map; all by default.
        k: Candidates a frame.
        window: Frames that the matcher matches together.
        skip_bad: Go on where an image cannot be read; otherwise the first one ends the run.
        progress: Called with frames done and frames in all.

    Returns:
        The run; it has an estimate for each frame.

    Raises:
        EncoderMismatchError: The encoder is not the memory's.
        ImageError: An image cannot be read.
        InputError: The memory is empty, or the images or poses cannot be found.
    """
    frames = resolve_frames(images, poses)
    localizer = Localizer(
        memory,
        encoder,
        matcher=matcher,
        fusion=fusion,
        settings=settings,
        verify=verify,
        where=where,
        k=k,
        window=window,
        refresh_every=0,
    )
    if isinstance(odometry, str | Path):
        odometry = read_poses(odometry)
    steps: Iterable[Step | Frame] = frames
    if odometry is not None:
        motions = Motions(odometry, extrinsic=extrinsic, axes=odometry_axes, plane=localizer.plane)
        steps = motions.steps(frames)
    done = 0

    def count(_: Estimate) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(frames))

    run = follow(localizer, steps, skip_bad=skip_bad, on_estimate=count)
    if run.ended is not None:
        raise run.ended
    return run


def follow(
    localizer: Localizer,
    steps: Iterable[Step | Frame],
    *,
    skip_bad: bool = False,
    keep: Keep = "all",
    on_estimate: Callable[[Estimate], None] | None = None,
) -> LocalizedRun:
    """Localise a stream as it comes.

    Args:
        localizer: Ready; it is not reset.
        steps: Frames in the order they were taken, with odometry where there is any.
        skip_bad: Go on where an image cannot be read; otherwise the first one ends the stream.
        keep: What the run keeps of the estimates. ``"no images"`` lets go of images that the
            frames hold; ``"nothing"`` is for streams without end.
        on_estimate: Called with each estimate as it is made.

    Returns:
        The run; its places are those of every revision of the memory that answered. Where the
        source fails, the estimates before, and the failure as ``ended``.
    """
    started = time.perf_counter()
    bad: list[tuple[str, str]] = []
    estimates: list[Estimate] = []
    summary, ended = Summary(), None
    places: dict[PlaceId, Place] = {}
    revision = None
    try:
        for estimate in localizer.run(_check_frames(steps, localizer.memory)):
            name = estimate.frame.name
            if estimate.revision != revision:
                revision = estimate.revision
                places.update((place.id, place) for place in localizer.places)
            if "unreadable" in estimate.note:
                reason = _find_reason(estimate.frame)
                if not skip_bad:
                    raise ImageError(f"{name}: {reason} (--skip-bad goes on without it)")
                bad.append((name, reason))
            summary.add(estimate)
            if on_estimate is not None:
                on_estimate(estimate)
            if keep != "nothing":
                estimates.append(estimate if keep == "all" else estimate.without_image())
    except InputError as error:
        ended = error
    memory = localizer.memory
    return LocalizedRun(
        tuple(estimates),
        tuple({**places, **{place.id: place for place in localizer.places}}.values()),
        summary,
        tuple(bad),
        time.perf_counter() - started,
        ended,
        {
            "software": f"placememory {__version__}",
            "memory": memory.uri,
            "encoder": memory.card.name,
            "encoder_hash": memory.card.hash,
        },
    )


def _find_reason(frame: Frame) -> str:
    """Why the image of a frame cannot be read."""
    try:
        frame.image()
    except ImageError as error:
        return str(error)
    return "the image cannot be read"


def _check_frames(steps: Iterable[Step | Frame], memory: PlaceMemory) -> Iterator[Step | Frame]:
    """Refuse true poses of a frame that is named and is not the memory's.

    Files that name no frame say ``map``, whatever the memory's is called. Poses from another origin
    are brought to the memory's.
    """
    map_frame = memory.manifest.frame_id
    for step in steps:
        frame = step.frame if isinstance(step, Step) else step
        pose = fit_origin(frame.pose, map_frame)
        if pose is not frame.pose:
            frame = replace(frame, pose=pose)
            step = replace(step, frame=frame) if isinstance(step, Step) else frame
        if frame.pose is not None and frame.pose.frame_id not in ("map", map_frame):
            raise PoseError(
                f"{frame.name}: its true pose is in the frame {frame.pose.frame_id!r}, the memory "
                f"in {map_frame!r}, and nothing says how the two lie; give poses in the memory's "
                f"frame (of tf: --pose-frames {map_frame}:base_link), or none"
            )
        yield step


def _row(estimate: Estimate) -> dict[str, Any]:
    best, pose, guess = estimate.best, estimate.pose, estimate.hypothesis
    return {
        "name": estimate.frame.name,
        "stamp": estimate.frame.stamp,
        "verdict": estimate.verdict,
        "probability": estimate.probability,
        "x": None if pose is None else pose.x,
        "y": None if pose is None else pose.y,
        "yaw": None if pose is None else pose.yaw,
        "hypothesis_x": None if guess is None else guess.x,
        "hypothesis_y": None if guess is None else guess.y,
        "hypothesis_yaw": None if guess is None else guess.yaw,
        "place": None if best is None else best.place.name,
        "similarity": None if best is None else best.similarity,
        "reason": estimate.reason,
        "note": estimate.note,
    }


def _check_map_frames(estimates: Sequence[Estimate], radius: float) -> FrameCheck | None:
    """Compare map frames over the more similar half of the matches."""
    matches = [
        (e.best.similarity, e.frame.pose.position[:2], e.best.place.pose.position[:2])
        for e in estimates
        if e.best is not None and e.frame.pose is not None and e.best.place.pose is not None
    ]
    matches.sort(key=lambda match: -match[0])
    confident = matches[: math.ceil(len(matches) * _CONFIDENT_SHARE)]
    if not confident:
        return None
    true = np.array([position for _, position, _ in confident])
    found = np.array([position for _, _, position in confident])
    return check_frames(true, found, radius)
