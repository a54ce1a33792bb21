"""What a reranker says in the log of what it cut or passed over."""

from __future__ import annotations

import logging


class Notices:
    """Logs each kind of message as a warning the first time, and at INFO after that.

    Args:
        logger: Where the messages go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._told: set[str] = set()

    def tell(self, message: str, *values: object) -> None:
        """Log a message; its kind is the text before the values are filled in."""
        self._logger.log(logging.INFO if message in self._told else logging.WARNING, message, *values)
        self._told.add(message)
