"""Training in two processes is training in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder
from llama_index_ko_rerank.train.trainer.batching import SharedBatches

HERE = Path(__file__).parent


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=9), max_size=6), st.integers(1, 4))
def test_every_process_gets_as_many_rows_of_every_batch(batches, count):
    parts = list(SharedBatches(batches, count))
    assert len(parts) == len(SharedBatches(batches, count)) == len(batches) * count
    for index, batch in enumerate(batches):
        own = parts[index * count : (index + 1) * count]
        assert len({len(part) for part in own}) == 1
        assert {row for part in own for row in part} <= set(batch)
        if len(batch) % count == 0:
            assert [row for part in own for row in part] == batch


def test_a_batch_that_cannot_be_shared_is_refused_at_the_door(notices, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InvalidSetting, match="8 rows cannot be shared by 3 processes"):
        train_bi_encoder(
            notices, tmp_path / "model", arguments=TrainingArguments(batch_size=8, show_progress=False, device="cpu")
        )
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of one run in one process, and of one in two by gloo."""
    folders = {count: tmp_path_factory.mktemp(f"processes-{count}") for count in (1, 2)}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for count, folder in folders.items():
        command = [sys.executable, *(torchrun if count == 2 else []), str(HERE / "torchrun_process.py"), str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-4000:]
    return folders


def _report(folder, rank=0):
    return json.loads((folder / f"rank-{rank}.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_loss_of_two_processes_is_that_of_one_with_the_same_batch(runs):
    one = _report(runs[1])
    two = np.mean([_report(runs[2], rank)["losses"] for rank in (0, 1)], axis=0)
    assert len(one["losses"]) == len(two) == 16
    # A batch of an odd number of rows loses one of them where two share it, and what follows differs.
    steps = next((step for step, rows in enumerate(one["rows"]) if rows % 2), len(two))
    assert steps > 8
    assert np.allclose(one["losses"][:steps], two[:steps], rtol=1e-4)


@pytest.mark.slow
def test_both_processes_measure_alike_and_one_writes_one_model(runs):
    assert _report(runs[2], 0)["history"] == _report(runs[2], 1)["history"]
    names = [{path.name for path in (runs[count] / "model").iterdir()} for count in (1, 2)]
    assert names[0] == names[1]
    weights = [load_file(next((runs[count] / "model").glob("*.safetensors"))) for count in (1, 2)]
    for name, values in weights[0].items():
        assert np.abs(values - weights[1][name]).max() < 1e-4
