"""The service in a process of its own, which stops without breaking off what is under way."""

from __future__ import annotations

import logging
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.limits import ConcurrencyLimiter
from llama_index_ko_rerank.serve.app import create_app
from llama_index_ko_rerank.serve.settings import ServerSettings

logger = logging.getLogger(__name__)

_LARGEST_PORT = 65_535
STOP_WITHIN_S = 30
"""How long requests that are under way may take when the service is told to stop."""
_LAST_SECONDS = 1
"""How long a request that is not answered by then is left before it is broken off."""


def run_server(settings: ServerSettings, *, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until SIGTERM or Ctrl-C.

    From then on new requests are refused with 503, and the function returns when those under way are answered, after
    30 s at the latest. A second signal ends them at once.

    Args:
        settings: What to serve.
        host: The address to listen at.
        port: The port; a free one where 0, which the log names.

    Raises:
        InvalidSetting: The address is taken, or is none of this machine's.
        IndexNotFound: The folder is no collection.
        ModelNotFound: There is no such model within reach.
        UnsuitableModel: A model cannot do what it is named for.
    """
    with _listener(host, port) as listener:
        app = create_app(settings)
        server = _StoppingServer(_config(app), app.state.limiter)
        server.run(sockets=[listener])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_LAST_SECONDS)


class _StoppingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, limiter: ConcurrencyLimiter) -> None:
        super().__init__(config)
        self._limiter = limiter
        self._last_moment = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            logger.info("listening", extra={"facts": {"host": host, "port": port}})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._limiter.closing:
            super().handle_exit(sig, frame)
            return
        self._limiter.close()
        self._last_moment = time.monotonic() + STOP_WITHIN_S

    async def on_tick(self, counter: int) -> bool:
        if self._limiter.closing and (self._limiter.under_way == 0 or time.monotonic() > self._last_moment):
            self.should_exit = True
        return await super().on_tick(counter)


def _listener(host: str, port: int) -> socket.socket:
    """Take the address before any model is loaded."""
    if not 0 <= port <= _LARGEST_PORT:
        raise InvalidSetting(f"a port is 0-{_LARGEST_PORT}, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise InvalidSetting(f"{host!r} is no address of this machine: {problem}") from problem
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as problem:
        listener.close()
        raise InvalidSetting(f"port {port} of {host} cannot be listened at: {problem}; choose another") from problem
    return listener
