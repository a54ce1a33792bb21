"""Requests meet a forward that adds up token ids, can be held up, and refuses the token 13."""

import asyncio
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from llama_index_ko_rerank.forward.batches import TokenPair
from llama_index_ko_rerank.rerank.cross_encoder.batching import ForwardQueue


class Sums:
    """Two labels a pair: the sum of its token ids, and their number."""

    backend, dtype = "unpadded", "float32"

    def __init__(self, error=ValueError):
        self.calls, self.threads, self.error = [], set(), error
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()

    def logits(self, pairs):
        self.begun.set()
        self.gate.wait(10)
        self.calls.append([pair.token_ids.tolist() for pair in pairs])
        self.threads.add((threading.current_thread().name, torch.get_num_threads()))
        if any(13 in pair.token_ids for pair in pairs):
            raise self.error("thirteen")
        return np.array([[pair.token_ids.sum(), len(pair)] for pair in pairs], np.float32)


def pairs(*rows):
    return [TokenPair(np.array(row, np.int32), np.zeros(len(row), np.int32)) for row in rows]


@pytest.fixture
def forward():
    return Sums()


@pytest.fixture
def queue():
    return ForwardQueue(merged_tokens=10)


@pytest.fixture
def held(queue, forward):
    """A queue whose forward is busy with a first request, so that those that follow have to wait."""
    forward.gate.clear()
    first = queue.submit(forward, pairs([1]))
    assert forward.begun.wait(10)
    yield first
    forward.gate.set()


def test_each_request_gets_the_logits_of_its_own_pairs(queue, forward):
    assert queue.submit(forward, pairs([1, 2], [5])).result().tolist() == [[3, 2], [5, 1]]


def test_requests_that_wait_are_merged_up_to_the_bound_in_the_order_of_their_coming(queue, forward, held):
    waiting = [
        queue.submit(forward, pairs(*rows)) for rows in ([[2, 2]], [[3, 3, 3], [4]], [[5] * 5], [[6]], [[7] * 11])
    ]
    forward.gate.set()
    assert [future.result(10)[:, 0].tolist() for future in waiting] == [[4], [9, 4], [25], [6], [77]]
    assert forward.calls == [[[1]], [[2, 2], [3, 3, 3], [4]], [[5] * 5, [6]], [[7] * 11]]


def test_requests_for_another_forward_are_not_overtaken(queue, forward, held):
    other = Sums()
    waiting = [queue.submit(which, pairs([number])) for number, which in enumerate([forward, other, forward], start=2)]
    order = []
    for number, future in enumerate(waiting):
        future.add_done_callback(lambda _, number=number: order.append(number))
    forward.gate.set()
    assert [future.result(10)[0, 0] for future in waiting] == [2, 3, 4]
    assert order == [0, 1, 2]
    assert forward.calls == [[[1]], [[2]], [[4]]]


@pytest.mark.parametrize("error", [ValueError, RuntimeError, torch.OutOfMemoryError])
def test_an_error_reaches_only_the_request_that_raised_it(queue, error):
    forward = Sums(error)
    forward.gate.clear()
    waiting = [queue.submit(forward, pairs([number])) for number in (1, 2, 13, 4)]
    forward.gate.set()
    assert [future.result(10)[0, 0] for future in waiting[:2] + waiting[3:]] == [1, 2, 4]
    with pytest.raises(error, match="thirteen"):
        waiting[2].result(10)
    assert queue.submit(forward, pairs([5])).result(10)[0, 0] == 5


def test_a_request_that_is_cancelled_in_time_is_not_computed(queue, forward, held):
    waiting = [queue.submit(forward, pairs([number])) for number in (2, 3, 4)]
    assert waiting[1].cancel()
    assert waiting[0].cancel()
    forward.gate.set()
    assert waiting[2].result(10)[0, 0] == 4
    assert forward.calls == [[[1]], [[4]]]
    with pytest.raises(CancelledError):
        waiting[0].result(10)


def test_a_running_request_that_its_caller_gives_up_holds_up_nobody(queue, forward, held):
    async def give_up():
        await asyncio.wait_for(asyncio.wrap_future(held), timeout=0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    following = queue.submit(forward, pairs([2]))
    forward.gate.set()
    assert following.result(10)[0, 0] == 2


def test_one_thread_runs_everything_with_the_threads_of_the_caller(queue, forward):
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(lambda n=n: queue.submit(forward, pairs([n])).result(10)[0, 0]) for n in range(20, 60)]
    assert [run.result() for run in runs] == list(range(20, 60))
    assert len(forward.threads) == 1
    (name, threads) = forward.threads.pop()
    assert name.startswith("ko-rerank-forward")
    assert threads == torch.get_num_threads()


def test_the_thread_ends_with_its_queue():
    queue, forward = ForwardQueue(), Sums()
    queue.submit(forward, pairs([1])).result(10)
    (mine,) = [thread for thread in threading.enumerate() if thread.name == forward.threads.copy().pop()[0]][-1:]
    del queue
    deadline = time.monotonic() + 10
    while mine.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not mine.is_alive()
