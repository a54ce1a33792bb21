"""One process of a training run, which notes its losses."""

import json
import os
import sys
from pathlib import Path

import torch

from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.bi_encoder import prepare_bi_encoder
from llama_index_ko_rerank.train.run import run_training, validate_run
from tests.corpora.training import notice_board


def main(folder):
    torch.set_num_threads(1)
    arguments = TrainingArguments(epochs=4, batch_size=8, show_progress=False, device="cpu", seed=3)
    run = validate_run("bi-encoder", notice_board(), folder / "model", validation=None, arguments=arguments)
    plan = prepare_bi_encoder(run)
    losses, rows = [], []

    def note(_module, inputs, loss):
        losses.append(loss.item())
        rows.append(len(next(iter(inputs[0]))["offsets"]))

    plan.stages[0].loss.register_forward_hook(note)
    result = run_training(plan)
    rank = os.environ.get("RANK", "0")
    content = {"losses": losses, "rows": rows, "history": result.history}
    (folder / f"rank-{rank}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
