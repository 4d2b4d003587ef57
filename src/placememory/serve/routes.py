"""The addresses of the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse

from placememory._version import __version__
from placememory.errors import PlaceMemoryError, SettingError
from placememory.frames import Image, Pose
from placememory.geometry import Camera
from placememory.serve import models
from placememory.serve.engine import Engine, motion, where_of
from placememory.serve.faults import Refusal, reply
from placememory.serve.guard import RateLimit
from placememory.serve.metrics import Metrics
from placememory.serve.pictures import decode_upload, make_jpeg, read_upload
from placememory.serve.runs import ServedRun
from placememory.serve.settings import ServeSettings
from placememory.serve.streams import Streams

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
_KEPT = {"cache-control": "private, max-age=3600"}
_SILENCE = 15.0  # seconds after which a listener hears that the stream is there


class Run(Protocol):
    """Runs a function in a thread of the pool."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Run it."""


@dataclass
class Service:
    """What the addresses share.

    Attributes:
        settings: Of the service.
        engine: Memory and encoder.
        streams: All streams.
        runs: Finished runs, by name.
        limit: Uploads of each client.
        metrics: Of the service.
        run: Runs a function in a thread of the pool.
        waiting: Uploads under way.
    """

    settings: ServeSettings
    engine: Engine
    streams: Streams
    runs: Mapping[str, ServedRun]
    limit: RateLimit
    metrics: Metrics
    run: Run
    waiting: asyncio.Semaphore


def find_service(connection: HTTPConnection) -> Service:
    """The service of a request."""
    service: Service = connection.app.state.service
    return service


Serving = Annotated[Service, Depends(find_service)]
Index = Annotated[int, Path(ge=-(1 << 63), le=(1 << 63) - 1)]
Width = Annotated[int, Query(ge=16, le=1280, description="Pixels.")]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An image (JPEG, PNG, WebP, BMP, TIFF, PNM, AVIF, HEIC).",
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def _answers(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Answers that go wrong, for OpenAPI."""
    texts = {
        400: "The image cannot be read, or the request is malformed.",
        401: "The token is missing or wrong.",
        403: "Not for this client, or the memory is read-only.",
        404: "There is no such thing.",
        405: "This address has another method.",
        408: "The upload took too long.",
        409: "It cannot be done now.",
        413: "The upload has too many bytes or pixels.",
        415: "The body is no image.",
        422: "A parameter is impossible.",
        429: "Too many, or too often.",
        501: "An optional package is missing.",
        503: "The service is busy, or its memory cannot be read.",
    }
    found = sorted({401, 403, 503, *codes})
    return {code: {"model": models.Failure, "description": texts[code]} for code in found}


_UPLOAD = (400, 404, 408, 413, 415, 422, 429, 501)
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    **_answers(404, 422),
}

router = APIRouter()


@router.get("/api/health", response_model=models.Health, responses=_answers(), tags=["service"])
async def get_health(service: Serving) -> Response:
    """Whether the service is there, and what it serves."""
    memory = service.engine.memory
    return reply(
        {
            "status": "ok",
            "version": __version__,
            "memory": memory.uri,
            "places": len(memory),
            "revision": memory.revision,
        }
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **_answers(),
    },
    tags=["service"],
)
async def get_metrics(service: Serving) -> Response:
    """Counts and times in Prometheus' text format."""
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4")


@router.get("/api/map", response_model=models.Map, responses=_answers(), tags=["map"])
async def get_map(service: Serving) -> Response:
    """The memory: sessions, encoder, and the image of the map where there is one."""
    memory, grid = service.engine.memory, service.engine.grid
    rows = memory.rows
    image = None
    if grid is not None:
        image = {
            "url": "/api/map/image",
            "width": grid.width,
            "height": grid.height,
            "resolution": grid.resolution,
            "origin": list(grid.origin),
        }
    return reply(
        {
            "memory": memory.uri,
            "frame_id": memory.manifest.frame_id,
            "revision": rows.revision,
            "encoder": memory.card.name,
            "places": len(rows),
            "sessions": [{"name": name, "count": n} for name, n in rows.counts().items()],
            "image": image,
        }
    )


@router.get(
    "/api/map/image",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
        **_answers(404),
    },
    tags=["map"],
)
async def get_map_image(service: Serving) -> Response:
    """The map as a grey PNG."""
    if service.engine.grid is None:
        raise Refusal(404, "no_map", "there is no map under the places; serve with --map map.yaml")
    return Response(service.engine.grid_png, media_type="image/png", headers=_KEPT)


@router.get("/api/places", response_model=models.Places, responses=_answers(422), tags=["map"])
async def get_places(
    service: Serving,
    offset: Annotated[int, Query(ge=0, le=1 << 62)] = 0,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 20_000,
) -> Response:
    """Places in columns, in the order of their ids."""
    return await service.run(partial(_places, service, offset, limit))


def _places(service: Service, offset: int, limit: int) -> Response:
    rows = service.engine.memory.rows
    offset = min(offset, len(rows))
    chosen = slice(offset, min(offset + limit, len(rows)))
    columns = rows.columns
    return reply(
        {
            "total": len(rows),
            "offset": offset,
            "session": columns.session[chosen].tolist(),
            "index": columns.index[chosen].tolist(),
            "x": _rounded(columns.positions[chosen, 0]),
            "y": _rounded(columns.positions[chosen, 1]),
            "yaw": _rounded(columns.yaw[chosen]),
            "name": [rows.places[row].name for row in range(chosen.start, chosen.stop)],
        }
    )


def _rounded(values: Any) -> list[float | None]:
    return [value if value == value else None for value in np.round(values, 4).tolist()]


@router.get(
    "/api/places/{session:path}/{index}/image",
    response_class=Response,
    responses=_JPEG,
    tags=["map"],
)
async def get_place_image(
    service: Serving, session: str, index: Index, width: Width = 320
) -> Response:
    """The image of a place as JPEG, at most so wide."""
    data = await service.run(partial(service.engine.jpeg, session, index, width))
    return Response(data, media_type="image/jpeg", headers=_KEPT)


@router.get(
    "/api/places/{session:path}/{index}",
    response_model=models.PlaceWithImage,
    responses=_answers(404, 422),
    tags=["map"],
)
async def get_place(service: Serving, session: str, index: Index) -> Response:
    """One place."""
    place = await service.run(partial(service.engine.place, session, index))
    image = f"/api/places/{quote(session, errors='surrogatepass')}/{index}/image"
    return reply({**place.to_dict(), "image": image})


@router.post(
    "/api/localize",
    response_model=models.LocalizedImage,
    responses=_answers(*_UPLOAD),
    openapi_extra=_BODY,
    tags=["images"],
)
async def post_localize(
    service: Serving, request: Request, query: Annotated[models.LocalizeQuery, Query()]
) -> Response:
    """Where one image was taken: the first frame of a localizer that has seen nothing before.

    Located from one image alone only where local features of the images agree (the extra
    ``verify``) or a prior pose says so; else candidates, a hypothesis and a reason. Several frames
    say more: open a stream.
    """

    def work(data: bytes, given: models.LocalizeQuery) -> Response:
        image = _decode(service, data)
        estimate = service.engine.localize(
            image,
            k=given.k,
            prior=_prior(given, service),
            spread=given.spread,
            camera=_camera(given, image),
        )
        height, width = image.shape[:2]
        return reply({**estimate.to_dict(), "image_size": [width, height]})

    return await _take(service, request, query, work)


@router.post(
    "/api/search",
    response_model=models.Candidates,
    responses=_answers(*_UPLOAD),
    openapi_extra=_BODY,
    tags=["images"],
)
async def post_search(
    service: Serving, request: Request, query: Annotated[models.SearchQuery, Query()]
) -> Response:
    """The most similar places of an image, with filters."""

    def work(data: bytes, given: models.SearchQuery) -> Response:
        where = where_of(
            {
                "session": given.session,
                "exclude_sessions": given.exclude_session,
                "near": _near(given.near),
                "floor": given.floor,
                "radius": given.within,
            }
        )
        found = service.engine.search(_decode(service, data), given.k, where)
        return reply({"candidates": found.to_dict()})

    return await _take(service, request, query, work)


@router.get(
    "/api/streams", response_model=list[models.StreamModel], responses=_answers(), tags=["streams"]
)
async def get_streams(service: Serving) -> Response:
    """The streams there are."""
    return reply(service.streams.to_dict())


@router.post(
    "/api/streams",
    status_code=201,
    response_model=models.NewStream,
    responses=_answers(429, 501),
    tags=["streams"],
)
async def post_stream(service: Serving, request: Request) -> Response:
    """Open a stream: frames that follow each other, each answered with those before."""
    service.limit.check(request)
    stream = await service.streams.open()
    return reply({"id": stream.id}, 201)


@router.post(
    "/api/streams/{stream_id}/frames",
    response_model=models.StreamEstimate,
    responses=_answers(*_UPLOAD),
    openapi_extra=_BODY,
    tags=["streams"],
)
async def post_frame(
    service: Serving,
    request: Request,
    stream_id: str,
    query: Annotated[models.FrameQuery, Query()],
) -> Response:
    """The next frame of a stream; one that cannot be read is no evidence and has a note."""
    stream = service.streams.get(stream_id)
    async with _upload(service, request, query) as (data, given):
        odometry = motion(given.dx, given.dy, given.dyaw)
        return reply(await service.streams.observe(stream, data, given.stamp, odometry))


@router.get(
    "/api/streams/{stream_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **_answers(404, 429),
    },
    tags=["streams"],
)
async def get_events(service: Serving, stream_id: str) -> Response:
    """Estimates of a stream as server-sent events (``estimate``), until it ends (``end``)."""
    stream = service.streams.get(stream_id)
    events = service.streams.listen(stream, _SILENCE)

    async def lines() -> AsyncIterator[str]:
        yield ": here\n\n"
        async for event in events:
            if event is None:
                yield ": here\n\n"
            else:
                yield f"event: estimate\ndata: {json.dumps(event, allow_nan=False)}\n\n"
        yield "event: end\ndata: {}\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)


@router.post(
    "/api/streams/{stream_id}/save",
    response_model=models.Added,
    responses=_answers(400, 404, 409, 413, 422),
    tags=["streams"],
)
async def post_save(service: Serving, stream_id: str, body: models.SaveRequest) -> Response:
    """Add a stream's frames to the memory as a session; needs ``--writable``."""
    stream = service.streams.get(stream_id)
    added = await service.streams.save(stream, body.session)
    return reply(added.to_dict())


@router.delete(
    "/api/streams/{stream_id}", status_code=204, responses=_answers(404), tags=["streams"]
)
async def delete_stream(service: Serving, stream_id: str) -> Response:
    """End a stream."""
    service.streams.end(service.streams.get(stream_id))
    return Response(status_code=204)


@router.websocket("/api/streams/{stream_id}")
async def stream_frames(websocket: WebSocket, service: Serving, stream_id: str) -> None:
    """Images in as binary messages, estimates out as text.

    A text message gives stamp and odometry of the next image. The answer to a message that is
    refused has the key ``error``, and the stream goes on.
    """
    await websocket.accept()
    given = models.FrameQuery.model_construct()
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                stream = service.streams.get(stream_id)
                data, text = message.get("bytes"), message.get("text")
                if data is None:
                    given = _parse_frame(text or "")
                    continue
                service.limit.check(websocket)
                odometry = motion(given.dx, given.dy, given.dyaw)
                answer = await service.streams.observe(stream, data, given.stamp, odometry)
                given = models.FrameQuery.model_construct()
            except (Refusal, PlaceMemoryError) as error:
                refusal = Refusal.of(error)
                answer = refusal.to_dict(websocket.state.id)
                if refusal.code == "no_such_stream":
                    await websocket.send_text(json.dumps(answer))
                    await websocket.close(4404, refusal.code)
                    return
            await websocket.send_text(json.dumps(answer, allow_nan=False))
    except WebSocketDisconnect:
        return


@router.get(
    "/api/runs", response_model=list[models.RunSummary], responses=_answers(), tags=["runs"]
)
async def get_runs(service: Serving) -> Response:
    """The finished runs."""
    return await service.run(lambda: reply([run.summary() for run in service.runs.values()]))


@router.get(
    "/api/runs/{name}", response_model=models.Run, responses=_answers(404, 422), tags=["runs"]
)
async def get_run(service: Serving, name: str) -> Response:
    """A run in columns."""
    run = _find_run(service, name)
    return await service.run(lambda: reply(run.to_dict(service.engine.row_of)))


@router.get(
    "/api/runs/{name}/frames/{number}",
    response_model=models.RunFrame,
    responses=_answers(404, 422),
    tags=["runs"],
)
async def get_run_frame(service: Serving, name: str, number: Index) -> Response:
    """One estimate of a run."""
    run = _find_run(service, name)
    return await service.run(lambda: reply(run.frame(number)))


@router.get(
    "/api/runs/{name}/frames/{number}/image",
    response_class=Response,
    responses=_JPEG,
    tags=["runs"],
)
async def get_run_image(service: Serving, name: str, number: Index, width: Width = 640) -> Response:
    """The image of a frame as JPEG, at most so wide."""
    run = _find_run(service, name)
    data = await service.run(lambda: make_jpeg(run.image(number), width))
    return Response(data, media_type="image/jpeg", headers=_KEPT)


def _find_run(service: Service, name: str) -> ServedRun:
    run = service.runs.get(name)
    if run is None:
        raise Refusal(404, "no_such_run", f"there is no run {name!r}")
    return run


async def _take(service: Service, request: Request, query: M, work: Callable[[bytes, M], T]) -> T:
    """Receive an upload and work on it in the pool."""
    async with _upload(service, request, query) as (data, given):
        return await service.run(partial(work, data, given))


@asynccontextmanager
async def _upload(service: Service, request: Request, query: M) -> AsyncIterator[tuple[bytes, M]]:
    """The image of a request, and its parameters with those of the form; a place in the queue."""
    service.limit.check(request)
    if service.waiting.locked():
        raise Refusal(503, "busy", "too many uploads at a time", {"retry-after": "1"})
    async with service.waiting:
        data, fields = await read_upload(request, service.settings.upload_seconds)
        yield data, _with_fields(query, fields)


def _with_fields(query: M, fields: Mapping[str, str]) -> M:
    known = {
        name: [text] if name.endswith("session") else text
        for name, text in fields.items()
        if name in type(query).model_fields
    }
    if not known:
        return query
    try:
        return type(query)(**{**query.model_dump(exclude_unset=True), **known})
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error


def _decode(service: Service, data: bytes) -> Image:
    return decode_upload(data, service.settings.max_pixels, service.engine.memory.levels)


def _parse_frame(text: str) -> models.FrameQuery:
    try:
        return models.FrameQuery.model_validate_json(text)
    except ValidationError as error:
        raise Refusal.of(RequestValidationError(error.errors(include_url=False))) from error


def _prior(given: models.LocalizeQuery, service: Service) -> Pose | None:
    if given.x is None and given.y is None and given.yaw is None:
        return None
    if given.x is None or given.y is None:
        raise SettingError("a prior pose needs x and y")
    frame_id = service.engine.memory.manifest.frame_id
    if given.yaw is None:
        return Pose(given.x, given.y, frame_id=frame_id)
    return Pose.from_yaw(given.x, given.y, given.yaw, frame_id=frame_id)


def _camera(given: models.LocalizeQuery, image: Image) -> Camera | None:
    """The camera of an image, where the client gave it."""
    values = (given.fx, given.fy, given.cx, given.cy)
    if all(value is None for value in (*values, given.width, given.height)):
        return None
    fx, fy, cx, cy = values
    if fx is None or fy is None or cx is None or cy is None:
        raise SettingError("intrinsics are fx, fy, cx and cy, and where known width and height")
    camera = Camera(fx, fy, cx, cy, width=given.width or 0, height=given.height or 0)
    height, width = image.shape[:2]
    return camera.scale_to(width, height)


def _near(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(f"near is x,y or x,y,z in metres, not {text[:50]!r}") from error
