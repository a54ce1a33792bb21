"""How the rerankers are timed and compared: in turns, by medians, against what the processor can do."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from llama_index.core.schema import QueryBundle

from benchmarks.rerank.systems import Ranking, System, nodes_of
from benchmarks.rerank.workloads import Ask
from llama_index_ko_rerank.forward.layers import linear, uses_onednn
from llama_index_ko_rerank.forward.weights import Linear
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor

AGAIN = "same question again"
_PRODUCT = 2048, 3072, 3072
"""The rows, inner and columns of the matrix product that the ceiling is measured by."""


@dataclass(slots=True)
class Lap:
    """What one reranker took for each question, and what it answered."""

    milliseconds: list[float] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """The median over questions."""
        return statistics.median(self.milliseconds)

    def figures(self) -> dict[str, float]:
        """Return the median and the 95th percentile."""
        return {
            "p50_ms": round(self.median_ms, 2),
            "p95_ms": round(float(np.percentile(self.milliseconds, 95)), 2),
        }


def race(systems: Mapping[str, System], asks: Sequence[Ask], *, again: str | None = None) -> dict[str, Lap]:
    """Ask every reranker every question, caches cold, who comes first going round.

    Args:
        systems: The rerankers, warmed up.
        asks: The questions.
        again: Which of them is asked each question a second time, its caches warm.
    """
    laps = {name: Lap() for name in systems}
    if again:
        laps[AGAIN] = Lap()
    names = list(systems)
    for number, ask in enumerate(asks):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            systems[name].clear_cache()
            _time(systems[name], ask, laps[name])
            if name == again:
                _time(systems[name], ask, laps[AGAIN])
    return laps


def _time(system: System, ask: Ask, lap: Lap) -> None:
    start = time.perf_counter()
    ranking = system.rank(ask)
    lap.milliseconds.append((time.perf_counter() - start) * 1000)
    lap.rankings.append(ranking)


def ratio(slow: Lap, fast: Lap) -> float:
    """Return how many times faster one is: the median over questions of the quotient."""
    quotients = [a / b for a, b in zip(slow.milliseconds, fast.milliseconds, strict=True)]
    return round(statistics.median(quotients), 2)


def agreement(expected: Sequence[Ranking], found: Sequence[Ranking]) -> dict[str, float]:
    """Compare two rerankers' answers to the same questions.

    Returns:
        Shares of questions with the same order as far as the shorter list goes (``same_order``) and with the same first
        five in order (``same_first_5``), the mean share of the first ten that both have, or of those given
        (``first_10_overlap``), and the largest difference of a logit.
    """
    differences, orders, fives, overlaps = [], [], [], []
    for one, other in zip(expected, found, strict=True):
        logits = dict(one)
        differences.extend(abs(logits[place] - logit) for place, logit in other)
        a, b = [place for place, _ in one], [place for place, _ in other]
        shown = min(10, len(b))
        orders.append(a[: len(b)] == b)
        fives.append(a[:5] == b[:5])
        overlaps.append(len(set(a[:shown]) & set(b[:shown])) / shown)
    return {
        "same_order": round(float(np.mean(orders)), 4),
        "same_first_5": round(float(np.mean(fives)), 4),
        "first_10_overlap": round(float(np.mean(overlaps)), 4),
        "largest_difference": float(f"{max(differences):.2g}"),
    }


def concurrent(
    reranker: CrossEncoderNodePostprocessor, asks: Sequence[Ask], *, at_once: int, rounds: int = 3
) -> dict[str, float]:
    """Ask several questions at once, and the same one after another, in turns, caches cold."""
    at_once = min(at_once, len(asks))
    together: list[float] = []
    in_turn: list[float] = []
    waits: list[float] = []
    for number in range(rounds):
        part = [asks[(number * at_once + place) % len(asks)] for place in range(at_once)]
        for side in (together, in_turn) if number % 2 else (in_turn, together):
            reranker.clear_cache()
            start = time.perf_counter()
            taken = asyncio.run(_ask(reranker, part, at_once=side is together))
            side.append(time.perf_counter() - start)
            waits.extend(taken if side is together else [])
    return {
        "questions": at_once,
        "times_throughput": round(statistics.median(a / b for a, b in zip(in_turn, together, strict=True)), 3),
        "in_turn_s": round(statistics.median(in_turn), 2),
        "at_once_s": round(statistics.median(together), 2),
        "at_once_p50_ms": round(statistics.median(waits) * 1000, 1),
        "at_once_p95_ms": round(float(np.percentile(waits, 95)) * 1000, 1),
    }


async def _ask(reranker: CrossEncoderNodePostprocessor, asks: Sequence[Ask], *, at_once: bool) -> list[float]:
    async def one(ask: Ask) -> float:
        start = time.perf_counter()
        await reranker.apostprocess_nodes(nodes_of(ask), QueryBundle(ask.question))
        return time.perf_counter() - start

    if at_once:
        return list(await asyncio.gather(*map(one, asks)))
    return [await one(ask) for ask in asks]


def matrix_product_rates(repeats: int = 12) -> dict[str, float]:
    """Measure the rate of large matrix products in 10**12 operations a second, the faster of torch's and oneDNN's."""
    rows, inner, columns = _PRODUCT
    operations = 2 * rows * inner * columns
    rates: dict[str, float] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        left = torch.randn(rows, inner).to(dtype)
        layer = Linear(torch.randn(columns, inner).to(dtype), torch.zeros(columns, dtype=dtype))
        ways: list[Any] = [lambda left=left, layer=layer: left @ layer.weight.t()]
        if uses_onednn(dtype):
            ways.append(lambda left=left, layer=layer: linear(left, layer))
        rates[name] = max(operations / _median_seconds(way, repeats) / 1e12 for way in ways)
    return rates


def _median_seconds(way: Any, repeats: int) -> float:
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
