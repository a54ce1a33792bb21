"""The choice of ``dtype="auto"``."""

import logging
import threading

import pytest
import torch

from llama_index_ko_rerank.forward.precision import PrecisionTimes, prefers_bfloat16, processor_times, race


@pytest.mark.parametrize(("float32_ms", "bfloat16_ms", "expected"), [(2.0, 1.0, True), (1.0, 2.0, False)])
def test_the_faster_format_is_preferred(float32_ms, bfloat16_ms, expected):
    assert PrecisionTimes(float32_ms, bfloat16_ms).prefers_bfloat16 is expected


def test_a_tie_goes_to_the_format_with_more_digits():
    assert not PrecisionTimes(1.05, 1.0).prefers_bfloat16


def test_a_race_names_the_times_of_the_right_contenders():
    pause = threading.Event()
    times = race(lambda: pause.wait(0.02), lambda: None)
    assert times.float32_ms > times.bfloat16_ms
    assert times.prefers_bfloat16


def test_contenders_take_turns_and_each_runs_at_least_three_times():
    order = []
    race(lambda: order.append("float32"), lambda: order.append("bfloat16"))
    assert order == ["float32", "bfloat16"] * (len(order) // 2)
    assert len(order) >= 8


def test_a_width_is_timed_once_a_process_and_both_times_are_logged(caplog):
    processor_times.cache_clear()
    with caplog.at_level(logging.INFO, "llama_index_ko_rerank.forward.precision"):
        first, second = processor_times(48, 96), processor_times(48, 96)
    assert first is second
    assert len(caplog.messages) == 1
    chosen = "bfloat16" if first.prefers_bfloat16 else "float32"
    assert f"computes in {chosen}: 512 tokens of 48 x 96 take {first.float32_ms:.2f} ms" in caplog.messages[0]
    assert f"{first.bfloat16_ms:.2f} ms in bfloat16" in caplog.messages[0]


def test_a_device_that_is_neither_processor_nor_cuda_computes_in_float32():
    assert not prefers_bfloat16(torch.device("meta"), hidden=48, inner=96)
