"""Refusals and failures as clients see them: a status, a code for programs, a message, an id."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response

from placememory.errors import (
    EncoderError,
    ImageError,
    ImageSizeError,
    InputError,
    MemoryLockedError,
    MissingExtraError,
    PlaceMemoryError,
)

_log = logging.getLogger(__name__)
_LONGEST = 500  # characters of a message

CODES: tuple[tuple[type[PlaceMemoryError], int, str], ...] = (  # the first that fits
    (ImageSizeError, 413, "image_too_large"),
    (ImageError, 400, "image_unreadable"),
    (InputError, 422, "invalid_request"),
    (MissingExtraError, 501, "extra_missing"),
    (EncoderError, 501, "encoder_unavailable"),
    (MemoryLockedError, 409, "memory_locked"),
    (PlaceMemoryError, 503, "memory_unavailable"),
)


class Refusal(HTTPException):
    """A request that is refused.

    Args:
        status: HTTP status, 400 or above.
        code: For programs.
        message: For people: what was wrong, and what to do.
        headers: Of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        """What a client is told of an error.

        Example:
            >>> refusal = Refusal.of(ImageError("upload: cannot read the image"))
            >>> refusal.status_code, refusal.code
            (400, 'image_unreadable')
        """
        if isinstance(error, Refusal):
            return error
        if isinstance(error, HTTPException):
            code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
            return cls(error.status_code, code, str(error.detail), error.headers)
        if isinstance(error, RequestValidationError):
            return cls(422, "invalid_request", "; ".join(map(_describe, error.errors()[:5])))
        if isinstance(error, ClientDisconnect):
            return cls(400, "incomplete", "the connection ended before the upload did")
        for kind, status, code in CODES:
            if isinstance(error, kind):
                return cls(status, code, str(error))
        return cls(500, "internal", "the service failed; its log has more under this id")

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """The body of the answer."""
        message = str(self.detail)[:_LONGEST]
        return {"error": {"code": self.code, "message": message, "id": request_id}}


def answer(connection: HTTPConnection, error: Exception) -> Response:
    """The answer to a request that failed; failures of the service are logged with their id."""
    refusal, request_id = Refusal.of(error), connection.state.id
    if refusal.status_code == 500:
        _log.error("request %s failed", request_id, exc_info=error)
    elif refusal.status_code > 500:
        _log.warning("request %s: %s", request_id, error)
    return reply(refusal.to_dict(request_id), refusal.status_code, refusal.headers)


def reply(values: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    r"""Values as JSON; NaN is refused, and names that are no UTF-8 are escaped.

    Example:
        >>> reply({"name": "caf\udce9.png"}).body
        b'{"name": "caf\\udce9.png"}'
    """
    text = json.dumps(values, allow_nan=False)
    return Response(text, status, headers, media_type="application/json")


def _describe(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error.get("loc", ()))
    return f"{where}: {error.get('msg', 'is invalid')}"
