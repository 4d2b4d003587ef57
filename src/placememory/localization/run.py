"""Localise frames one by one in a memory: the best candidate's pose for each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from placememory._types import Progress
from placememory.encoders import Encoder
from placememory.encoders._batching import BATCH, BadFrames, encode_frames
from placememory.errors import ImageError, InputError
from placememory.frames import Frame
from placememory.localization.estimate import Estimate
from placememory.localization.localizer import Localizer, Step
from placememory.memory import PlaceMemory, Where
from placememory.metrics.alignment import FrameCheck, check_frames
from placememory.metrics.located import LocatedFrames, LocatedResult
from placememory.metrics.place_recall import PlaceRecall, RecallResult, is_right

Keep = Literal["all", "no images", "nothing"]
_CONFIDENT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Localization:
    """A localised run.

    Attributes:
        estimates: One for each readable frame, in order.
        bad: Names and reasons of frames that could not be read.
        descriptors: (N, D) float32 of the frames, where they were asked for.
        seconds: Time it took, reading included.
        ended: What ended a stream before its frames did: a bag or image that cannot be read, a
            camera that is gone.
    """

    estimates: tuple[Estimate, ...]
    bad: tuple[tuple[str, str], ...]
    descriptors: NDArray[np.float32] | None
    seconds: float
    ended: InputError | None = None


class Measured(NamedTuple):
    """How right a localised run is.

    Attributes:
        recall: Recall and error with their protocol.
        map_frames: Whether the two sessions share one map frame; ``None`` if that cannot be told.
    """

    recall: RecallResult
    map_frames: FrameCheck | None


def localize(
    memory: PlaceMemory,
    frames: Sequence[Frame],
    encoder: Encoder,
    *,
    k: int = 10,
    where: Where | None = None,
    skip_bad: bool = False,
    keep_descriptors: bool = False,
    progress: Progress | None = None,
) -> Localization:
    """Localise frames; the memory is not changed.

    Args:
        memory: Open memory.
        frames: Queries with images.
        encoder: The memory's encoder.
        k: Candidates a frame.
        where: Which places may answer.
        skip_bad: Leave out images that cannot be read.
        keep_descriptors: Whether the result keeps the frames' descriptors.
        progress: Called with frames done and frames in all.

    Returns:
        An estimate for each readable frame.

    Raises:
        EncoderMismatchError: The encoder is not the memory's.
        ImageError: An image cannot be read.
    """
    memory.check_encoder(encoder.card)
    started = time.perf_counter()
    bad = BadFrames(skip_bad)
    estimates: list[Estimate] = []
    kept: list[NDArray[np.float32]] = []
    for part, descriptors in encode_frames(encoder, frames, bad, batch=min(BATCH, 8)):
        found = memory.search(descriptors, k, where)
        estimates += [Estimate(f, tuple(c)) for f, c in zip(part, found, strict=True)]
        if keep_descriptors:
            kept.append(descriptors)
        if progress is not None:
            progress(len(estimates) + len(bad.names), len(frames))
    return Localization(
        tuple(estimates),
        tuple(bad.names),
        np.concatenate(kept) if kept else None,
        time.perf_counter() - started,
    )


def localize_online(
    localizer: Localizer,
    steps: Iterable[Step | Frame],
    *,
    skip_bad: bool = False,
    keep: Keep = "all",
    told: Callable[[Estimate], None] | None = None,
) -> Localization:
    """Localise a stream frame by frame, each with what came before.

    Args:
        localizer: Ready; it is not reset.
        steps: Frames in the order they were taken, with odometry where there is any.
        skip_bad: Go on where an image cannot be read; otherwise the first one ends the stream.
        keep: What the result keeps of the estimates. ``"no images"`` lets go of images that the
            frames hold; ``"nothing"`` is for streams without end.
        told: Called with each estimate as it is made.

    Returns:
        An estimate for each frame, as far as they are kept. Where the source fails, those before,
        and the failure as ``ended``.
    """
    started = time.perf_counter()
    bad = BadFrames(skip_bad)
    estimates: list[Estimate] = []
    ended: InputError | None = None
    try:
        for estimate in localizer.run(steps):
            frame = estimate.frame
            if estimate.note == "unreadable":
                bad.note(frame, ImageError(f"{frame.name}: the image cannot be read"))
            if told is not None:
                told(estimate)
            if keep != "nothing":
                estimates.append(estimate if keep == "all" else _without_image(estimate))
    except InputError as error:
        ended = error
    seconds = time.perf_counter() - started
    return Localization(tuple(estimates), tuple(bad.names), None, seconds, ended)


def _without_image(estimate: Estimate) -> Estimate:
    return replace(estimate, frame=replace(estimate.frame, read=None))


def measure_verdicts(
    estimates: Sequence[Estimate], memory: PlaceMemory, *, radius: float
) -> LocatedResult | None:
    """Score verdicts of frames that have true poses; ``None`` if there are none.

    Args:
        estimates: With beliefs.
        memory: The memory that answered.
        radius: Metres within which an answer is right.
    """
    positions = memory.rows.positions
    true = [e for e in estimates if e.frame.pose is not None and e.belief is not None]
    if not true or np.isnan(positions).all():
        return None
    metric = LocatedFrames(radius)
    for estimate in true:
        assert estimate.frame.pose is not None
        likely = estimate.likely_pose
        near = np.linalg.norm(positions - estimate.frame.pose.position, axis=1) <= radius
        metric.update(
            located=estimate.verdict == "located",
            probability=estimate.probability or 0.0,
            error=None if likely is None else estimate.frame.pose.distance_to(likely),
            on_map=bool(near.any()),
        )
    return metric.compute()


def measure(
    estimates: Sequence[Estimate],
    memory: PlaceMemory,
    *,
    radius: float,
    heading: float | None = None,
) -> Measured | None:
    """Score estimates whose frames have true poses.

    Args:
        estimates: In the order of the traverse.
        memory: The memory that answered.
        radius: Metres within which a candidate is right.
        heading: Degrees within which its rotation must be, too.

    Returns:
        Recall, error and the check of the map frames; ``None`` if no true poses are known.
    """
    true = [estimate for estimate in estimates if estimate.frame.pose is not None]
    if not true or np.isnan(memory.rows.positions).all():
        return None
    metric = PlaceRecall(radius, heading)
    for estimate, solvable in zip(true, _solvable(true, memory, radius, heading), strict=True):
        assert estimate.frame.pose is not None
        poses = [candidate.place.pose for candidate in estimate.candidates]
        metric.update(estimate.frame.pose, poses, solvable=solvable)
    return Measured(metric.compute(), _check(true, radius))


def _solvable(
    estimates: Sequence[Estimate], memory: PlaceMemory, radius: float, heading: float | None
) -> Iterator[bool]:
    """Whether the memory holds a right place for each query."""
    positions = memory.rows.positions
    for estimate in estimates:
        true = estimate.frame.pose
        assert true is not None
        near = np.flatnonzero(np.linalg.norm(positions - true.position, axis=1) <= radius)
        poses = (memory.places[int(row)].pose for row in near)
        yield any(pose is not None and is_right(true, pose, radius, heading) for pose in poses)


def _check(estimates: Sequence[Estimate], radius: float) -> FrameCheck | None:
    """Compare map frames over the more similar half of the matches."""
    matches = [
        (e.best.similarity, e.frame.pose.position[:2], e.pose.position[:2])
        for e in estimates
        if e.best is not None and e.frame.pose is not None and e.pose is not None
    ]
    matches.sort(key=lambda match: -match[0])
    confident = matches[: math.ceil(len(matches) * _CONFIDENT_SHARE)]
    if not confident:
        return None
    true = np.array([position for _, position, _ in confident])
    found = np.array([position for _, _, position in confident])
    return check_frames(true, found, radius)
