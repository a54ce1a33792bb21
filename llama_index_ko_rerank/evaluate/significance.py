"""How far a mean over questions could be off: percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llama_index_ko_rerank.errors import InvalidSetting

RESAMPLES = 2000
_DRAWS_IN_MEMORY = 1_000_000


class Interval(NamedTuple):
    """A measured value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Give the mean of values and its 95 % percentile bootstrap interval.

    Questions are drawn as if they were independent. Several questions on one passage are not quite, so with few
    passages the true interval is a little wider. Where all values are equal, the interval is a point: that says that
    nothing varied among these questions, not that the value is certain.

    Args:
        values: One number a question, shape (questions,), finite.
        seed: Of the draws; the same seed and number of questions draw the same questions.
        resamples: How many times the questions are drawn again, at least 1.

    Raises:
        InvalidSetting: `values` is empty, not one-dimensional or not finite, or `resamples` is below 1.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).

    >>> interval = bootstrap_interval([1.0] * 9 + [0.0])
    >>> interval.value, 0.6 <= interval.low < 0.9 < interval.high <= 1.0
    (0.9, True)
    """
    checked = _finite_row(values, "values")
    return bootstrap_intervals(checked[:, None], seed=seed, resamples=resamples)[0]


def bootstrap_intervals(columns: NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES) -> list[Interval]:
    """Give the interval of `bootstrap_interval` for each column, drawing the questions once for all columns.

    Args:
        columns: Shape (questions, columns), finite.
        seed: Of the draws.
        resamples: How many times the questions are drawn again, at least 1.

    Returns:
        One interval a column, as `bootstrap_interval` gives for that column alone.

    Raises:
        InvalidSetting: There are no questions, or `resamples` is below 1.
    """
    questions = len(columns)
    means = [
        _occurrences(drawn, questions) @ columns / questions
        for drawn in draw_resamples(questions, seed=seed, resamples=resamples)
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975), axis=0)
    return [
        Interval(float(value), float(bottom), float(top))
        for value, bottom, top in zip(columns.mean(axis=0), low, high, strict=True)
    ]


def paired_difference(
    values_a: ArrayLike, values_b: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Give mean(a) - mean(b) of two systems on the same questions, with its 95 % interval.

    Both systems are drawn on the same questions, so what a question makes hard for both cancels out, and the interval
    is mostly far narrower than those of the two means suggest. Where it excludes 0, the difference is unlikely to be
    the luck of these questions.

    Args:
        values_a: One number a question, shape (questions,), finite.
        values_b: The same questions in the same order.
        seed: Of the draws.
        resamples: How many times the questions are drawn again, at least 1.

    Raises:
        InvalidSetting: As `bootstrap_interval`, or the two differ in length.

    Source: Sakai, Evaluating evaluation metrics based on the bootstrap, SIGIR 2006 (paired draws of questions).

    >>> paired_difference([1.0, 1.0, 0.0], [0.0, 0.0, -1.0])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    row_a, row_b = _finite_row(values_a, "values_a"), _finite_row(values_b, "values_b")
    if len(row_a) != len(row_b):
        raise InvalidSetting(
            f"a paired difference needs the same questions on both sides; found {len(row_a)} and {len(row_b)} values"
        )
    return bootstrap_interval(row_a - row_b, seed=seed, resamples=resamples)


def draw_resamples(units: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Draw `units` positions out of range(units) with replacement, `resamples` times, in blocks of bounded memory.

    Yields:
        Blocks of shape (some resamples, units); together they have `resamples` rows.

    Raises:
        InvalidSetting: `units` or `resamples` is below 1.
    """
    if units < 1 or resamples < 1:
        raise InvalidSetting(
            f"a bootstrap needs at least one value and one resample; found {units} values and resamples={resamples}"
        )
    generator = np.random.default_rng(seed)
    rows_in_block = max(1, _DRAWS_IN_MEMORY // units)
    for start in range(0, resamples, rows_in_block):
        yield generator.integers(0, units, size=(min(rows_in_block, resamples - start), units))


def _occurrences(drawn: NDArray[np.int64], units: int) -> NDArray[np.float64]:
    """Count how often each unit is in each row; shape (rows, units)."""
    rows = len(drawn)
    flat = (drawn + np.arange(rows)[:, None] * units).ravel()
    return np.bincount(flat, minlength=rows * units).reshape(rows, units).astype(np.float64)


def _finite_row(values: ArrayLike, name: str) -> NDArray[np.float64]:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not len(row):
        raise InvalidSetting(f"{name} must hold one number a question; found shape {row.shape}")
    if not np.isfinite(row).all():
        raise InvalidSetting(f"{name} must be finite; found {int((~np.isfinite(row)).sum())} NaN or infinite values")
    return row
