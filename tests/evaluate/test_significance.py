import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.evaluate.significance import (
    bootstrap_interval,
    bootstrap_intervals,
    draw_resamples,
    paired_difference,
)

shares = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_the_interval_of_a_share_is_that_of_the_normal_approximation():
    values = np.repeat([1.0, 0.0], [900, 100])
    interval = bootstrap_interval(values)
    half_width = 1.96 * np.sqrt(0.9 * 0.1 / 1000)
    assert interval.value == 0.9
    assert interval.low == pytest.approx(0.9 - half_width, abs=0.002)
    assert interval.high == pytest.approx(0.9 + half_width, abs=0.002)


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(3).beta(2, 5, size=200)
    ours = bootstrap_interval(values, resamples=5000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=1).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.002)
    assert ours.high == pytest.approx(theirs.high, abs=0.002)


def test_equal_values_give_a_point():
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) != bootstrap_interval(values, seed=8)


@settings(max_examples=30)
@given(shares)
def test_an_interval_stays_within_the_values(values):
    interval = bootstrap_interval(values, resamples=200)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_columns_drawn_together_get_the_interval_each_gets_alone():
    columns = np.random.default_rng(1).random((40, 3))
    together = bootstrap_intervals(columns, seed=5)
    alone = [bootstrap_interval(columns[:, column], seed=5) for column in range(3)]
    np.testing.assert_allclose(together, alone)


def test_a_small_gain_on_every_question_is_certain_though_the_means_overlap():
    hard_or_easy = np.random.default_rng(2).random(200)
    better, worse = hard_or_easy + 0.01, hard_or_easy
    gain = paired_difference(better, worse)
    assert gain.value == pytest.approx(0.01)
    assert gain.low == pytest.approx(0.01)
    assert bootstrap_interval(worse).high > bootstrap_interval(better).low


def test_swapping_the_systems_turns_the_difference_round():
    first, second = np.random.default_rng(4).random((2, 60))
    there, back = paired_difference(first, second), paired_difference(second, first)
    np.testing.assert_allclose(there, (-back.value, -back.high, -back.low))


def test_many_questions_are_drawn_in_blocks_of_bounded_memory():
    values = np.random.default_rng(0).random(50_000)
    tracemalloc.start()
    bootstrap_interval(values, resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20, "all 200 draws at once would take 80 MB for the positions alone"


def test_the_blocks_of_draws_add_up_to_what_was_asked_for():
    blocks = list(draw_resamples(400_000, seed=0, resamples=5))
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert all(block.min() >= 0 and block.max() < 400_000 for block in blocks)


@pytest.mark.parametrize(
    ("values", "resamples", "message"),
    [
        ([], 100, "one number a question"),
        ([[1.0, 2.0]], 100, "one number a question"),
        ([1.0, float("nan")], 100, "1 NaN"),
        ([1.0], 0, "resamples=0"),
    ],
)
def test_values_that_have_no_interval_are_refused(values, resamples, message):
    with pytest.raises(InvalidSetting, match=message):
        bootstrap_interval(values, resamples=resamples)


def test_a_difference_of_other_questions_is_refused():
    with pytest.raises(InvalidSetting, match="found 2 and 3 values"):
        paired_difference([1.0, 0.0], [1.0, 0.0, 1.0])
