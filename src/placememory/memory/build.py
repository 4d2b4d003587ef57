"""Build a place memory from the frames of a mapping run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from placememory._checks import check_choice
from placememory._types import Progress
from placememory.encoders import (
    BATCH,
    BadFrames,
    Descriptors,
    Encoder,
    EncoderCard,
    FittableEncoder,
    SequenceEncoder,
    encode_frames,
    encode_windows,
    fit_on_sample,
    from_card,
    resolve_encoder,
)
from placememory.errors import EncoderError, InputError, SettingError
from placememory.frames import (
    Frame,
    Levels,
    Origin,
    PoseTable,
    fit_origin,
    measure_levels,
    resolve_frames,
    sample_evenly,
)
from placememory.frames.names import order_names, parse_names
from placememory.maps import read_map
from placememory.memory.background import measure_background
from placememory.memory.features_h5 import FeatureReader
from placememory.memory.place import Place
from placememory.memory.place_memory import UNKNOWN_ENCODER, UNNAMED_FRAMES, PlaceMemory
from placememory.memory.report import BuildReport
from placememory.memory.sample import SampleFile, discard_sample, sample_path

_log = logging.getLogger(__name__)
_FEATURE_BYTES = 1 << 25  # read at a time
_CHECKED = 3
_SAME = 0.9
"""Least mean similarity of an image to itself, encoded at another time or in another precision."""


def build(
    uri: str | Path,
    images: str | Path | Sequence[Frame],
    poses: str | Path | PoseTable | None = None,
    encoder: Encoder | str | None = None,
    *,
    sequence_encoder: SequenceEncoder | str | None = None,
    session: str | None = None,
    frame_id: str | None = None,
    map_yaml: Path | str | None = None,
    source: Path | str | None = None,
    pose_topic: str | None = None,
    dtype: str = "float32",
    skip_bad: bool = False,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> PlaceMemory:
    """Write frames into a memory; those that are there already are skipped.

    A memory that does not exist is made. An encoder that needs a vocabulary has it fitted on the
    frames, at an even spacing; a memory that exists keeps its own, so runs added later fit in. A
    build that was interrupted goes on when the same call is made again, and has lost at most the
    batch in flight, also of the images that a vocabulary is fitted on. What a frame does not know
    (its pose, say, when the run is given again without poses) stays as the memory has it.

    Deep images (16 bits, float) are scaled by the range of values that a sample of the first ones
    uses. The memory keeps it, and scales later ones and queries alike.

    Args:
        uri: Address of the memory (see :meth:`PlaceMemory.create`).
        images: A folder, video or bag, or frames with images and, where known, poses.
        poses: File or table of poses to join.
        encoder: The encoder, fitted or not, or its name; by default the memory's own or, for a new
            memory, the default one.
        sequence_encoder: Also describes the window of frames that ends at each place, for the
            candidates of a :class:`Localizer`; by default the memory's own, where it has one.
        session: Name of the session, where ``images`` is a path; by default that of the folder.
        frame_id: Name of the map frame that the poses are in; by default as they say.
        map_yaml: ROS map under the places, stored for figures.
        source: Where the images are, stored for figures; by default ``images`` if it is a path.
        pose_topic: The topic of a bag that the poses were taken from, stored to be asked again.
        dtype: ``float32`` or ``float16``, how a new memory stores descriptors.
        skip_bad: Leave out, and count, images that cannot be read.
        batch: Frames a transaction.
        progress: Called with frames done and frames in all.

    Returns:
        The open memory; close it, or use it in a ``with`` statement. Its ``report`` says what was
        done.

    Raises:
        ImageError: An image cannot be read.
        InputError: The images, the poses or the map cannot be read, or the memory has another
            image under the same session and index.
        EncoderError: No encoder has this name, or it describes windows where single images are to
            be described, or the other way round.
        EncoderMismatchError: The memory was made by other encoders.
        MemoryLockedError: Another process is making this memory.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from placememory.encoders import Preprocess
        >>> class Mean:
        ...     card = EncoderCard(name="mean", dim=3, preprocess=Preprocess(longest=8))
        ...     def encode(self, images):
        ...         means = np.float32([image.mean((0, 1)) for image in images])
        ...         return means / np.linalg.norm(means, axis=1, keepdims=True)
        >>> red = Frame("red.png", "run1", 0, read=lambda: np.uint8([[[200, 10, 10]]]))
        >>> with build(f"{tempfile.mkdtemp()}/m", [red], encoder=Mean()) as memory:
        ...     len(memory), memory.report.added
        (1, 1)
    """
    started = time.perf_counter()
    check_choice("dtype", dtype, ("float32", "float16"))
    frames = resolve_frames(images, poses, session=session)
    if source is None and isinstance(images, str | Path):
        source = images
    frames, frame_id = _in_frame(frames, frame_id, uri)
    levels = _levels_for(uri, frames)
    frames = [frame.with_levels(levels) for frame in frames]
    made = _encoder_for(uri, encoder)
    sequences = _sequence_encoder_for(uri, sequence_encoder, made)
    bad = BadFrames(skip_bad)
    job = _Build(frames, bad, progress)
    sample: list[Frame] = []
    descriptors = None
    with ExitStack() as stack:
        kept: SampleFile | None = None
        if PlaceMemory.exists(uri):
            discard_sample(uri)
        else:
            kept = stack.enter_context(SampleFile(sample_path(uri), made.card))
        if kept is not None and not PlaceMemory.exists(uri):  # nobody made it meanwhile
            made, sample, descriptors = fit_on_sample(made, frames, bad, progress, kept)
            job.encoded = len(sample)
        memory = _open_or_create(
            uri, made.card, frame_id, _check_map(map_yaml), dtype, sequence_encoder=sequences
        )
        if kept is not None:
            kept.remove()
    with _closing_on_error(memory):
        made = _with_words_of(memory, made)
        memory.check_encoder(made.card)
        if levels is not None and memory.levels is None:
            memory.set_facts(levels=(levels.low, levels.high))
        if source is not None:
            _set_source(memory, frames, Path(source).resolve(), made)
        topics = {frame.session: frame.topic for frame in frames if frame.topic is not None}
        memory.set_topics(topics, {} if pose_topic is None else dict.fromkeys(topics, pose_topic))
        moved = job.update_known(memory)
        if descriptors is not None:
            for start in range(0, len(sample), batch):
                job.add(memory, sample[start : start + batch], descriptors[start : start + batch])
        for part, encoded in _encode(made, frames, job.missing(), bad, batch):
            job.add(memory, part, encoded)
        if sequences is not None:
            _add_sequences(memory, sequences, frames, batch, progress)
        if job.added or memory.manifest.background is None:
            measure_background(memory, made)
        memory.report = job.report(moved, fitted_on=len(sample), started=started)
    return memory


def build_from_features(
    uri: str | Path,
    features: Path | str | Sequence[Path | str],
    frames: Sequence[Frame],
    *,
    frame_id: str | None = None,
    map_yaml: Path | str | None = None,
    dtype: str = "float32",
) -> PlaceMemory:
    """Write descriptors of hloc feature files into a memory.

    Args:
        uri: Address of the memory; made if it does not exist.
        features: One or several ``global_descriptor`` files.
        frames: Which of their images, with poses where known (see :func:`feature_frames`).
        frame_id: Name of the map frame that the poses are in; by default as they say.
        map_yaml: ROS map under the places.
        dtype: How a new memory stores descriptors.

    Returns:
        The open memory, with its ``report``.

    Raises:
        InputError: A file is damaged, or a frame is not in it.
        EncoderMismatchError: The memory was made by another encoder.
    """
    started = time.perf_counter()
    check_choice("dtype", dtype, ("float32", "float16"))
    frames, frame_id = _in_frame(frames, frame_id, uri)
    with FeatureReader(features) as reader:
        card = reader.card or EncoderCard(name=UNKNOWN_ENCODER, dim=reader.dim)
        memory = _open_or_create(uri, card, frame_id, _check_map(map_yaml), dtype)
        with _closing_on_error(memory):
            memory.check_encoder(card)
            job = _Build(frames, BadFrames(), None)
            moved = job.update_known(memory)
            missing = job.missing()
            _check_same_images(memory, frames, lambda some: _read_descriptors(reader, some))
            batch = max(1, min(512, _FEATURE_BYTES // (4 * reader.dim)))
            for start in range(0, len(missing), batch):
                part = missing[start : start + batch]
                job.add(memory, part, reader.read([frame.name for frame in part]))
            memory.report = job.report(moved, fitted_on=0, started=started)
    return memory


def feature_frames(features: Path | str | Sequence[Path | str], session: str) -> list[Frame]:
    """Frames of hloc feature files, in the order they were taken, without images.

    Raises:
        InputError: A file is missing or damaged.
    """
    with FeatureReader(features) as reader:
        names = order_names(reader.names)
    facts = parse_names(names).facts
    return [
        Frame(name, session, i, stamp=f.stamp, pose=f.pose, vertex_id=f.vertex_id)
        for i, (name, f) in enumerate(zip(names, facts, strict=True))
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
            InputError: The memory has another name under a session and index, or poses of other
                places in another frame.
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
            place = _update_place(old, place)
            if old != place:
                moved.append((place, row))
            self._done.add(place.id)
        anew = self._frame_of_all(memory)
        if anew is None:
            memory.check_frame([place for place, _ in moved])
        if moved:
            rows = memory.rows.take([row for _, row in moved])
            memory.add_rows(rows.with_places([place for place, _ in moved]))
        if anew is not None:
            memory.set_facts(frame_id=anew)
        self.present = len(self._done)
        return len(moved)

    def _frame_of_all(self, memory: PlaceMemory) -> str | None:
        """Another frame than the memory's, if all its poses are given anew in that frame."""
        given = {(f.session, f.index): f.pose.frame_id for f in self._frames if f.pose is not None}
        names = {given.get(place.id) for place in memory.places if place.pose is not None}
        names = names or set(given.values())
        [name] = names if len(names) == 1 else [None]
        return None if name in (None, memory.manifest.frame_id, *UNNAMED_FRAMES) else name

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
        """Make the report."""
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


def _encode(
    encoder: Encoder, frames: Sequence[Frame], some: Sequence[Frame], bad: BadFrames, batch: int
) -> Iterator[tuple[list[Frame], Descriptors]]:
    """Encode some of the frames of a run; a sequence encoder sees those before them, as online."""
    if not isinstance(encoder, SequenceEncoder):
        yield from encode_frames(encoder, some, bad, batch=batch)
        return
    number = {(frame.session, frame.index): i for i, frame in enumerate(frames)}
    wanted = [number[frame.session, frame.index] for frame in some]
    found = encode_windows(encoder, frames, wanted, bad)
    while part := list(islice(found, batch)):
        rows = [described.frame for _, described in part if described.frame is not None]
        if len(rows) < len(part):
            raise EncoderError(
                f"{encoder.card.name} describes windows only; give it as the sequence encoder"
            )
        yield [frames[i] for i, _ in part], np.stack(rows)


def _add_sequences(
    memory: PlaceMemory,
    encoder: SequenceEncoder,
    frames: Sequence[Frame],
    batch: int,
    progress: Progress | None,
) -> None:
    """Describe the windows that end at places which have no sequence descriptor yet."""
    rows = memory.rows
    row_of = {place.id: row for row, place in enumerate(rows.places)}
    assert rows.sequences is not None
    known = ~np.isnan(rows.sequences[:, 0])
    there = [f for f in frames if (f.session, f.index) in row_of]  # those that could be read
    wanted = [i for i, f in enumerate(there) if not known[row_of[f.session, f.index]]]
    found = encode_windows(encoder, there, wanted)
    done = 0
    while part := list(islice(found, batch)):
        done += len(part)
        whole = [
            (row_of[there[i].session, there[i].index], described.sequence)
            for i, described in part
            if described.sequence is not None
        ]
        if whole:
            at = [row for row, _ in whole]
            memory.add(
                [rows.places[row] for row in at],
                rows.descriptors[at],
                np.stack([sequence for _, sequence in whole]),
            )
        if progress is not None:
            progress(done, len(wanted))


def _update_place(old: Place, new: Place) -> Place:
    """The old place with the new stamp, vertex id, pose and floor, where known."""
    facts = {name: getattr(new, name) for name in ("stamp", "vertex_id", "pose", "floor")}
    return replace(old, **{name: value for name, value in facts.items() if value is not None})


def _set_source(
    memory: PlaceMemory, frames: Sequence[Frame], folder: Path, encoder: Encoder
) -> None:
    """Store the folder of the images; from another folder than before, they must be the same."""
    sessions = {frame.session for frame in frames}
    before = memory.manifest.sources
    if any(before.get(session, str(folder)) != str(folder) for session in sessions):
        bad = BadFrames(skip=True)
        _check_same_images(memory, frames, lambda some: _encode(encoder, frames, some, bad, BATCH))
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


def _read_descriptors(
    reader: FeatureReader, frames: list[Frame]
) -> Iterator[tuple[list[Frame], Descriptors]]:
    if frames:
        yield frames, reader.read([frame.name for frame in frames])


def _sequence_encoder_for(
    uri: str | Path, given: SequenceEncoder | str | None, encoder: Encoder
) -> SequenceEncoder | None:
    """The sequence encoder asked for, or that of the memory at an address."""
    made: Encoder | None = None
    if given is None and PlaceMemory.exists(uri):
        with PlaceMemory.open(uri, readonly=True) as memory:
            card = memory.sequence_card
        if card is None:
            return None
        made = encoder if encoder.card.hash == card.hash else from_card(card)
    elif given is None:
        return None
    else:
        same = isinstance(given, str) and encoder.card.name == given
        made = encoder if same else resolve_encoder(given)
    if not isinstance(made, SequenceEncoder):
        raise EncoderError(f"{made.card.name} describes single images, not windows of frames")
    return made


def _open_or_create(
    uri: str | Path,
    card: EncoderCard,
    frame_id: str,
    map_yaml: Path | str | None,
    dtype: str,
    *,
    sequence_encoder: SequenceEncoder | None = None,
) -> PlaceMemory:
    if not PlaceMemory.exists(uri):
        return PlaceMemory.create(
            uri,
            encoder=card,
            frame_id=frame_id,
            dtype="float16" if dtype == "float16" else "float32",
            map_yaml=map_yaml,
            sequence_dim=None if sequence_encoder is None else sequence_encoder.sequence_dim,
            sequence_encoder=None if sequence_encoder is None else sequence_encoder.card,
        )
    memory = PlaceMemory.open(uri)
    if sequence_encoder is not None:
        with _closing_on_error(memory):
            memory.check_sequence_encoder(sequence_encoder.card)
    if map_yaml is not None:
        memory.set_map(map_yaml)
    return memory


def _with_words_of(memory: PlaceMemory, encoder: Encoder) -> Encoder:
    """The encoder with the memory's vocabulary, where it needs one and has none."""
    if not isinstance(encoder, FittableEncoder) or encoder.is_fitted:
        return encoder
    memory.check_encoder(encoder.card.replace(fitted=memory.card.fitted))
    return encoder.with_fitted(memory.card.fitted)


def _in_frame(
    frames: Sequence[Frame], frame_id: str | None, uri: str | Path
) -> tuple[list[Frame], str]:
    """The frames with poses in a map frame of this name, where one is given, and its name.

    Poses that have an origin are brought to that of the memory, where there is one, or to that of
    the name.

    Raises:
        InputError: They have an origin, and the frame of the memory has none.
        SettingError: They have an origin, and the name is none.
    """
    found = next((f.pose.frame_id for f in frames if f.pose is not None), "map")
    if Origin.of_frame(found) is not None:
        if frame_id is not None and Origin.of_frame(frame_id) is None:
            raise SettingError(
                f"poses of latitudes and longitudes are in a frame that is called by its origin, "
                f"such as {found}, not {frame_id!r}"
            )
        kept = _frame_of_others(uri, frames)
        if kept is not None and Origin.of_frame(kept) is None:
            raise InputError(
                f"{uri} keeps poses in the frame {kept!r}, which has no origin, and these come "
                f"from latitudes and longitudes ({found}): build another memory"
            )
        name = kept or frame_id or found
        return [replace(f, pose=fit_origin(f.pose, name)) for f in frames], name
    if frame_id is None:
        return list(frames), found
    named = [
        f if f.pose is None else replace(f, pose=replace(f.pose, frame_id=frame_id)) for f in frames
    ]
    return named, frame_id


def _frame_of_others(uri: str | Path, frames: Sequence[Frame]) -> str | None:
    """The frame of a memory's poses, where it keeps any of other places than these frames."""
    if not PlaceMemory.exists(uri):
        return None
    given = {(f.session, f.index) for f in frames if f.pose is not None}
    with PlaceMemory.open(uri, readonly=True) as memory:
        others = any(p.pose is not None and p.id not in given for p in memory.places)
        return memory.manifest.frame_id if others else None


def _encoder_for(uri: str | Path, encoder: Encoder | str | None) -> Encoder:
    """The encoder asked for; by default the memory's own where there is a memory."""
    if encoder is None and PlaceMemory.exists(uri):
        with PlaceMemory.open(uri, readonly=True) as memory:
            return memory.encoder()
    return resolve_encoder(encoder)


def _levels_for(uri: str | Path, frames: Sequence[Frame]) -> Levels | None:
    """What deep images are scaled by: as the memory does, else by what these ones use."""
    if PlaceMemory.exists(uri):
        with PlaceMemory.open(uri, readonly=True) as memory:
            if memory.levels is not None:
                return memory.levels
    levels = measure_levels(frames)
    if levels is not None:
        _log.info("deep images: values of %s become the 256 grey levels of this memory", levels)
    return levels


def _check_map(path: Path | str | None) -> Path | None:
    """The absolute path of a map that can be read."""
    if path is None:
        return None
    read_map(path)
    return Path(path).resolve()


@contextmanager
def _closing_on_error(memory: PlaceMemory) -> Iterator[None]:
    try:
        yield
    except BaseException:
        memory.close()
        raise
