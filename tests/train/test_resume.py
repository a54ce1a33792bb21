"""Ctrl-C in the middle of a run, as a user presses it: by a signal."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder, train_cross_encoder

OPTIONS = {"show_progress": False, "device": "cpu", "seed": 5}
TRAINERS = {"bi-encoder": train_bi_encoder, "cross-encoder": train_cross_encoder}


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """A process started in the background is deaf to Ctrl-C; a test run may be one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _press_ctrl_c_at_the_first_checkpoint(folder):
    def watch():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(folder.glob("checkpoints/checkpoint-*/trainer_state.json")):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.002)

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(kind, notices, bare_bert, tmp_path):
    # The base has dropout, so that random numbers must go on where they stopped, and the run has several epochs.
    train, length = TRAINERS[kind], {"base": str(bare_bert), "epochs": 30, "batch_size": 8}
    unbroken = train(notices, tmp_path / "unbroken", arguments=TrainingArguments(**length, **OPTIONS))

    _press_ctrl_c_at_the_first_checkpoint(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(notices, tmp_path / "broken", arguments=TrainingArguments(**length, **OPTIONS))
    resumed = train(notices, tmp_path / "broken", arguments=TrainingArguments(resume=True, **length, **OPTIONS))

    first, second = (load_file(result.path / "model.safetensors") for result in (unbroken, resumed))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert resumed.history == unbroken.history
    assert resumed.best_step == unbroken.best_step


def test_an_interrupted_folder_holds_no_model_and_takes_no_other_run(notices, tmp_path):
    train, length = train_bi_encoder, {"epochs": 15, "batch_size": 8}
    _press_ctrl_c_at_the_first_checkpoint(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(notices, tmp_path / "broken", arguments=TrainingArguments(**length, **OPTIONS))

    with pytest.raises(UnsuitableModel, match="holds no model"):
        KoreanEmbedding(tmp_path / "broken")
    with pytest.raises(InvalidSetting, match="pass resume=True"):
        train(notices, tmp_path / "broken", arguments=TrainingArguments(**length, **OPTIONS))
    with pytest.raises(InvalidSetting, match="seed=5 then, 6 now"):
        train(
            notices, tmp_path / "broken", arguments=TrainingArguments(resume=True, **length, **(OPTIONS | {"seed": 6}))
        )


def test_resuming_where_nothing_was_begun_starts_at_step_0_and_says_so(notices, tmp_path, caplog):
    result = train_bi_encoder(
        notices, tmp_path / "model", arguments=TrainingArguments(resume=True, epochs=1, batch_size=8, **OPTIONS)
    )

    assert result.history[0][0] == 0
    assert "training begins at step 0" in caplog.text
