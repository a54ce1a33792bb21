"""No room for a checkpoint: a limit of the process on the size of its files, as a full disk would refuse to write."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from llama_index_ko_rerank.errors import DiskFull
from llama_index_ko_rerank.train.trainer.checkpoints import raise_disk_full

CODE = """
import resource, signal, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from tests.corpora.training import notice_board
from llama_index_ko_rerank.errors import DiskFull
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder

def limit(kilobytes):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))

options = dict(base={base!r}, epochs=2, batch_size=8, show_progress=False, device="cpu", seed=5)
unbroken = train_bi_encoder(notice_board(), {folder!r} + "/unbroken", arguments=TrainingArguments(**options))
limit({kilobytes})
try:
    train_bi_encoder(notice_board(), {folder!r} + "/m", arguments=TrainingArguments(**options))
except DiskFull as error:
    print("DiskFull:", "resume=True" in str(error))
limit(10**9)
arguments = TrainingArguments(resume=True, **options)
resumed = train_bi_encoder(notice_board(), {folder!r} + "/m", arguments=arguments)
print("same:", (resumed.path / "model.safetensors").read_bytes() == (unbroken.path / "model.safetensors").read_bytes())
"""


NO_MODEL, NO_OPTIMIZER = 8, 256  # kilobytes: no room for the weights; room for them and not for what AdamW keeps


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [NO_MODEL, NO_OPTIMIZER])
def test_a_full_disk_is_an_error_and_the_run_can_be_resumed(kilobytes, bare_bert, tmp_path):
    code = CODE.format(tests=str(Path(__file__).parent), base=str(bare_bert), folder=str(tmp_path), kilobytes=kilobytes)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)

    assert done.stdout.split("\n")[:2] == ["DiskFull: True", "same: True"], done.stderr[-2000:]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
)
def test_whatever_a_library_raises_for_want_of_room_is_one_error(error, tmp_path):
    with pytest.raises(DiskFull, match="make room") as said, raise_disk_full(tmp_path, "make room"):
        raise error
    assert said.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("shapes do not match")])
def test_any_other_error_is_left_alone(error, tmp_path):
    with pytest.raises(type(error), match=str(error)[-10:]), raise_disk_full(tmp_path, "make room"):
        raise error
