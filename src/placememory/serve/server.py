"""The process: uvicorn around the application."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from placememory._registry import require
from placememory.encoders import Encoder
from placememory.errors import SettingError
from placememory.memory import PlaceMemory
from placememory.serve.app import create_app
from placememory.serve.settings import ServeSettings

_GRACE = 3  # seconds that open connections get at the end


class _Server(uvicorn.Server):
    """Ends in order at Ctrl-C and SIGTERM, without raising them again for the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        for kind in before:
            signal.signal(kind, self.handle_exit)
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def serve(
    memory: PlaceMemory,
    settings: ServeSettings,
    *,
    encoder: Encoder | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve a memory until Ctrl-C or SIGTERM, from the main thread.

    Args:
        memory: Open.
        settings: Of the service.
        encoder: The memory's encoder; rebuilt from its card by default.
        on_start: Called with the address when the service listens.

    Raises:
        SettingError: The address cannot be listened on.
        InputError: See :func:`placememory.serve.app.create_app`.
    """
    require("websockets", extra="serve", purpose="Streams")
    app = create_app(memory, settings, encoder=encoder)
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server((settings.host, settings.port), family=family)
        # Inherited by connections: an answer's body must not wait until its head is acknowledged.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        app.state.service.engine.close()
        raise SettingError(
            f"{settings.host}:{settings.port} cannot be listened on "
            f"({error.strerror or error}); give another --host or --port"
        ) from error
    app.state.service.engine.warm_up()
    with listening:
        if on_start is not None:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            on_start(f"http://{host}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses hold tokens
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=settings.max_bytes,
            timeout_graceful_shutdown=_GRACE,
        )
        _Server(config).run(sockets=[listening])
