"""What is known of one request while it is under way, and written of it in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Scope, Send

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UNANSWERED = 500


class Visit:
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


def visit_of(request: Request) -> Visit:
    """Return what is known of a request."""
    visit: Visit = request.state.visit
    return visit
