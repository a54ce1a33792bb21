"""How many questions are let in, and how many are searched at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TooBusy(Exception):
    """More people are asking than there are places; said to them in their own language, so it is no user error."""


class Gate:
    """Bounds the questions that are being answered, and those of them that are being searched.

    A search uses the processor, so that more of them at once are no faster; what comes after it may be an LLM's slow
    stream, which uses nothing here.

    Args:
        searches: How many search at once; the others wait their turn.
        places: How many questions are inside at all, waiting and answering.
    """

    def __init__(self, *, searches: int, places: int) -> None:
        self.places = places
        self.inside = 0
        self._searching = asyncio.Semaphore(searches)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            TooBusy: All places are taken.
        """
        if self.inside >= self.places:
            raise TooBusy
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to search, first come, first served."""
        async with self._searching:
            yield
