"""A small cross-encoder that learns the documents' own questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_index_ko_rerank.adapt.questions import MadeQuestions
from llama_index_ko_rerank.adapt.settings import AdaptSettings
from llama_index_ko_rerank.adapt.sources import Collected
from llama_index_ko_rerank.catalog import DEFAULT_RERANKER
from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder

MODEL = "model"
_CHECKPOINTS = "checkpoints"


def write_cross_encoder(
    collected: Collected, made: MadeQuestions, settings: AdaptSettings, folder: Path
) -> dict[str, Any]:
    """Train ``ko-mini-rerank`` on the questions of the training documents, with hard negatives mined among these.

    Interrupted, it goes on from the last checkpoint in `folder`.
    """
    asked = {question.passage_ids[0] for question in made.parts["train"]}
    passages = tuple(
        Passage(passage.id, node.text, passage.title)
        for passage, node in zip(collected.passages, collected.nodes, strict=True)
        if passage.id in asked
    )
    output = folder / MODEL
    result = train_cross_encoder(
        RetrievalDataset("made questions", "train", passages, made.parts["train"]),
        output,
        arguments=TrainingArguments(
            base=DEFAULT_RERANKER,
            recipe="strong",
            max_steps=settings.steps,
            seed=settings.seed,
            resume=(output / _CHECKPOINTS).exists(),
            overwrite=(output / "config.json").exists(),
            show_progress=False,
        ),
    )
    return {"steps": result.steps, "metric": result.metric, "best_value": result.best_value}
