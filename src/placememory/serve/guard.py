"""What stands before every request: whom it is from, how large it is, how often it comes."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from placememory.serve.faults import Refusal, answer
from placememory.serve.metrics import SECONDS, Metrics
from placememory.serve.settings import ServeSettings

_log = logging.getLogger(__name__)
_CLIENTS = 10_000  # whose rates are remembered
_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Guard:
    """Middleware: token, host, origin, size of bodies; counts and times requests, and names them.

    A page of another site that a browser on this machine shows could ask a service that needs no
    token: it is told by its ``Origin``, and by a ``Host`` that is not this machine's.

    Args:
        app: What is guarded.
        settings: Of the service.
        metrics: Gets counts and times.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        metrics.describe("placememory_requests_total", "counter", "Requests by path and status.")
        metrics.histogram("placememory_request_seconds", "Time to answer a request.", SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["id"] = request_id
        connection = HTTPConnection(scope)
        started, status = time.perf_counter(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in {**_HEADERS, "x-request-id": request_id}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(connection)
            await self._app(scope, self._bound(connection, receive), send_on)
        except Exception as error:  # nothing that comes in may end the service
            response = answer(connection, error)
            if scope["type"] == "websocket":
                await _close(send, error)
            elif not status:
                await response(scope, receive, send_on)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            if scope["type"] == "http":
                labels = {"method": scope["method"], "path": path}
                self._metrics.count("placememory_requests_total", status=str(status), **labels)
                self._metrics.observe(
                    "placememory_request_seconds", time.perf_counter() - started, path=path
                )

    def _check(self, connection: HTTPConnection) -> None:
        headers, path = connection.headers, connection.scope["path"]
        if self._settings.token is None:
            host, origin = headers.get("host", ""), headers.get("origin")
            if not _is_local(host):
                raise Refusal(403, "wrong_host", f"this service is not called {host[:100]!r}")
            if origin is not None and urlsplit(origin).netloc != host:
                raise Refusal(403, "cross_origin", "pages of other sites may not ask this service")
            return
        if not (path.startswith("/api/") or path == "/metrics"):
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            given = connection.query_params.get("token", "")
        if not hmac.compare_digest(given.strip().encode(), self._settings.token.encode()):
            raise Refusal(
                401,
                "token_wrong" if given else "token_missing",
                "send the service's token: Authorization: Bearer TOKEN, or ?token=TOKEN",
                {"www-authenticate": "Bearer"},
            )

    def _bound(self, connection: HTTPConnection, receive: Receive) -> Receive:
        """Receive no more than an upload may have."""
        if connection.scope["type"] != "http":
            return receive
        most, got = self._settings.max_bytes, 0
        announced = connection.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):
            raise self._too_large()

        async def receive_on() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:
                raise self._too_large()
            return message

        return receive_on

    def _too_large(self) -> Refusal:
        most = self._settings.max_megabytes
        return Refusal(
            413, "too_large", f"an upload has at most {most:g} MB", {"connection": "close"}
        )


class RateLimit:
    """Uploads a second of each client: a bucket that is filled again, twice a second's worth.

    Args:
        rate: Uploads a second; 0 for no bound.

    Example:
        >>> limit = RateLimit(1.0)
        >>> [limit.allows("10.0.0.7", now) for now in (0.0, 0.1, 0.2, 1.5)]
        [True, True, False, True]
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, 2.0 * rate)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str, now: float) -> bool:
        """Whether a client may send one more at a time in seconds."""
        if not self._rate:
            return True
        left, then = self._left.pop(client, (self._most, now))
        left = min(self._most, left + self._rate * max(0.0, now - then))
        self._left[client] = (left - 1.0 if left >= 1.0 else left), now
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return left >= 1.0

    def check(self, connection: HTTPConnection) -> None:
        """Refuse a client that sends too often.

        Raises:
            Refusal: It does.
        """
        client = "" if connection.client is None else connection.client.host
        if not self.allows(client, time.monotonic()):
            raise Refusal(
                429,
                "too_often",
                f"at most {self._rate:g} uploads a second are taken",
                {"retry-after": "1"},
            )


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


async def _close(send: Send, error: Exception) -> None:
    """Close a websocket that is refused or has failed."""
    try:
        await send({"type": "websocket.close", "code": 1008, "reason": type(error).__name__})
    except RuntimeError:
        _log.debug("the websocket was closed already")
