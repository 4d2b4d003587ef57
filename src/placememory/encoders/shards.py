"""Describe frames on several processes or machines, in shards that outlive them.

A shard is a run of frames and one file of their descriptors, written whole, with a checksum beside
it. Its name is a digest of the encoder and the frames, so a finished one is never done again, in
whatever order, by whatever process and after whatever was killed. Nothing else is scheduled here:
Dask, or a process pool for each worker, runs the shards.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from placememory._checks import check_whole
from placememory._io import replacing, write_json
from placememory._registry import require
from placememory.encoders.base import Descriptors, Encoder
from placememory.encoders.batching import BATCH, BadFrames, encode_frames
from placememory.encoders.card import EncoderCard
from placememory.encoders.graph import count_cores
from placememory.encoders.registry import from_card
from placememory.errors import (
    InputError,
    MemoryDamagedError,
    PlaceMemoryError,
    SettingError,
)
from placememory.frames import Frame

SHARD = 16 * BATCH
"""Frames of a shard. A worker imports its encoder's engine once, torch in about three seconds, so
shorter runs would be mostly that; whole batches are the batches of one process."""

_VERSION = 1
_TRIES = 4  # of one shard, whose worker is killed each time; as many as Dask's
_PATIENCE = 60.0  # seconds to wait for workers of a scheduler
_MALLOC = {  # Dask's workers trim their memory all the time, which doubles an encoder's work
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_ARENA_MAX": "1",
}


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that describe shards of frames.

    On this machine they are started by Dask where it is installed (the extra ``cluster``), else
    by the standard library. A script that uses them needs ``if __name__ == "__main__":``, as with
    ``multiprocessing``.

    Attributes:
        count: Processes of this machine; of a scheduler, the workers to wait for.
        scheduler: Address of a Dask scheduler, ``tcp://host:8786``, whose workers are used. They
            see images and shards under the same paths as this process.
        make: Makes the encoder of a card in a worker, which imports this function; see
            :func:`make_like`. An encoder that was registered in this process needs a function
            that registers it there.
        size: Frames of a shard. A multiple of 32 has the batches of one process.

    Raises:
        SettingError: A number is below 1.

    Example:
        >>> Workers(4, make=make_like(precision="float32")).size
        512
    """

    count: int = 1
    scheduler: str | None = None
    make: Callable[[EncoderCard], Encoder] = from_card
    size: int = SHARD

    def __post_init__(self) -> None:
        check_whole(workers=self.count, size=self.size)


def make_like(
    weights: str | Path | None = None, *, device: str = "cpu", precision: str = "auto"
) -> Callable[[EncoderCard], Encoder]:
    """What makes encoders in workers as :func:`from_card` does here, for :class:`Workers`.

    Args:
        weights: See :func:`placememory.encoders.create`; a file is found from any folder.
        device: Of each worker.
        precision: Of the network.

    Example:
        >>> from placememory.encoders import create
        >>> make_like(precision="float32")(create("lite-vlad").card)
        LiteVlad('lite-vlad', 3584 numbers, onnxruntime)
    """
    if weights is not None and Path(weights).exists():
        weights = Path(weights).absolute()
    return partial(from_card, weights=weights, device=device, precision=precision)


@dataclass(frozen=True, slots=True)
class Shard:
    """Frames to describe, and where their descriptors go; it is sent to a worker.

    Attributes:
        job: Shards of one call have the same, and share an encoder in each process.
        make: See :class:`Workers`.
        card: Of the encoder.
        frames: Whose images are files.
        file: ``.npy`` file of the descriptors; the ``.json`` file beside it has its SHA-256.
        skip_bad: Whether to leave out unreadable images.
    """

    job: str
    make: Callable[[EncoderCard], Encoder]
    card: EncoderCard
    frames: tuple[Frame, ...]
    file: Path
    skip_bad: bool


def encode_shards(
    encoder: Encoder,
    frames: Sequence[Frame],
    folder: Path,
    workers: Workers | None,
    bad: BadFrames | None = None,
) -> Iterator[tuple[list[Frame], Descriptors]]:
    """Encode frames in their order, as :func:`encode_frames` does, by several processes.

    The descriptors are those of one process to the bit, where the encoder's are the same on every
    worker: a descriptor that depends on its batch (``card.batch_invariant`` is false) is not if
    images are unreadable, nor is another precision or processor. A worker that is killed loses
    the time of its shard; when all ends early, finished shards stay for the next call.

    Args:
        encoder: Ready (fitted); the workers make theirs from its card, vocabulary included.
        frames: N frames whose images are files.
        folder: Of the shards, which all workers can write to; the caller removes it when what
            was yielded is stored.
        workers: Which processes. Without any, or where those of this machine had a single shard to
            do, it is done here, without files.
        bad: Collects, or refuses, unreadable images; without it the first one raises.

    Yields:
        Some frames with their descriptors (n, D) float32.

    Raises:
        InputError: A frame is no image file, but of a video or bag, so others cannot read it.
        ImageError: An image cannot be read and ``bad`` does not skip.
        SettingError: There is no scheduler at the address, or it has too few workers.
        EncoderError: A worker cannot make the encoder.
        MissingExtraError: A scheduler is given and Dask is not installed.
        MemoryDamagedError: A shard is not in the folder as its worker wrote it.
        PlaceMemoryError: Workers were killed again and again.
    """
    if workers is None or (workers.scheduler is None and len(frames) <= workers.size):
        yield from encode_frames(encoder, frames, bad)
        return
    bad = BadFrames() if bad is None else bad
    job, card = os.urandom(8).hex(), encoder.card
    parts = [frames[i : i + workers.size] for i in range(0, len(frames), workers.size)]
    shards = []
    for part in parts:
        sent = tuple(_detach(frame) for frame in part)
        file = folder.absolute() / f"{_key(card, sent, bad.skip)}.npy"
        shards.append(Shard(job, workers.make, card, sent, file, bad.skip))
    todo = [shard for shard in shards if _read(shard) is None]
    with ExitStack() as stack:
        futures = {}
        if todo:
            submit = stack.enter_context(_open(workers, len(todo)))
            futures = {shard.file: submit(shard) for shard in todo}
        for part, shard in zip(parts, shards, strict=True):
            if shard.file in futures:
                _wait(futures[shard.file], folder)
            found = _read(shard)
            if found is None:
                raise MemoryDamagedError(
                    f"{shard.file}: the shard is missing or damaged; its folder must be the same "
                    "for this process and all workers. Run the same again to go on"
                )
            rows, reasons = found
            bad.names.extend((part[i].name, reason) for i, reason in reasons.items())
            kept = [frame for i, frame in enumerate(part) if i not in reasons]
            if kept:
                yield kept, rows


def describe_shard(shard: Shard) -> None:
    """Describe the frames of a shard into its file; this is what a worker does.

    A finished one is left as it is: Dask asks again for all that a killed worker had done.

    Raises:
        ImageError: An image cannot be read and is not to be skipped.
        EncoderError: This installation cannot make the encoder.
        PlaceMemoryError: The file cannot be written.
    """
    if _read(shard) is not None:
        return
    encoder, bad = _encoder_of(shard), BadFrames(shard.skip_bad)
    kept: set[int] = set()
    parts = [np.empty((0, shard.card.dim), np.float32)]
    for frames, rows in encode_frames(encoder, shard.frames, bad):
        kept.update(map(id, frames))
        parts.append(rows)
    unread = [i for i, frame in enumerate(shard.frames) if id(frame) not in kept]
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate(parts), allow_pickle=False)
    content = buffer.getvalue()
    with replacing(shard.file) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    facts = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bad": [[i, reason] for i, (_, reason) in zip(unread, bad.names, strict=True)],
    }
    write_json(shard.file.with_suffix(".json"), facts)


def _detach(frame: Frame) -> Frame:
    """A frame that other processes can read: its image by an absolute path, and no pose."""
    path, read = frame.path, frame.read
    if path is None or not isinstance(read, partial):
        raise InputError(
            f"the frame {frame.name!r} is no image file (but of a video, a bag or an array), so "
            "several workers cannot read it; describe such frames in one process"
        )
    read = partial(read.func, path.absolute(), *read.args[1:], **read.keywords)
    return Frame(frame.name, frame.session, frame.index, read=read)


def _key(card: EncoderCard, frames: Sequence[Frame], skip_bad: bool) -> str:
    """Digest of all that a shard depends on, image files by their size and time."""
    digest = hashlib.sha256(f"{_VERSION}|{card.hash}|{skip_bad}".encode())
    for frame in frames:
        text = f"\0{frame.name}|{frame.session}|{frame.index}|{frame.path}"
        assert isinstance(frame.read, partial)
        text += f"|{sorted(frame.read.keywords.items())}"
        with suppress(OSError):
            facts = Path(str(frame.path)).stat()
            text += f"|{facts.st_size}|{facts.st_mtime_ns}"
        digest.update(text.encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _read(shard: Shard) -> tuple[Descriptors, dict[int, str]] | None:
    """Rows, and reasons of the frames that have none; ``None`` if not finished or damaged."""
    try:
        text = shard.file.with_suffix(".json").read_text("utf-8", errors="surrogateescape")
        content, facts = shard.file.read_bytes(), json.loads(text)
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            return None
        rows = np.load(io.BytesIO(content), allow_pickle=False)
        bad = {int(i): str(reason) for i, reason in facts["bad"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (rows, bad) if len(rows) + len(bad) == len(shard.frames) else None


_made: dict[str, Encoder] = {}
_making = threading.Lock()


def _encoder_of(shard: Shard) -> Encoder:
    """The encoder of a shard; the last one is kept, as one job has many shards."""
    with _making:
        if shard.job not in _made:
            _made.clear()
            _made[shard.job] = shard.make(shard.card)
        return _made[shard.job]


_Submit = Callable[[Shard], Future[None]]


def _open(workers: Workers, shards: int) -> AbstractContextManager[_Submit]:
    """The context in which shards may be submitted."""
    if workers.scheduler is not None:
        return _on_scheduler(workers.scheduler, workers.count)
    count = min(workers.count, shards)
    if find_spec("distributed") is not None:
        return _on_dask(count)
    return _on_pools(count)


def _wait(future: Future[None], folder: Path) -> None:
    """Wait for a shard.

    Raises:
        PlaceMemoryError: Its workers were killed, or the scheduler is gone.
    """
    try:
        future.result()
    except PlaceMemoryError:
        raise
    except (BrokenExecutor, CancelledError, OSError) as error:
        raise _lost(folder, error) from error
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # of Dask, which may not be installed
            raise
        raise _lost(folder, error) from error


def _lost(folder: Path, error: BaseException) -> PlaceMemoryError:
    return PlaceMemoryError(
        f"workers were killed, or their scheduler is gone ({error}); is there memory for as many? "
        f"Finished shards are kept in {folder}: run the same again to go on"
    )


@contextmanager
def _on_pools(count: int) -> Iterator[_Submit]:
    """Processes of the standard library.

    Each has a pool of its own: a pool ends all its processes when one is killed.
    """
    from concurrent.futures import ProcessPoolExecutor  # slow to import, and seldom needed
    from multiprocessing import get_context

    own, spawn = threading.local(), get_context("spawn")
    with _environment(_threads(count)), ExitStack() as pools, ThreadPoolExecutor(count) as threads:

        def describe(shard: Shard) -> None:
            for tries in range(1, _TRIES + 1):
                if not hasattr(own, "pool"):
                    own.pool = pools.enter_context(ProcessPoolExecutor(1, mp_context=spawn))
                try:
                    own.pool.submit(describe_shard, shard).result()
                    return
                except BrokenExecutor:
                    del own.pool
                    if tries == _TRIES:
                        raise

        try:
            yield lambda shard: threads.submit(describe, shard)
        finally:
            threads.shutdown(cancel_futures=True)


@contextmanager
def _on_dask(count: int) -> Iterator[_Submit]:
    """Processes of this machine, started and watched by Dask."""
    distributed = require("distributed", extra="cluster", purpose="Workers started by Dask")
    with (
        _environment({**_MALLOC, **_threads(count)}),
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield partial(client.submit, describe_shard, pure=False)


@contextmanager
def _on_scheduler(address: str, count: int) -> Iterator[_Submit]:
    """Workers of a Dask scheduler."""
    distributed = require("distributed", extra="cluster", purpose="Workers of a Dask scheduler")
    with ExitStack() as stack:
        try:
            client = stack.enter_context(distributed.Client(address, set_as_default=False))
            client.wait_for_workers(count, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise SettingError(
                f"{address}: no Dask scheduler with {count} workers answers there ({error}); start "
                f"it with 'dask scheduler', and workers with 'dask worker {address}'"
            ) from error
        yield partial(client.submit, describe_shard, pure=False)


def _threads(count: int) -> dict[str, str]:
    """The share of this machine's cores that each of some processes has, as its environment."""
    share = str(max(1, count_cores() // count))
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", share)}


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment of processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
