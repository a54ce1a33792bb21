"""The choice of ``dtype="auto"``: measured on the device at hand, once a process for each width of a model."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from llama_index_ko_rerank.forward.layers import in_bfloat16, linear
from llama_index_ko_rerank.forward.weights import Linear

logger = logging.getLogger(__name__)

_TOKENS = 512
_BUDGET_S = 0.05
_FEWEST_ROUNDS = 3
_LEAST_GAIN = 1.1
"""How many times as fast bfloat16 must be: it costs digits, so that a tie goes to float32."""


@dataclass(frozen=True, slots=True)
class PrecisionTimes:
    """Median times of one feed-forward block over 512 tokens.

    Attributes:
        float32_ms: In 32 bits.
        bfloat16_ms: In 16 bits, tokens and weights.
    """

    float32_ms: float
    bfloat16_ms: float

    @property
    def prefers_bfloat16(self) -> bool:
        """Whether bfloat16 is at least 1.1 times as fast."""
        return self.float32_ms >= _LEAST_GAIN * self.bfloat16_ms


def prefers_bfloat16(device: torch.device, *, hidden: int, inner: int) -> bool:
    """Return whether ``dtype="auto"`` computes in bfloat16.

    On a processor that has instructions for bfloat16, both formats are timed once a process for each width; the
    instructions alone do not decide, since on some processors float32 is the faster one all the same. A processor
    without them computes in float32, a GPU in bfloat16 where its hardware does.

    Args:
        device: Where the model is.
        hidden: The model's width.
        inner: The width of its feed-forward layers.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return False
    return processor_times(hidden, inner).prefers_bfloat16


@cache
def processor_times(hidden: int, inner: int) -> PrecisionTimes:
    """Time a feed-forward block of this width in both formats on the processor, in some 50 ms, and log the outcome.

    Args:
        hidden: The model's width.
        inner: The width of its feed-forward layers.
    """
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(0)
        up, down = (
            Linear(torch.randn(shape, generator=generator) / shape[1] ** 0.5, torch.zeros(shape[0]))
            for shape in ((inner, hidden), (hidden, inner))
        )
        tokens = torch.randn((_TOKENS, hidden), generator=generator)
        times = race(
            _block(tokens, up, down),
            _block(tokens.to(torch.bfloat16), in_bfloat16(up), in_bfloat16(down)),
        )
    logger.info(
        "dtype='auto' computes in %s: %d tokens of %d x %d take %.2f ms in float32 and %.2f ms in bfloat16",
        "bfloat16" if times.prefers_bfloat16 else "float32",
        _TOKENS,
        hidden,
        inner,
        times.float32_ms,
        times.bfloat16_ms,
    )
    return times


def race(float32: Callable[[], object], bfloat16: Callable[[], object]) -> PrecisionTimes:
    """Time two functions in turns for some 50 ms, at least three times each, after one call that warms each up."""
    contenders = float32, bfloat16
    taken: tuple[list[float], list[float]] = ([], [])
    for run in contenders:
        run()
    started = time.perf_counter()
    while len(taken[0]) < _FEWEST_ROUNDS or time.perf_counter() - started < _BUDGET_S:
        for run, seconds in zip(contenders, taken, strict=True):
            begun = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begun)
    return PrecisionTimes(*(1000 * statistics.median(seconds) for seconds in taken))


def _block(tokens: Tensor, up: Linear, down: Linear) -> Callable[[], Tensor]:
    return lambda: linear(linear(tokens, up, activation="gelu"), down)
