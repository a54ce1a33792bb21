"""Log lines as JSON."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object: `time`, `level`, `logger`, `message`, and the record's own `facts`.

    Of an exception it writes the type and where it was raised. The words of one may hold texts of a request, so they
    are left out unless texts are logged.

    Args:
        log_texts: Whether the words of exceptions are written too.
    """

    def __init__(self, *, log_texts: bool = False) -> None:
        super().__init__()
        self._log_texts = log_texts

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, which any encoding of ASCII's kin can write."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            content |= self._exception(record.exc_info[1], record.exc_info[2])
        # A lone surrogate in a text that a client sent must not end the log.
        return json.dumps(content, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode("utf-8")

    def _exception(self, problem: BaseException, trace: TracebackType | None) -> dict[str, Any]:
        frames = traceback.extract_tb(trace)
        content = {
            "exception": type(problem).__name__,
            "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        return {**content, "words": str(problem)} if self._log_texts else content
