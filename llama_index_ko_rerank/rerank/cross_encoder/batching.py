"""One thread that runs a model, and merges the requests that wait for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from llama_index_ko_rerank.forward.backend import ScoringBackend
from llama_index_ko_rerank.forward.batches import TokenPair

MERGED_TOKENS = 16_384
"""Most tokens of a merged forward; a request of more runs alone."""

Logits = NDArray[np.float32]


@dataclass(eq=False, slots=True)
class _Request:
    forward: ScoringBackend
    pairs: Sequence[TokenPair]
    threads: int
    tokens: int
    taken: bool = False
    logits: Logits | None = None
    future: Future[Logits] = field(default_factory=Future)


class ForwardQueue:
    """Runs the forwards of one model, one at a time and first come, first served; safe from any thread.

    While a forward runs, requests wait. The next forward takes the first of them and, up to `merged_tokens` in all,
    those that came directly after it for the same forward. So a request waits for what was there before it, and merging
    delays it by no more than the time that a model needs for `merged_tokens` tokens.

    One thread runs them all, with as many threads of torch as the asking thread has: torch keeps a set of threads for
    each thread that calls it, and many callers would crowd the processor.

    Args:
        merged_tokens: Most tokens of a merged forward.
    """

    def __init__(self, *, merged_tokens: int = MERGED_TOKENS) -> None:
        self._merged_tokens = merged_tokens
        self._waiting: deque[_Request] = deque()
        self._door = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="ko-rerank-forward")

    def submit(self, forward: ScoringBackend, pairs: Sequence[TokenPair]) -> Future[Logits]:
        """Ask for the logits of some pairs.

        Args:
            forward: What computes them; it is called from the queue's thread only.
            pairs: One or more.

        Returns:
            A future of the logits, shape (pairs, labels). One that is cancelled in time is not computed. It fails with
            the error that its own pairs raise, never with that of another request's.
        """
        tokens = sum(map(len, pairs))
        request = _Request(forward, pairs, torch.get_num_threads(), tokens)
        with self._door:
            self._waiting.append(request)
            request.future = self._worker.submit(self._answer, request)
        return request.future

    def _answer(self, request: _Request) -> Logits:
        if torch.get_num_threads() != request.threads:
            torch.set_num_threads(request.threads)
        if not request.taken:
            _run_together(self._take(request))
        if request.logits is None:
            request.logits = request.forward.logits(request.pairs)
        return request.logits

    def _take(self, first: _Request) -> list[_Request]:
        """Take a request from the queue, and those after it that fit into one forward with it."""
        taken: list[_Request] = []
        tokens = 0
        with self._door:
            while self._waiting[0] is not first:  # those before it were cancelled
                self._waiting.popleft()
            while self._waiting and self._waiting[0].forward is first.forward:
                following = self._waiting[0]
                if not following.future.cancelled():
                    if taken and tokens + following.tokens > self._merged_tokens:
                        break
                    following.taken = True
                    taken.append(following)
                    tokens += following.tokens
                self._waiting.popleft()
        return taken


def _run_together(requests: Sequence[_Request]) -> None:
    """Give several requests their logits by one forward; where it fails, none, so that each is computed by itself."""
    if len(requests) == 1:
        return
    try:
        logits = requests[0].forward.logits([pair for request in requests for pair in request.pairs])
    except (RuntimeError, ValueError, IndexError, MemoryError):  # what torch raises; the one at fault meets it alone
        return
    places = np.cumsum([len(request.pairs) for request in requests])[:-1]
    for request, part in zip(requests, np.split(logits, places), strict=True):
        request.logits = part
