import logging

import pytest

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.recipes.recipe import Schedule
from llama_index_ko_rerank.train.recipes.schedule import choose_device, override_schedule, resolve_schedule

SCHEDULE = Schedule(epochs=3, batch_size=16, learning_rate=1e-3, warmup_steps=100, weight_decay=0.0, evaluations=5)
NOTHING = {"epochs": None, "batch_size": None, "learning_rate": None, "warmup_steps": None}


def test_steps_are_epochs_times_batches_rounded_up():
    schedule = resolve_schedule(SCHEDULE, rows=1000, max_steps=None)

    assert schedule.steps == 3 * 63
    assert schedule.evaluate_every == 38  # five measurements in 189 steps
    assert schedule.warmup_steps == 94


def test_max_steps_bounds_the_run():
    assert resolve_schedule(SCHEDULE, rows=1000, max_steps=7).steps == 7
    assert resolve_schedule(SCHEDULE, rows=16, max_steps=7).steps == 3


def test_warm_up_takes_at_most_half_of_the_run_and_says_so(caplog):
    schedule = resolve_schedule(SCHEDULE, rows=160, max_steps=None)

    assert schedule.warmup_steps == 15
    assert "the run has 30 steps, so warm-up takes 15 of them and not 100" in caplog.text


def test_a_warm_up_that_fits_is_left_alone(caplog):
    with caplog.at_level(logging.INFO):
        assert resolve_schedule(SCHEDULE, rows=16_000, max_steps=None).warmup_steps == 100
    assert not caplog.records


def test_a_batch_never_wants_more_rows_than_there_are_contexts(caplog):
    contexts = [f"글 {n % 12}" for n in range(36)]

    schedule = resolve_schedule(SCHEDULE, rows=36, max_steps=None, contexts=contexts)

    assert schedule.batch_size == 12
    assert "a batch has 12 rows and not 16" in caplog.text


def test_rows_of_a_context_with_many_questions_that_find_no_batch_are_counted(caplog):
    contexts = ["글"] * 10 + [f"글 {n}" for n in range(22)]

    resolve_schedule(SCHEDULE, rows=32, max_steps=None, contexts=contexts)  # two batches an epoch, each with "글" once

    assert "8 of 32 rows find no batch" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"warmup_steps": -1},
    ],
)
def test_a_setting_out_of_range_is_refused(wrong):
    with pytest.raises(InvalidSetting, match=next(iter(wrong))):
        override_schedule(SCHEDULE, **(NOTHING | wrong))


def test_settings_that_are_not_given_are_the_recipe_s():
    assert override_schedule(SCHEDULE, **NOTHING) == SCHEDULE
    assert override_schedule(SCHEDULE, **(NOTHING | {"warmup_steps": 0})).warmup_steps == 0


def test_max_steps_below_1_is_refused():
    with pytest.raises(InvalidSetting, match="max_steps"):
        resolve_schedule(SCHEDULE, rows=10, max_steps=0)


def test_one_of_several_gpus_is_not_named_by_number():
    with pytest.raises(InvalidSetting, match="CUDA_VISIBLE_DEVICES"):
        choose_device("cuda:1")


def test_the_processor_is_always_there():
    assert choose_device("cpu") == "cpu"
    assert choose_device(None) in {"cpu", "cuda", "mps"}
