"""Concurrency limiter of a server: how many requests are admitted, and how many of them work at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

_OVERLOADED_RETRY_S = 1
_CLOSED_RETRY_S = 5


class LimitReached(Exception):
    """The root of a refusal by a `ConcurrencyLimiter`; a server answers it in its own way.

    Attributes:
        retry_after_s: When to ask again, in seconds.
    """

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(LimitReached):
    """As many requests are under way as are admitted."""


class LimiterClosed(LimitReached):
    """The server is stopping."""


class SlotTimeout(LimitReached):
    """No slot was free in time."""


class ConcurrencyLimiter:
    """Limiter of the requests that are under way, and of those that work at once; for the thread of one event loop.

    A request is under way from its admission to the end of its answer. It needs a slot only while models work for it,
    so that one that still sends its body, or reads an LLM's slow stream, takes none.

    Args:
        max_concurrent: How many requests hold a slot at once; the others wait, first come, first served.
        max_admitted: How many requests are under way at all, waiting ones included.
        max_wait_s: How long a request waits for a slot. Defaults to no limit.

    Attributes:
        under_way: How many requests are admitted and not answered yet.
        waiting: How many of them wait for a slot.
        closing: Whether no more are admitted.
    """

    def __init__(self, *, max_concurrent: int, max_admitted: int, max_wait_s: float | None = None) -> None:
        self._max_admitted = max_admitted
        self._max_wait_s = max_wait_s
        self._slots = asyncio.Semaphore(max_concurrent)
        self.under_way = 0
        self.waiting = 0
        self.closing = False

    def close(self) -> None:
        """Admit no more requests; those that are under way go on."""
        self.closing = True

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request as under way.

        Raises:
            LimiterClosed: The server is stopping.
            Overloaded: Too many requests are under way.
        """
        if self.closing:
            raise LimiterClosed("the service is stopping; ask another one", retry_after_s=_CLOSED_RETRY_S)
        if self.under_way >= self._max_admitted:
            message = f"{self.under_way} requests are under way, and no more are let in; ask again"
            raise Overloaded(message, retry_after_s=_OVERLOADED_RETRY_S)
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot, waiting until one is free.

        Raises:
            SlotTimeout: None was free in time.
        """
        await self._acquire()
        try:
            yield
        finally:
            self._slots.release()

    async def _acquire(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._slots.acquire()
        except TimeoutError as error:
            waited_s = self._max_wait_s or 0.0
            message = f"the models were busy for {waited_s:g} s; ask again"
            raise SlotTimeout(message, retry_after_s=math.ceil(waited_s)) from error
        finally:
            self.waiting -= 1
