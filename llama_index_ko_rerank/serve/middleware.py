"""ASGI middleware of every request: its id, the API key, the limits, and its line in the log."""

from __future__ import annotations

import hmac
import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import Depends, HTTPException, params
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_index_ko_rerank.limits import ConcurrencyLimiter, LimitReached
from llama_index_ko_rerank.serve.errors import error_response, refusal, refusal_of
from llama_index_ko_rerank.serve.metrics import Metrics
from llama_index_ko_rerank.serve.settings import ServerSettings

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UNANSWERED = 500


class RequestContext:
    """One request.

    Args:
        scope: The request as ASGI describes it.
        log_texts: Whether questions and texts are noted.

    Attributes:
        request_id: The client's ``X-Request-ID`` where it is a plain name of at most 128 characters, else a new one.
        status: The status that was answered, 500 until then.
        texts: How many texts the models read or found for it.
    """

    def __init__(self, scope: Scope, *, log_texts: bool) -> None:
        asked = Headers(scope=scope).get("x-request-id", "")
        self.request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        self.path: str = scope["path"]
        self.status = _UNANSWERED
        self.texts = 0
        self._method = scope["method"]
        self._log_texts = log_texts
        self._noted: dict[str, Any] = {}
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it is under way."""
        return time.perf_counter() - self._start

    def note(self, *, texts: Sequence[str], query: str | None = None) -> None:
        """Remember what was asked; of texts their number only, unless the service logs texts."""
        self.texts = len(texts)
        if self._log_texts:
            self._noted = {"query": query, "texts": list(texts)} if query is not None else {"texts": list(texts)}

    def naming(self, send: Send) -> Send:
        """Return a `send` that puts the request's id into the answer and reads its status."""

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                name = (b"x-request-id", self.request_id.encode("ascii"))
                message = {**message, "headers": [*message.get("headers", ()), name]}
            await send(message)

        return send_named

    def log(self) -> None:
        """Write one line of the log."""
        facts = {
            "request_id": self.request_id,
            "method": self._method,
            "path": self.path,
            "status": self.status,
            "ms": round(self.seconds * 1000, 2),
            "text_count": self.texts,
        }
        logger.info("request", extra={"facts": facts | self._noted})


def get_context(request: Request) -> RequestContext:
    """Return what is known of a request."""
    context: RequestContext = request.state.context
    return context


HEALTH = "/health"
METRICS = "/metrics"
_OK = 200


def stated_key(settings: ServerSettings) -> list[params.Depends]:
    """Return what puts the key into OpenAPI; `RequestMiddleware` checks it."""
    return [Depends(HTTPBearer(auto_error=False))] if settings.api_key else []


class RequestMiddleware:
    """ASGI middleware that lets requests in.

    ``/health`` needs no key; it and ``/metrics`` are answered also where the service is full or stopping.

    Args:
        app: What answers.
        settings: The key and the limits.
        limiter: What counts requests.
        metrics: What is told of each answer.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ServerSettings, limiter: ConcurrencyLimiter, metrics: Metrics
    ) -> None:
        self._app = app
        self._settings = settings
        self._limiter = limiter
        self._metrics = metrics
        self._key = settings.api_key.encode() if settings.api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(scope, log_texts=self._settings.log_texts)
        scope.setdefault("state", {})["context"] = context
        send = context.naming(send)
        try:
            await self._admit(scope, receive, send)
        except LimitReached as error:
            await error_response(context.path, refusal_of(error))(scope, receive, send)
        except HTTPException as problem:
            await error_response(context.path, problem)(scope, receive, send)
        finally:
            self._metrics.answered(
                context.path, context.status, context.seconds, context.texts if context.status == _OK else 0
            )
            context.log()

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        headers = Headers(scope=scope)
        if path != HEALTH:
            self._check_key(headers)
        if path in (HEALTH, METRICS):
            await self._app(scope, receive, send)
            return
        with self._limiter.admit():
            self._check_length(headers)
            await self._app(scope, self._bounded(receive), send)

    def _check_key(self, headers: Headers) -> None:
        if self._key is None:
            return
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.encode("latin-1"), self._key):
            problem = refusal(401, "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'")
            problem.headers = {"WWW-Authenticate": "Bearer"}
            raise problem

    def _check_length(self, headers: Headers) -> None:
        stated = headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self._settings.max_payload_bytes:
            raise self._too_large()

    def _bounded(self, receive: Receive) -> Receive:
        """Return a `receive` that stops a body whose length was not stated, or not truly."""
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._settings.max_payload_bytes:
                    raise self._too_large()
            return message

        return receive_bounded

    def _too_large(self) -> HTTPException:
        most = self._settings.max_payload_bytes
        return refusal(413, f"a body may have {most:,} bytes at most; send fewer or shorter texts")
