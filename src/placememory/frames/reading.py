"""Read images ahead of their use, in a few threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from placememory.errors import ImageError
from placememory.frames._frame import Frame, Image


def read_ahead(
    frames: Iterable[Frame],
    *,
    on_bad: Callable[[Frame, ImageError], None] | None = None,
    workers: int = 2,
    depth: int = 32,
) -> Iterator[tuple[Frame, Image]]:
    """Yield frames with their images, read by threads a few frames ahead.

    Args:
        frames: In the order wanted.
        on_bad: Called with each unreadable frame, which is then left out; without it the first
            unreadable image raises.
        workers: Reading threads.
        depth: How many images may wait in memory, at least 1.

    Raises:
        ImageError: An image is unreadable and ``on_bad`` is not given.
    """
    waiting: deque[tuple[Frame, Future[Image]]] = deque()
    source = iter(frames)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="read-image") as pool:
        try:
            while True:
                while len(waiting) < max(depth, 1) and (frame := next(source, None)) is not None:
                    waiting.append((frame, pool.submit(frame.image)))
                if not waiting:
                    return
                frame, future = waiting.popleft()
                try:
                    image = future.result()
                except ImageError as error:
                    if on_bad is None:
                        raise
                    on_bad(frame, error)
                    continue
                yield frame, image
        finally:
            for _, future in waiting:
                future.cancel()
