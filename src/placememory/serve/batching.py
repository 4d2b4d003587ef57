"""One encoder for many threads: images that arrive together are encoded in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

import numpy as np

from placememory._io import Closing
from placememory._types import Vectors
from placememory.encoders import Descriptors, Encoder
from placememory.errors import EncoderError
from placememory.frames import Image

_Job = tuple[Image, "Future[Vectors]"]


class BatchingEncoder(Closing):
    """An encoder that many threads may use; a thread of its own encodes what waits, together.

    While a batch is encoded, the next one gathers, so that nothing waits for company. Only where
    the card says that descriptors do not depend on the batch do images share one.

    Args:
        encoder: Used by one thread at a time.
        most: Images of a batch, at the most.
        on_batch: Called with the size of each batch.

    Example:
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> class Mean:
        ...     card = EncoderCard(name="mean", dim=3, preprocess=Preprocess(longest=8))
        ...     def encode(self, images):
        ...         rows = np.array([image.mean(axis=(0, 1)) for image in images], np.float32)
        ...         return rows / np.linalg.norm(rows, axis=1, keepdims=True)
        >>> with BatchingEncoder(Mean()) as encoder:
        ...     encoder.encode([np.full((2, 2, 3), 7, np.uint8)]).round(3).tolist()
        [[0.577..., 0.577..., 0.577...]]
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        most: int = 8,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.card = encoder.card
        self._encoder = encoder
        self._most = most if encoder.card.batch_invariant else 1
        self._on_batch = on_batch
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._work, name="encoder", daemon=True)
        self._thread.start()

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """Describe images; see :class:`Encoder`. Blocks until they are done.

        Raises:
            EncoderError: The encoder was closed.
        """
        if not images:
            return np.zeros((0, self.card.dim), np.float32)
        if self._closed:
            raise EncoderError("the service is stopping")
        futures: list[Future[Vectors]] = []
        for image in images:
            futures.append(Future())
            self._jobs.put((image, futures[-1]))
        return np.stack([future.result() for future in futures])

    @property
    def waiting(self) -> int:
        """Images that wait for the next batch."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Encode what waits, and end the thread."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            batch = [self._jobs.get()]
            while len(batch) < self._most and batch[-1] is not None:
                try:
                    batch.append(self._jobs.get_nowait())
                except Empty:
                    break
            jobs = [job for job in batch if job is not None]
            if jobs:
                self._encode(jobs)
            if len(jobs) < len(batch):
                return

    def _encode(self, jobs: list[_Job]) -> None:
        if self._on_batch is not None:
            self._on_batch(len(jobs))
        try:
            rows = self._encoder.encode([image for image, _ in jobs])
        except Exception as error:  # whoever waits must hear of it
            if len(jobs) == 1:
                jobs[0][1].set_exception(error)
                return
            for job in jobs:  # of one image; the others are well
                self._encode([job])
            return
        for (_, future), row in zip(jobs, rows, strict=True):
            future.set_result(row)
