"""The application: engine, streams, runs and page behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from placememory._version import __version__
from placememory.encoders import Encoder
from placememory.errors import PlaceMemoryError
from placememory.memory import PlaceMemory
from placememory.serve.engine import Engine
from placememory.serve.faults import Refusal, answer
from placememory.serve.guard import Guard, RateLimit
from placememory.serve.metrics import Metrics
from placememory.serve.routes import Service, router
from placememory.serve.runs import ServedRun
from placememory.serve.settings import ServeSettings
from placememory.serve.streams import Streams

T = TypeVar("T")
PAGE = Path(__file__).parent / "page"
_LOOK = 2.0  # seconds between looks at the memory and at idle streams
_ABOUT = """
Where on the map is this camera, how sure, and why. Images in, estimates out; the verdict is
`located`, `ambiguous`, `unknown` or `warming-up`, and there is a pose only where it is `located`.
Send the token, where the service has one, as `Authorization: Bearer TOKEN` or `?token=TOKEN`.
Frames of a stream can also be sent to the websocket `/api/streams/{id}`: images as binary messages,
stamp and odometry of the next one as text; estimates come back as text.
"""


def create_app(
    memory: PlaceMemory, settings: ServeSettings | None = None, *, encoder: Encoder | None = None
) -> FastAPI:
    """Make the service of a memory, for any ASGI server.

    Args:
        memory: Open; it stays open when the service ends.
        settings: What the service may do.
        encoder: The memory's encoder; rebuilt from its card by default.

    Raises:
        InputError: The memory is empty, or a folder holds no run.
        EncoderMismatchError: The encoder is not the memory's.
        MapError: The map that is given cannot be read.

    Example:
        >>> from starlette.testclient import TestClient
        >>> import numpy as np
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> from placememory.memory import Place
        >>> class Mean:
        ...     card = EncoderCard(name="mean", dim=3, preprocess=Preprocess(longest=8))
        ...     def encode(self, images):
        ...         rows = np.array([image.mean(axis=(0, 1)) for image in images], np.float32)
        ...         return rows / np.linalg.norm(rows, axis=1, keepdims=True)
        >>> memory = PlaceMemory.create(":memory:", encoder=Mean.card)
        >>> _ = memory.add([Place("run", i, f"{i}.png") for i in range(3)], np.eye(3))
        >>> with TestClient(create_app(memory, encoder=Mean()), "http://127.0.0.1") as client:
        ...     client.get("/api/health").json()["places"]
        3
    """
    settings = settings or ServeSettings()
    runs = {
        name: ServedRun(name, folder, settings.run_images.get(name), memory.levels)
        for name, folder in settings.runs.items()
    }
    metrics = Metrics()
    engine = Engine(memory, encoder, settings, metrics)
    pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="serve")
    streams = Streams(engine, settings, pool)
    metrics.gauge("placememory_streams", "Streams that are open.", lambda: len(streams))

    def run(work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(pool, work)

    async def look() -> None:
        while True:
            await asyncio.sleep(_LOOK)
            streams.end_idle()
            await run(engine.refresh)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            streams.end_all()
            pool.shutdown(cancel_futures=True)
            engine.close()  # after those that wait for the encoder

    app = FastAPI(
        title="placememory",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # they load scripts from other hosts
        redoc_url=None,
        lifespan=live,
    )
    app.state.service = Service(
        settings=settings,
        engine=engine,
        streams=streams,
        runs=runs,
        limit=RateLimit(settings.max_rate),
        metrics=metrics,
        run=run,
        waiting=asyncio.Semaphore(settings.max_waiting),
    )
    app.include_router(router)
    for kind in (HTTPException, RequestValidationError, PlaceMemoryError):
        app.add_exception_handler(kind, _answer)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    _add_page(app)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    return answer(request, error)


def _add_page(app: FastAPI) -> None:
    index = PAGE / "index.html"

    @app.get("/", include_in_schema=False)
    async def get_page() -> Response:
        if not index.is_file():
            raise Refusal(404, "no_page", "there is no page here; see /openapi.json")
        return FileResponse(index, headers={"cache-control": "no-cache"})

    if PAGE.is_dir():
        app.mount("/static", StaticFiles(directory=PAGE), name="static")
