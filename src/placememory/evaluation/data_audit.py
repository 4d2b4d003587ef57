"""Data audit: what in a data set would make its numbers mean nothing, found before they are made.

Of each traverse: units of its positions and headings. Of each pair of traverses: images that are on
both sides, queries without a positive, headings that the map lacks, and whether both are in one
frame of reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from placememory._types import Bools, Floats, Rows, TitledProgress, Vectors
from placememory.datasets import Traverse
from placememory.encoders import BadFrames, create, encode_frames, fit_on_sample
from placememory.errors import ImageError, InputError
from placememory.evaluation.config import DatasetConfig
from placememory.evaluation.plan import pairs_of, read_traverse, truth_of
from placememory.frames import Frame, Image, read_ahead, sample_evenly
from placememory.memory.search import nearest
from placememory.metrics import GroundTruth, check_frames

SAME_IMAGE = 0.98
"""Correlation of two thumbnails from which two images are one photograph, saved twice.

Between the runs of corridor, loop, tower and rendered buildings the largest is 0.96. Each of 300 of
their photographs has at least 0.991 with itself as a JPEG of quality 20, and at least 0.982 at half
the size and quality 60.
"""

_THUMB = 32
_LEAST_CONTRAST = 4.0  # grey levels; flat images are all alike
_MOST_IMAGES = 10_000
_MATCHED = 150  # queries whose places are looked up to compare frames of reference
_MAP_IMAGES = 400
_LEAST_MATCHED = 16
_TURN = 90.0  # degrees from which the map looks elsewhere
_FASTEST = 100.0  # m/s
_SAME_TIME = 1e9  # ns


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found in a data set.

    Attributes:
        check: ``units``, ``duplicates``, ``positives``, ``headings``, ``frame`` or ``images``.
        where: Traverse, or pair of traverses.
        wrong: Whether numbers of this data mean nothing, or too little, until it is mended; else it
            is a fact that belongs beside them.
        text: What it is, and what to do.
        examples: Some names of images.
    """

    check: str
    where: str
    wrong: bool
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataAudit:
    """What an audit found.

    Attributes:
        findings: In the order of the checks.
        looked_at: What was looked at, a line for each traverse and pair.
    """

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]

    @property
    def wrong(self) -> bool:
        """Whether something is wrong."""
        return any(finding.wrong for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = [asdict(finding) for finding in self.findings]
        return {"wrong": self.wrong, "findings": found, "looked_at": list(self.looked_at)}


def audit_data(
    dataset: DatasetConfig,
    *,
    images: int = _MOST_IMAGES,
    progress: TitledProgress | None = None,
) -> DataAudit:
    """Look for what makes the numbers of a data set meaningless.

    Args:
        dataset: Data set, pairs, and when an answer is correct.
        images: Images read of each traverse, evenly spaced, to find those on both sides; 0 reads
            none, and then frames of reference are not compared by images, either.
        progress: Called with a title, images read and images in all.

    Raises:
        DatasetError: A traverse cannot be read.
        InputError: The list of positives cannot be read.

    Example:
        >>> config = DatasetConfig(root="town", pairs=[{"query": "b", "reference": "a"}])
        >>> audit_data(config).wrong  # doctest: +SKIP
        False
    """
    findings: list[Finding] = []
    looked: list[str] = []
    thumbs = _Thumbnails(images, progress)
    pairs = pairs_of(dataset)
    splits = [s for pair in pairs for s in (pair.reference, pair.query) if s is not None]
    for split in dict.fromkeys(splits):
        traverse = read_traverse(dataset, split)
        findings += _check_units(traverse)
        known = int((~np.isnan(traverse.positions).any(axis=1)).sum())
        looked.append(f"{split}: {len(traverse)} images, {known} with positions in {traverse.unit}")
        if images:
            findings += thumbs.read(traverse)
    for pair in pairs:
        if pair.reference is None or pair.reference == pair.query:
            looked.append(f"{pair.query}: a single session, no pair to compare")
            continue
        query, reference = (read_traverse(dataset, s) for s in (pair.query, pair.reference))
        where = f"{pair.query} on {pair.reference}"
        truth = truth_of(dataset, query, reference)
        listed = math.isnan(truth.radius)
        findings += _check_positives(where, query, truth)
        findings += _check_headings(where, query, reference, dataset.radius)
        findings += _check_times(where, query, reference)
        if images:
            findings += thumbs.compare(where, query, reference)
        metric = query.unit == "m" and not listed
        findings += _check_frame_ids(where, query, reference)
        if images and metric:
            findings += _check_frame(where, query, reference, dataset.radius, progress)
        looked.append(f"{where}: correct is {truth.rule}")
    return DataAudit(tuple(findings), tuple(looked))


def _check_units(traverse: Traverse) -> Iterable[Finding]:
    """Positions in degrees or millimetres, stamps of another unit, headings that are none."""
    if traverse.unit != "m":
        return
    rows = np.flatnonzero(~np.isnan(traverse.positions).any(axis=1))
    flat = traverse.positions[rows, :2]
    if len(flat) < 2:
        return
    span = float((flat.max(axis=0) - flat.min(axis=0)).max())
    offset = float(np.abs(np.median(flat, axis=0)).max())
    degrees = bool((np.abs(flat) <= (180.0, 90.0)).all() or (np.abs(flat) <= (90.0, 180.0)).all())
    if degrees and 0 < span < 1.0 and offset >= 20 * span:
        yield Finding(
            "units", traverse.name, wrong=True,
            text=f"all positions lie within {span:g} of ({flat[0, 0]:g}, {flat[0, 1]:g}): these "
            "look like degrees, not metres; name the columns latitude and longitude",
        )  # fmt: skip
    elif len(rows) >= 10 and span < 0.05:
        yield Finding(
            "units", traverse.name, wrong=True,
            text=f"{len(rows)} images lie within {span:g} m: the positions are in another unit, or "
            "the camera stood still",
        )  # fmt: skip
    steps = _Steps.of(traverse, rows)
    fast = steps.apart[steps.seconds > 0] / steps.seconds[steps.seconds > 0]
    if len(fast) >= 5 and float(np.median(fast)) > _FASTEST:
        yield Finding(
            "units", traverse.name, wrong=True,
            text=f"the camera moves at {np.median(fast):.0f} m/s (median): positions are in "
            "millimetres, or stamps are in another unit than seconds or nanoseconds",
        )  # fmt: skip
    yield from _check_turns(traverse, steps)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps from each frame to the next of its session.

    Attributes:
        apart: (S,) metres.
        seconds: (S,), 0 where not known.
        towards: (S,) radians, direction of the step.
        yaw: (S,) radians, heading at its start; NaN where not known.
        turn: (S,) radians, from the heading at its start to that at its end, without sign.
    """

    apart: Floats
    seconds: Floats
    towards: Floats
    yaw: Floats
    turn: Floats

    @classmethod
    def of(cls, traverse: Traverse, rows: Rows) -> _Steps:
        numbers, sessions = traverse.frame_numbers, traverse.sessions
        pairs = [
            (a, b)
            for a, b in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True)
            if sessions[a] == sessions[b] and numbers[b] - numbers[a] == 1
        ]
        first, second = np.array(pairs, np.int64).reshape(-1, 2).T
        yaws = np.array([_yaw(frame) for frame in traverse.frames], np.float64)
        stamps = [frame.stamp for frame in traverse.frames]
        seconds = [
            0.0 if (s := stamps[a]) is None or (t := stamps[b]) is None else (t - s) / 1e9
            for a, b in pairs
        ]
        move = traverse.positions[second, :2] - traverse.positions[first, :2]
        turn = np.abs((yaws[second] - yaws[first] + math.pi) % (2 * math.pi) - math.pi)
        return cls(
            np.linalg.norm(move, axis=1),
            np.array(seconds, np.float64),
            np.arctan2(move[:, 1], move[:, 0]),
            yaws[first],
            turn,
        )


def _check_turns(traverse: Traverse, steps: _Steps) -> Iterable[Finding]:
    """Headings that jump, or turn the other way round than the drive."""
    near = ~np.isnan(steps.turn) & (steps.apart < 2.0)
    if near.sum() >= 10 and float(np.median(steps.turn[near])) > math.radians(45.0):
        turn = math.degrees(float(np.median(steps.turn[near])))
        yield Finding(
            "units", traverse.name, wrong=True,
            text=f"headings turn by {turn:.0f} degrees (median) from one image to the next, less "
            "than 2 m on: are they in degrees, and read as radians?",
        )  # fmt: skip
        return
    moving = ~np.isnan(steps.yaw) & (steps.apart > 0.05)
    if moving.sum() < 20:
        return
    yaw, towards = steps.yaw[moving], steps.towards[moving]
    as_they_are, mirrored = (
        float(abs(np.exp(1j * (towards - sign * yaw)).mean())) for sign in (1, -1)
    )
    if mirrored > 0.9 and as_they_are < 0.5:
        yield Finding(
            "units", traverse.name, wrong=True,
            text="headings turn the other way round than the camera's path: they are clockwise "
            "(compass angles); yaw is counter-clockwise from x",
        )  # fmt: skip


def _yaw(frame: Frame) -> float:
    pose = frame.pose
    return math.nan if pose is None or pose.yaw is None else pose.yaw


def _check_positives(where: str, query: Traverse, truth: GroundTruth) -> Iterable[Finding]:
    """Queries that no image of the map answers."""
    known = int(truth.known.sum())
    if not known:
        yield Finding(
            "positives", where, wrong=True,
            text="no query has a known position, nor listed positives: nothing can be scored",
        )  # fmt: skip
        return
    without = truth.known & ~truth.on_map()
    missing = int(without.sum())
    if not missing:
        return
    share = f"{missing} of {known} queries have no positive ({truth.rule})"
    nearest_place = truth.nearest()[without]
    if np.isfinite(nearest_place).any():
        middle = float(np.median(nearest_place[np.isfinite(nearest_place)]))
        share += f"; the nearest image of the map is {middle:.4g} {truth.unit} away (median)"
    wrong = 2 * missing > known
    ending = (
        "; is the radius, the unit or the frame of reference another one?"
        if wrong
        else "; recall leaves them out, some published tables count them as misses"
    )
    yield Finding("positives", where, wrong, share + ending, _names(query, without))


def _check_headings(
    where: str, query: Traverse, reference: Traverse, radius: float
) -> Iterable[Finding]:
    """Queries near whose position the map only looks elsewhere."""
    if query.unit != "m":
        return
    true, places = ([frame.pose for frame in part.frames] for part in (query, reference))
    headed = [not math.isnan(_yaw(frame)) for frame in query.frames]
    if not any(headed) or not any(not math.isnan(_yaw(frame)) for frame in reference.frames):
        return
    near = GroundTruth.from_poses(true, places, radius)
    alike = GroundTruth.from_poses(true, places, radius, heading=_TURN)
    judged = near.on_map() & np.array(headed)
    turned = judged & ~alike.on_map()
    if turned.any():
        wrong = 2 * int(turned.sum()) > int(judged.sum())
        yield Finding(
            "headings", where, wrong,
            f"{int(turned.sum())} of {int(judged.sum())} queries with images of the map within "
            f"{radius:g} m have none that looks within {_TURN:g} degrees of their direction: "
            "score with heading, or map the other direction too",
            _names(query, turned),
        )  # fmt: skip


def _check_times(where: str, query: Traverse, reference: Traverse) -> Iterable[Finding]:
    """Queries that were taken when the map was."""
    taken = np.array(sorted(f.stamp for f in reference.frames if f.stamp is not None), np.int64)
    stamped = [(i, f.stamp) for i, f in enumerate(query.frames) if f.stamp is not None]
    if not len(taken) or not stamped:
        return
    stamps = np.array([stamp for _, stamp in stamped], np.int64)
    after = np.searchsorted(taken, stamps)
    before = np.clip(after - 1, 0, len(taken) - 1)
    after = np.clip(after, 0, len(taken) - 1)
    apart = np.minimum(np.abs(taken[before] - stamps), np.abs(taken[after] - stamps))
    same = np.zeros(len(query), np.bool_)
    same[[i for i, _ in stamped]] = apart < _SAME_TIME
    if 2 * int(same.sum()) > len(stamped):
        yield Finding(
            "duplicates", where, wrong=False,
            text=f"{int(same.sum())} of {len(stamped)} queries were taken within a second of an "
            "image of the map: stamps from zero, or one recording on both sides?",
            examples=_names(query, same),
        )  # fmt: skip


def _check_frame_ids(where: str, query: Traverse, reference: Traverse) -> Iterable[Finding]:
    """Poses that say that they are in different frames."""
    sides = [{f.pose.frame_id for f in part.frames if f.pose} for part in (query, reference)]
    if sides[0] and sides[1] and not sides[0] & sides[1]:
        one, two = (", ".join(sorted(side)[:2]) for side in sides)
        yield Finding(
            "frame", where, wrong=True,
            text=f"poses of the queries are in the frame {one!r}, those of the map in {two!r}: "
            "bring both into one",
        )  # fmt: skip


def _check_frame(
    where: str,
    query: Traverse,
    reference: Traverse,
    radius: float,
    progress: TitledProgress | None,
) -> Iterable[Finding]:
    """Whether the places that look alike lie elsewhere, all by one shift and rotation."""
    sides: list[tuple[list[Frame], Floats]] = []
    for part, most in ((reference, _MAP_IMAGES), (query, _MATCHED)):
        rows = np.flatnonzero(~np.isnan(part.positions).any(axis=1))
        chosen = rows[sample_evenly(len(rows), most)]
        sides.append(([part.frames[row] for row in chosen], part.positions[chosen, :2]))
    (places, at), (queries, true) = sides
    if len(places) < 2 or len(queries) < 2:
        return
    bad = BadFrames(skip=True)
    title = f"frames of reference: {where}"
    try:
        encoder, _, _ = fit_on_sample(create("lite-vlad"), places, bad)
        found = [_encode(encoder, part, bad, title, progress) for part in (places, queries)]
    except InputError:  # none of the images can be read: reported by the check of images
        return
    (map_rows, descriptors), (query_rows, asked) = found
    if not len(map_rows) or not len(query_rows):
        return
    ranked, apart = nearest(descriptors, asked, 1)
    surest = np.argsort(apart[:, 0], kind="stable")[: max(_LEAST_MATCHED, len(asked) // 2)]
    check = check_frames(true[query_rows][surest], at[map_rows][ranked[surest, 0]], radius)
    if check is not None and check.differs:
        yield Finding("frame", where, wrong=True, text=str(check))


def _encode(
    encoder: Any,
    frames: Sequence[Frame],
    bad: BadFrames,
    title: str,
    progress: TitledProgress | None,
) -> tuple[Rows, Vectors]:
    """Rows of the frames that can be read, and their descriptors."""
    number = {id(frame): i for i, frame in enumerate(frames)}
    rows: list[int] = []
    parts = [np.empty((0, encoder.card.dim), np.float32)]
    for part, descriptors in encode_frames(encoder, frames, bad):
        rows += [number[id(frame)] for frame in part]
        parts.append(descriptors)
        if progress is not None:
            progress(title, len(rows), len(frames))
    return np.array(rows, np.int64), np.concatenate(parts)


class _Thumbnails:
    """Small grey images of all traverses, read once."""

    def __init__(self, most: int, progress: TitledProgress | None) -> None:
        self._most, self._progress = most, progress
        self._of: dict[str, tuple[Rows, Vectors]] = {}

    def read(self, traverse: Traverse) -> list[Finding]:
        """Read those of a traverse; images that cannot be read are a finding."""
        chosen = [int(i) for i in sample_evenly(len(traverse), self._most)]
        frames = [traverse.frames[i] for i in chosen]
        number = {id(frame): i for frame, i in zip(frames, chosen, strict=True)}
        bad: list[Frame] = []

        def note(frame: Frame, error: ImageError) -> None:  # noqa: ARG001
            bad.append(frame)

        rows: list[int] = []
        found: list[Vectors] = []
        for frame, image in read_ahead(frames, on_bad=note):
            thumb = _shrink(image)
            if thumb is not None:
                rows.append(number[id(frame)])
                found.append(thumb)
            if self._progress is not None:
                self._progress(f"images of {traverse.name}", number[id(frame)] + 1, len(traverse))
        thumbs = np.stack(found) if found else np.empty((0, _THUMB * _THUMB), np.float32)
        self._of[traverse.name] = np.array(rows, np.int64), thumbs
        if not bad:
            return []
        text = f"{len(bad)} of {len(frames)} images cannot be read"
        return [
            Finding("images", traverse.name, True, text, tuple(frame.name for frame in bad[:3]))
        ]

    def compare(self, where: str, query: Traverse, reference: Traverse) -> Iterable[Finding]:
        """Images of the queries that are in the map, too."""
        (rows, thumbs), (map_rows, map_thumbs) = self._of[query.name], self._of[reference.name]
        if not len(rows) or not len(map_rows):
            return
        best = np.empty(len(rows), np.int64)
        value = np.empty(len(rows))
        for start in range(0, len(rows), 512):
            part = thumbs[start : start + 512] @ map_thumbs.T
            best[start : start + 512], value[start : start + 512] = part.argmax(1), part.max(1)
        same = value >= SAME_IMAGE
        if same.any():
            pairs = [
                f"{query.frames[rows[i]].name} = {reference.frames[map_rows[best[i]]].name}"
                for i in np.flatnonzero(same)[:3]
            ]
            yield Finding(
                "duplicates", where, wrong=True,
                text=f"{int(same.sum())} of {len(rows)} query images are in the map, too "
                f"(thumbnails correlate by {SAME_IMAGE:g} and more): numbers of them say nothing; "
                "take them out of one side",
                examples=tuple(pairs),
            )  # fmt: skip


def _shrink(image: Image) -> Vectors | None:
    """(1024,) float32 of unit norm and zero mean; ``None`` of an image without contrast."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(image).convert("L").resize((_THUMB, _THUMB), Pillow.Resampling.BOX)
    grey: Vectors = np.asarray(small, np.float32).ravel()
    if float(grey.std()) < _LEAST_CONTRAST:
        return None
    centred: Vectors = grey - grey.mean()
    unit: Vectors = centred / np.linalg.norm(centred)
    return unit


def _names(traverse: Traverse, rows: Bools) -> tuple[str, ...]:
    return tuple(traverse.frames[i].name for i in np.flatnonzero(rows)[:3])
