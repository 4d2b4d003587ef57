"""One memory and one encoder for everyone: single images are localised and searched."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

import numpy as np

from placememory._io import Closing
from placememory.encoders import Encoder, SequenceEncoder
from placememory.errors import MapError, PlaceMemoryError
from placememory.frames import Frame, Image, Pose
from placememory.fusion import Odometry
from placememory.geometry import Camera, Verifier
from placememory.localization import Estimate, Localizer
from placememory.maps import OccupancyGrid, read_map
from placememory.memory import (
    Candidates,
    ImageOf,
    Place,
    PlaceMemory,
    Where,
    images_of_memory,
)
from placememory.memory.rows import PlaceRows
from placememory.serve.batching import BatchingEncoder
from placememory.serve.faults import Refusal
from placememory.serve.metrics import SIZES, Metrics
from placememory.serve.pictures import make_jpeg, make_map_png
from placememory.serve.settings import ServeSettings

_log = logging.getLogger(__name__)
_HEADING = 0.35  # radians: standard deviation of a prior heading
_LIKELIEST, _LEAST = 200, 1e-4  # places of a belief that are sent
_PICTURES = 512  # small images that are kept
_CAMERAS = 4  # whose features of the memory's images are kept


class Engine(Closing):
    """One memory and one encoder, for single images and for the localizers of streams.

    Args:
        memory: Open; it is closed by whoever opened it.
        encoder: The memory's encoder; rebuilt from its card by default.
        settings: Of the service.
        metrics: Gets the sizes of batches and the verdicts.

    Attributes:
        memory: As given.
        encoder: What localizers encode with: images of all of them share batches.

    Raises:
        InputError: The memory is empty.
        EncoderMismatchError: The encoder is not the memory's.
    """

    def __init__(
        self,
        memory: PlaceMemory,
        encoder: Encoder | None,
        settings: ServeSettings,
        metrics: Metrics,
    ) -> None:
        self.memory = memory
        self._settings, self._metrics = settings, metrics
        metrics.histogram("placememory_batch_images", "Images encoded in one call.", SIZES)
        metrics.describe("placememory_verdicts_total", "counter", "Verdicts of estimates.")
        metrics.gauge("placememory_places", "Places of the memory.", lambda: len(memory))
        made = memory.encoder() if encoder is None else encoder
        memory.check_encoder(made.card)
        self._batching: BatchingEncoder | None = None
        self.encoder: Encoder = made  # windows are encoded by streams of their own
        if not isinstance(made, SequenceEncoder):
            self.encoder = self._batching = BatchingEncoder(
                made,
                most=settings.batch,
                on_batch=lambda size: metrics.observe("placememory_batch_images", size),
            )
        self._verifier_of = lru_cache(_CAMERAS)(self._make_verifier)
        self._lock, self._images_lock = Lock(), Lock()
        self._idle: list[tuple[Camera | None, Localizer]] = []
        self._image_of: ImageOf | None = None
        self._jpeg = lru_cache(_PICTURES)(self._make_jpeg)
        self.grid, self.grid_png = self._read_map()
        try:
            self._idle.append((None, self.make_localizer()))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the encoder's thread."""
        if self._batching is not None:
            self._batching.close()

    def warm_up(self) -> None:
        """Load all that an answer needs, so that the first one does not wait for it."""
        image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
        place = self.memory.places[0]
        with suppress(PlaceMemoryError, Refusal):
            image = self._image(place)
        with suppress(PlaceMemoryError), self._borrow(None) as localizer:
            localizer.reset()
            localizer.observe(Frame("first", "query", 0, read=lambda: image))

    def make_localizer(self, camera: Camera | None = None) -> Localizer:
        """A localizer of the memory, with the encoder that all share."""
        return Localizer(self.memory, self.encoder, verify=self._verifier_of(camera))

    def localize(
        self,
        image: Image,
        *,
        k: int = 10,
        prior: Pose | None = None,
        spread: float = 5.0,
        camera: Camera | None = None,
    ) -> Estimate:
        """Localise one image by itself: the first frame of a localizer that has seen nothing.

        Args:
            image: (H, W, 3) uint8 RGB.
            k: Candidates.
            prior: About where it was taken, in the memory's frame.
            spread: Standard deviation of that, metres.
            camera: Its intrinsics, for the direction to the place it looks like.

        Raises:
            InputError: The prior is of another frame.
            SettingError: The map has no poses for a prior.
        """
        with self._borrow(camera) as localizer:
            localizer.reset()
            localizer.k = k
            if prior is not None:
                heading = math.pi if prior.quaternion is None else _HEADING
                localizer.seed(prior, np.diag(np.square([spread, spread, heading])))
            estimate = localizer.observe(Frame("query", "query", 0, read=lambda: image))
        self.count(estimate)
        return estimate

    def search(self, image: Image, k: int, where: Where | None) -> Candidates:
        """The most similar places of an image (H, W, 3) uint8 RGB; see :meth:`PlaceMemory.search`.

        Raises:
            SettingError: The filter is impossible.
        """
        [found] = self.memory.search(self.encoder.encode([image]), k, where)
        return found

    def count(self, estimate: Estimate) -> None:
        """Count the verdict of an estimate."""
        self._metrics.count("placememory_verdicts_total", verdict=estimate.verdict or "alone")

    def heat(self, localizer: Localizer) -> list[tuple[int, float]]:
        """The likeliest places of a belief: their rows in the memory, and probabilities."""
        mass = localizer.probabilities
        if mass is None:
            return []
        best = np.argsort(-mass, kind="stable")[:_LIKELIEST]
        best = best[mass[best] >= _LEAST]
        places = localizer.places
        found = [(self.row_of(*places[row].id), float(mass[row])) for row in best.tolist()]
        return [(row, probability) for row, probability in found if row is not None]

    def row_of(self, session: str, index: int) -> int | None:
        """The row of a place in the order of the memory; ``None`` where there is none."""
        return self._find(self.memory.rows, session, index)

    @staticmethod
    def _find(rows: PlaceRows, session: str, index: int) -> int | None:
        columns = rows.columns
        if session not in columns.sessions:
            return None
        number = columns.sessions.index(session)
        first, last = np.searchsorted(columns.session, [number, number + 1]).tolist()
        row = first + int(np.searchsorted(columns.index[first:last], index))
        return row if row < last and columns.index[row] == index else None

    def place(self, session: str, index: int) -> Place:
        """A place.

        Raises:
            Refusal: There is none.
        """
        rows = self.memory.rows
        row = self._find(rows, session, index)
        if row is None:
            raise Refusal(404, "no_such_place", f"there is no place {index} of {session!r}")
        return rows.places[row]

    def jpeg(self, session: str, index: int, width: int) -> bytes:
        """The image of a place as JPEG.

        Raises:
            Refusal: There is no such place, or its image is not there.
        """
        place = self.place(session, index)
        return self._jpeg(self.memory.revision, place, width)

    def refresh(self) -> None:
        """Take in what other processes have written; where that fails, go on with what is known."""
        try:
            if not self.memory.is_current():
                self.memory.refresh()
        except PlaceMemoryError as error:
            _log.warning("the map stays as it was: %s", error)

    @contextmanager
    def _borrow(self, camera: Camera | None) -> Iterator[Localizer]:
        """A localizer that nobody else uses; a few are kept."""
        with self._lock:
            at = next((i for i, (c, _) in enumerate(self._idle) if c == camera), None)
            localizer = None if at is None else self._idle.pop(at)[1]
        if localizer is None:
            localizer = self.make_localizer(camera)
        elif localizer.revision != self.memory.revision:
            try:
                localizer.refresh()
            except PlaceMemoryError as error:
                raise Refusal(503, "memory_unavailable", str(error)) from error
        try:
            yield localizer
        finally:
            with self._lock:
                self._idle.append((camera, localizer))
                del self._idle[: -self._settings.workers - 1]

    def _make_verifier(self, camera: Camera | None) -> Verifier | None:
        if not self._settings.verify:
            return None
        folder = self._settings.images
        if folder is not None and Verifier.is_installed():
            return Verifier(images_of_memory(self.memory, folder), camera=camera)
        return Verifier.of_memory(self.memory, camera=camera)

    def _make_jpeg(self, revision: str, place: Place, width: int) -> bytes:
        del revision  # of the memory that the place is of: another may have another image
        return make_jpeg(self._image(place), width)

    def _image(self, place: Place) -> Image:
        """The image of a place; names that lead out of their folder have none.

        Raises:
            Refusal: It is not there.
        """
        with self._images_lock:
            if self._image_of is None:
                self._image_of = images_of_memory(self.memory, self._settings.images)
        path = PurePosixPath(place.name)
        image = None
        if not path.is_absolute() and ".." not in path.parts:
            image = self._image_of(place)
        if image is None:
            raise Refusal(404, "image_gone", f"the image {place.name!r} is not where it was")
        return image

    def _read_map(self) -> tuple[OccupancyGrid | None, bytes]:
        path = self._settings.map_yaml
        known = self.memory.manifest.map_yaml
        if path is None and known is None:
            return None, b""
        try:
            grid = read_map(path or Path(str(known)))
        except MapError as error:
            if path is not None:
                raise
            _log.warning("the map is not shown: %s", error)
            return None, b""
        return grid, make_map_png(grid.lightness)


def motion(dx: float | None, dy: float | None, dyaw: float | None) -> Odometry | None:
    """Odometry of what a client gave; ``None`` where it gave nothing.

    Example:
        >>> motion(None, None, None), motion(0.5, None, None).dx
        (None, 0.5)
    """
    if dx is None and dy is None and dyaw is None:
        return None
    return Odometry(dx or 0.0, dy or 0.0, dyaw or 0.0)


def where_of(given: dict[str, Any]) -> Where | None:
    """The filter that a client gave; ``None`` where it gave none."""
    chosen = {name: value for name, value in given.items() if value is not None and value != []}
    return Where(**chosen) if chosen else None
