"""Build a place memory from the frames of a mapping run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from placememory._types import Progress
from placememory.encoders import Encoder, EncoderCard, FittableEncoder
from placememory.encoders.base import Descriptors
from placememory.encoders.batching import BATCH, BadFrames, encode_frames, fit_on_sample
from placememory.errors import InputError
from placememory.frames import Frame
from placememory.frames.keyframes import sample_evenly
from placememory.frames.names import facts_of_name
from placememory.memory import Place, PlaceMemory
from placememory.memory.features_h5 import FeatureReader

UNKNOWN_ENCODER = "unknown (feature file)"
"""Name on the card of a memory made from feature files that do not say their encoder."""

_FEATURE_BATCH = 512
_CHECKED = 3
_SAME = 0.9
"""Least mean similarity of an image to itself, encoded at another time or in another precision."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        added: Places written now.
        present: Places that were in the memory already.
        moved: Places that were there and got another pose or stamp.
        without_pose: Places in the memory, of these frames, that have no pose.
        bad: Names and reasons of frames that could not be read.
        fitted_on: Images the encoder's vocabulary was fitted on now; 0 if it was not.
        seconds: Time it took, reading included.
    """

    added: int
    present: int
    moved: int
    without_pose: int
    bad: tuple[tuple[str, str], ...]
    fitted_on: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Images encoded a second, reading included."""
        return self.added / self.seconds if self.seconds > 0 else 0.0


def build(
    uri: str | Path,
    frames: Sequence[Frame],
    encoder: Encoder,
    *,
    frame_id: str = "map",
    map_yaml: Path | str | None = None,
    source: Path | str | None = None,
    dtype: str = "float32",
    skip_bad: bool = False,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> BuildReport:
    """Write frames into a memory; what is there already is not done again.

    A memory that does not exist is made. An encoder that needs a vocabulary has it fitted on the
    frames, at an even spacing; a memory that exists keeps its own, so runs added later fit in. A
    build that was cut off goes on when the same call is made again, and has lost at most the batch
    in flight.

    Args:
        uri: Address of the memory (see :meth:`PlaceMemory.create`).
        frames: With images, and with poses where known.
        encoder: Fitted or not.
        frame_id: Name of the map frame, for a new memory.
        map_yaml: ROS map under the places, remembered for figures.
        source: Where the images lie, remembered for figures.
        dtype: ``float32`` or ``float16``, how a new memory stores descriptors.
        skip_bad: Leave out, and count, images that cannot be read.
        batch: Frames a transaction.
        progress: Called with frames done and frames in all.

    What a frame does not know (its pose, say, when the run is given again without poses) stays as
    the memory has it.

    Raises:
        ImageError: An image cannot be read.
        InputError: The memory holds another image under the same session and index.
        EncoderMismatchError: The memory was made by another encoder.
    """
    started = time.perf_counter()
    bad = BadFrames(skip_bad)
    job = _Build(frames, bad, progress)
    sample: list[Frame] = []
    descriptors = None
    if not PlaceMemory.exists(uri):
        encoder, sample, descriptors = fit_on_sample(encoder, frames, bad, progress)
        job.encoded = len(sample)
    memory = _open_or_create(uri, encoder.card, frame_id, map_yaml, dtype)
    with memory:
        encoder = _with_words_of(memory, encoder)
        memory.check_encoder(encoder.card)
        if source is not None:
            _set_source(memory, frames, Path(source).resolve(), encoder)
        moved = job.update_known(memory)
        if descriptors is not None:
            for start in range(0, len(sample), batch):
                job.add(memory, sample[start : start + batch], descriptors[start : start + batch])
        for part, encoded in encode_frames(encoder, job.missing(), bad, batch=batch):
            job.add(memory, part, encoded)
    return job.report(moved, fitted_on=len(sample), started=started)


def build_from_features(
    uri: str | Path,
    features: Path | str | Sequence[Path | str],
    frames: Sequence[Frame],
    *,
    frame_id: str = "map",
    map_yaml: Path | str | None = None,
    dtype: str = "float32",
) -> BuildReport:
    """Write descriptors of hloc feature files into a memory.

    Args:
        uri: Address of the memory; made if it does not exist.
        features: One or several ``global_descriptor`` files.
        frames: Which of their images, with poses where known (see :func:`feature_frames`).
        frame_id: Name of the map frame, for a new memory.
        map_yaml: ROS map under the places.
        dtype: How a new memory stores descriptors.

    Raises:
        InputError: A file is damaged, or a frame is not in it.
        EncoderMismatchError: The memory was made by another encoder.
    """
    started = time.perf_counter()
    with FeatureReader(features) as reader:
        card = reader.card or EncoderCard(name=UNKNOWN_ENCODER, dim=reader.dim)
        memory = _open_or_create(uri, card, frame_id, map_yaml, dtype)
        with memory:
            memory.check_encoder(card)
            job = _Build(frames, BadFrames(), None)
            moved = job.update_known(memory)
            missing = job.missing()
            _check_same_images(memory, frames, lambda some: _described(reader, some))
            for start in range(0, len(missing), _FEATURE_BATCH):
                part = missing[start : start + _FEATURE_BATCH]
                job.add(memory, part, reader.read([frame.name for frame in part]))
    return job.report(moved, fitted_on=0, started=started)


def feature_frames(features: Path | str | Sequence[Path | str], session: str) -> list[Frame]:
    """Frames of hloc feature files, in natural order, without images.

    Raises:
        InputError: A file is missing or damaged.
    """
    with FeatureReader(features) as reader:
        found = [(name, facts_of_name(name)) for name in reader.names]
    return [
        Frame(name, session, i, stamp=f.stamp, pose=f.pose, vertex_id=f.vertex_id)
        for i, (name, f) in enumerate(found)
    ]


class _Build:
    """Which frames are done, and the counts of the report."""

    def __init__(
        self, frames: Sequence[Frame], bad: BadFrames, progress: Progress | None = None
    ) -> None:
        self._frames = frames
        self._bad = bad
        self._progress = progress
        self._done: set[tuple[str, int]] = set()
        self._keep_poses = 0
        self.added = 0
        self.present = 0
        self.encoded = 0  # by the fit, before anything is written

    def update_known(self, memory: PlaceMemory) -> int:
        """Mark frames that the memory has; give those their new poses that got one.

        Raises:
            InputError: The memory has another name under a session and index.
        """
        known = {place.id: i for i, place in enumerate(memory.places)}
        moved: list[tuple[Place, int]] = []
        for frame in self._frames:
            place = Place.from_frame(frame)
            row = known.get(place.id)
            if row is None:
                continue
            old = memory.places[row]
            if old.name != place.name:
                raise InputError(
                    f"{memory.uri} has {old.name!r} as frame {old.index} of session "
                    f"{old.session!r}, not {place.name!r}: the folder has changed. Use another "
                    "--session, or remove this one first"
                )
            self._keep_poses += place.pose is None and old.pose is not None
            place = _updated(old, place)
            if old != place:
                moved.append((place, row))
            self._done.add(place.id)
        if moved:
            rows = memory.rows.take([row for _, row in moved])
            memory.add_rows(replace(rows, places=[place for place, _ in moved]))
        self.present = len(self._done)
        return len(moved)

    def missing(self) -> list[Frame]:
        """Frames that are neither in the memory nor known to be bad."""
        bad = {name for name, _ in self._bad.names}
        return [
            frame
            for frame in self._frames
            if (frame.session, frame.index) not in self._done and frame.name not in bad
        ]

    def add(self, memory: PlaceMemory, frames: Sequence[Frame], descriptors: Descriptors) -> None:
        """Write one batch."""
        memory.add(frames, descriptors)
        self._done.update((frame.session, frame.index) for frame in frames)
        self.added += len(frames)
        if self._progress is not None:
            done = max(self.encoded, len(self._done)) + len(self._bad.names)
            self._progress(done, len(self._frames))

    def report(self, moved: int, *, fitted_on: int, started: float) -> BuildReport:
        """What was done."""
        bad = {name for name, _ in self._bad.names}
        return BuildReport(
            added=self.added,
            present=self.present,
            moved=moved,
            without_pose=sum(f.pose is None and f.name not in bad for f in self._frames)
            - self._keep_poses,
            bad=tuple(self._bad.names),
            fitted_on=fitted_on,
            seconds=time.perf_counter() - started,
        )


def _updated(old: Place, new: Place) -> Place:
    """A place with what is newly known of it."""
    facts = {name: getattr(new, name) for name in ("stamp", "vertex_id", "pose", "floor")}
    return replace(old, **{name: value for name, value in facts.items() if value is not None})


def _set_source(
    memory: PlaceMemory, frames: Sequence[Frame], folder: Path, encoder: Encoder
) -> None:
    """Remember the folder of the images; from another folder than before, they must be the same."""
    sessions = {frame.session for frame in frames}
    before = memory.manifest.sources
    if any(before.get(session, str(folder)) != str(folder) for session in sessions):
        _check_same_images(
            memory, frames, lambda some: encode_frames(encoder, some, BadFrames(skip=True))
        )
    memory.set_sources(dict.fromkeys(sessions, folder))


def _check_same_images(
    memory: PlaceMemory,
    frames: Sequence[Frame],
    describe: Callable[[list[Frame]], Iterable[tuple[list[Frame], Descriptors]]],
) -> None:
    """Check on a few frames that the memory knows that they look as they did.

    Two runs whose folders and files have the same names would otherwise be taken for one.

    Raises:
        InputError: They do not.
    """
    rows = {place.id: row for row, place in enumerate(memory.places)}
    known = [frame for frame in frames if (frame.session, frame.index) in rows]
    chosen = [known[int(i)] for i in sample_evenly(len(known), _CHECKED)]
    likeness = [
        float(new @ memory.descriptors[rows[frame.session, frame.index]] / np.linalg.norm(new))
        for part, described in describe(chosen)
        for frame, new in zip(part, described, strict=True)
    ]
    if likeness and sum(likeness) / len(likeness) < _SAME:
        raise InputError(
            f"{memory.uri} has a session {chosen[0].session!r} with the same names but other "
            "images; give this run a name of its own with --session"
        )


def _described(
    reader: FeatureReader, frames: list[Frame]
) -> Iterator[tuple[list[Frame], Descriptors]]:
    if frames:
        yield frames, reader.read([frame.name for frame in frames])


def _open_or_create(
    uri: str | Path, card: EncoderCard, frame_id: str, map_yaml: Path | str | None, dtype: str
) -> PlaceMemory:
    if not PlaceMemory.exists(uri):
        return PlaceMemory.create(
            uri,
            encoder=card,
            frame_id=frame_id,
            dtype="float16" if dtype == "float16" else "float32",
            map_yaml=map_yaml,
        )
    memory = PlaceMemory.open(uri)
    if map_yaml is not None:
        memory.set_map(map_yaml)
    return memory


def _with_words_of(memory: PlaceMemory, encoder: Encoder) -> Encoder:
    """The encoder with the memory's vocabulary, where it needs one and has none."""
    if not isinstance(encoder, FittableEncoder) or encoder.is_fitted:
        return encoder
    memory.check_encoder(encoder.card.replaced(fitted=memory.card.fitted))
    return encoder.with_fitted(memory.card.fitted)
