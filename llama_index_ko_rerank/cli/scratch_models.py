"""What an evaluation learns beforehand from other questions: models from nothing, and the weights of a hybrid."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.cli.console import errors
from llama_index_ko_rerank.data import RetrievalDataset, available_splits, dataset_nodes, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import SplitLeak, UnknownDataset
from llama_index_ko_rerank.evaluate.systems import TOP_N, SystemParts
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.train import TrainingArguments, TrainingResult, train_bi_encoder, train_cross_encoder
from llama_index_ko_rerank.train.models.scratch import untrained_baseline
from llama_index_ko_rerank.train.tuning.fusion import fit_weights, group_folds

RERANKER_STEPS = 400
"""Steps that a cross-encoder from nothing gets for a comparison: some three minutes on 2 cores."""
_TRAINING_SPLITS = ("tune", "train")
_PARTS = 10


def untrained_embedding(trained: str | Path, folder: Path, seed: int) -> Path:
    """Write what a model from scratch was before training into a folder, and return where."""
    target = folder / "embedding-untrained"
    if not target.exists():
        untrained_baseline(trained, seed=seed).save(str(target))
    return target


@dataclass(frozen=True)
class ScratchModels:
    """Where models come from for one measured data set.

    Attributes:
        spec: The data set to train on: the measured one, as a rule.
        measured: What is measured; nothing trained here may share its questions' contexts.
        train_split: The split to train on; ``tune`` or ``train`` where None. The questions on a tenth of its passages
            are held out: a model's best step is chosen by them, and the weights of a hybrid are fitted on them.
        folder: Trained models are kept here, used again where they are there, and finished where they are not.
        seed: Of the training.
    """

    spec: str
    measured: RetrievalDataset
    train_split: str | None
    folder: Path
    seed: int

    def models(self, names: Sequence[str], embed_model: str, rerank_model: str) -> dict[str, Any]:
        """Return the models that the named systems need, as fields of `SystemParts`."""
        models: dict[str, Any] = {}
        if any("dense" in name or "hybrid" in name or "rrf" in name for name in names):
            models["embed_model"] = KoreanEmbedding(self._embedding() if embed_model == "scratch" else embed_model)
        if "hybrid-fitted" in names:
            models["fitted_weights"] = self._fitted_weights(models["embed_model"])
        if "dense-base" in names:
            models["base_embed_model"] = KoreanEmbedding(untrained_embedding(self._embedding(), self.folder, self.seed))
        if any(name.endswith("+rerank") for name in names):
            reranker = self._reranker() if rerank_model == "scratch" else rerank_model
            models["reranker"] = CrossEncoderNodePostprocessor(str(reranker), top_n=TOP_N)
        return models

    def _embedding(self) -> str:
        return self._trained("embedding", train_bi_encoder, max_steps=None)

    def _reranker(self) -> str:
        return self._trained("reranker", train_cross_encoder, max_steps=RERANKER_STEPS)

    def _trained(self, name: str, train: Callable[..., TrainingResult], *, max_steps: int | None) -> str:
        folder = self.folder / name
        if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
            learning, held_out = self._training_data
            errors.print(f"training the {name} from scratch on {self.spec} {learning.split} …", highlight=False)
            train(
                learning,
                folder,
                arguments=TrainingArguments(
                    seed=self.seed,
                    max_steps=max_steps,
                    resume=folder.exists(),
                    show_progress=errors.is_terminal,
                ),
                validation=held_out,
            )
        return str(folder)

    def _fitted_weights(self, embed_model: BaseEmbedding) -> dict[str, float]:
        _, held_out = self._training_data
        errors.print(f"fitting a hybrid on {len(held_out.questions)} questions of {held_out.name} …", highlight=False)
        with tempfile.TemporaryDirectory() as folder:
            parts = SystemParts(dataset_nodes(held_out), Path(folder), embed_model=embed_model)
            return fit_weights({"lexical": parts.lexical, "dense": parts.dense}, held_out, seed=self.seed).weights

    @cached_property
    def _training_data(self) -> tuple[RetrievalDataset, RetrievalDataset]:
        splits = available_splits(self.spec)
        split = self.train_split or next((split for split in _TRAINING_SPLITS if split in splits), None)
        if split is None:
            raise UnknownDataset(
                f"{self.spec} has no split to train 'scratch' models on (it has {', '.join(splits)}); "
                "name one with --train-split, or pass --embed-model and --rerank-model"
            )
        dataset = load_dataset(self.spec, split)
        asked = {pair.context for pair in self.measured.pairs()}
        shared = asked.intersection(pair.context for pair in dataset.pairs())
        if shared:
            raise SplitLeak(
                f"{len(shared)} contexts of the measured questions are also in the training split {split!r}; "
                "measure another split, or pass models that were trained elsewhere"
            )
        held_out = group_folds(dataset.questions, _PARTS, self.seed)[0]
        chosen = list(zip(dataset.questions, held_out.tolist(), strict=True))
        return (
            replace(dataset, questions=tuple(question for question, is_held_out in chosen if not is_held_out)),
            replace(dataset, questions=tuple(question for question, is_held_out in chosen if is_held_out)),
        )
