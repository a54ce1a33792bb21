"""How many requests are let in, how many of them the models work on, and when no more are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from llama_index_ko_rerank.serve.errors import refusal
from llama_index_ko_rerank.serve.settings import ServerSettings

_FULL_RETRY_S = 1
_STOPPING_RETRY_S = 5


class Gate:
    """Counts requests; for the thread of one event loop.

    A request is under way from its first line to the end of its answer. It needs a place while models work for it, so
    that one that is still sending its body takes none.

    Args:
        settings: The limits.

    Attributes:
        under_way: How many requests are let in and not answered yet.
        waiting: How many of them wait for a place.
        closing: Whether no more are let in.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._most = settings.max_concurrent + settings.max_waiting
        self._max_wait_s = settings.max_wait_s
        self._places = asyncio.Semaphore(settings.max_concurrent)
        self.under_way = 0
        self.waiting = 0
        self.closing = False

    def close(self) -> None:
        """Let no more requests in; those that are under way go on."""
        self.closing = True

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request as under way.

        Raises:
            HTTPException: 503 where the service stops, 429 where too many requests are under way.
        """
        if self.closing:
            raise refusal(503, "the service is stopping; ask another one", retry_after_s=_STOPPING_RETRY_S)
        if self.under_way >= self._most:
            message = f"{self.under_way} requests are under way, and no more are let in; ask again"
            raise refusal(429, message, retry_after_s=_FULL_RETRY_S)
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place among the requests that the models work for, waiting until there is one.

        Raises:
            HTTPException: 503 where none was free in time.
        """
        await self._wait()
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._places.acquire()
        except TimeoutError as problem:
            message = f"the models were busy for {self._max_wait_s:g} s; ask again"
            raise refusal(503, message, retry_after_s=math.ceil(self._max_wait_s)) from problem
        finally:
            self.waiting -= 1
