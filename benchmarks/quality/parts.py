"""The systems that `models_quality.py` measures, and what is fitted for them on questions that may be learnt from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.schema import NodeWithScore, QueryBundle
from rich.progress import Progress

from benchmarks.quality.data import HELD_OUT_SHARE, divided
from benchmarks.quality.logits import StoredLogits, StoredReranker, take_logits
from llama_index_ko_rerank.data import RetrievalDataset, dataset_nodes
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate import EvaluationReport, SearchSystem, evaluate_retrieval
from llama_index_ko_rerank.evaluate.systems import TOP_N, SystemParts
from llama_index_ko_rerank.files import write_text_file
from llama_index_ko_rerank.rerank.ltr.features import CROSS_ENCODER, LEXICAL, LEXICAL_FEATURES, FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.fit import RankingExample, fit_ranker
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.rerank.nodes import sigmoid
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.text.normalize import check_query
from llama_index_ko_rerank.train import TrainingArguments, override_recipe, train_bi_encoder, train_cross_encoder
from llama_index_ko_rerank.train.recipes import RECIPES
from llama_index_ko_rerank.train.tuning.search import InterpolationExample, best_retrieval_weight

CANDIDATES, RESTARTS = 30, 4
LEXICAL_ROW, DEFAULT, REFITTED = "lexical", "lexical + ranker that ships", "lexical + ranker refitted"
Differences = Sequence[tuple[str, str]]
DENSE_SETTINGS: dict[str, Any] = {"recipe": "static"}
RERANKER_SETTINGS: dict[str, Any] = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-4, "warmup_steps": 30}
NEGATIVES, EVALUATIONS = 3, 2
"""A cross-encoder of three layers learns at more than the book's rate, and two thousand questions want few passes: one
by pairs and one by lists, measured twice each. The held-out tenth that measures it also keeps the base where learning
does not help."""


@dataclass(frozen=True)
class Measurement:
    """What is measured, and where everything that was trained or read is kept.

    Attributes:
        learning: Questions that may be learnt from; the collection is the same.
        measured: Questions that are only asked.
        work: Models, rankers and logits are kept here, and found again.
        command: For the record.
    """

    learning: RetrievalDataset
    measured: RetrievalDataset
    work: Path
    command: str

    @cached_property
    def lexical(self) -> KoreanBM25Retriever:
        """The two lexical views, thirty candidates deep."""
        return KoreanBM25Retriever.from_nodes(dataset_nodes(self.measured), similarity_top_k=CANDIDATES)

    def dense(self, models: Mapping[str, str]) -> EvaluationReport:
        """Search by each embedding model, beside the lexical views."""
        with tempfile.TemporaryDirectory() as folder:
            systems = {LEXICAL_ROW: SearchSystem(self.lexical)}
            for number, (name, model) in enumerate(models.items()):
                embedding = KoreanEmbedding(model)
                parts = SystemParts(
                    dataset_nodes(self.measured),
                    Path(folder) / str(number),
                    embed_model=embedding,
                    candidates=CANDIDATES,
                )
                systems[name] = SearchSystem(parts.dense, embed_model=embedding)
            return self._asked(systems)

    def tuned_embedding(self, base: str) -> str:
        """Train an embedding model on the learning questions, or find the one that was; a tenth chooses the step."""
        folder = self.work / "embedding-tuned"
        if not (folder / "modules.json").exists():
            train_bi_encoder(
                self.learning, folder, arguments=TrainingArguments(base=base, resume=folder.exists(), **DENSE_SETTINGS)
            )
        return str(folder)

    def tuned_reranker(self, base: str) -> tuple[str, RetrievalDataset]:
        """Train a cross-encoder on two thirds of the learning articles; return it with the questions it never saw."""
        shown, kept = divided(self.learning, HELD_OUT_SHARE)
        folder = self.work / "reranker-tuned"
        if not (folder / "config.json").exists():
            recipe = override_recipe(RECIPES["cross-encoder"]["strong"], negatives=NEGATIVES)
            recipe = replace(recipe, schedule=replace(recipe.schedule, evaluations=EVALUATIONS))
            train_cross_encoder(
                shown,
                folder,
                arguments=TrainingArguments(base=base, recipe=recipe, resume=folder.exists(), **RERANKER_SETTINGS),
            )
        return str(folder), kept

    def reranked(
        self, model: str, fitting: RetrievalDataset, *, retrieval_weight: float | None, dtype: str
    ) -> tuple[EvaluationReport, Differences, dict[str, Any]]:
        """Measure a cross-encoder alone, interpolated with the first stage, and as a feature of the ranker.

        Args:
            model: The cross-encoder.
            fitting: Questions that it never saw; the weight of the first stage and both rankers are fitted on them.
            retrieval_weight: A weight of the first stage that was chosen before. Defaults to the one that fits best.
            dtype: What it computes in.

        Returns:
            The report, the pairs of systems to compare, and what was fitted.
        """
        asked = self.measured.with_questions((*fitting.questions, *self.measured.questions))
        stored = take_logits(model, self.lexical, asked, self.work, dtype=dtype)
        share, rankers = self._fitted(stored, fitting, retrieval_weight)
        name = Path(model).name
        alone, mixed, feature = name, f"{name}, retrieval_weight {share:.2f}", f"lexical + ranker with {name}'s logit"
        index, top = self.lexical.lexical_index, TOP_N
        ranker = LearningToRankPostprocessor.from_index
        systems = {
            LEXICAL_ROW: [],
            alone: [StoredReranker(stored, top_n=top)],
            mixed: [StoredReranker(stored, top_n=top, retrieval_weight=share)],
            DEFAULT: [ranker(index, top_n=top)],
            REFITTED: [ranker(index, top_n=top, weights=rankers[LEXICAL])],
            feature: [ranker(index, top_n=top, weights=rankers[CROSS_ENCODER], scorer=stored)],
        }
        report = self._asked({row: SearchSystem(self.lexical, steps) for row, steps in systems.items()})
        spent = np.array([stored.milliseconds[check_query(question.text)] for question in self.measured.questions])
        timed = {row: _with_model_time(report, row, spent) for row in (alone, mixed, feature)}
        report = replace(report, systems={**report.systems, **timed})
        differences = [(alone, LEXICAL_ROW), (mixed, LEXICAL_ROW), (feature, REFITTED), (feature, DEFAULT)]
        return report, differences, {"questions": len(fitting.questions), "retrieval_weight": share}

    def _fitted(
        self, stored: StoredLogits, fitting: RetrievalDataset, retrieval_weight: float | None
    ) -> tuple[float, dict[str, str]]:
        """Choose the share of the first stage, and write the rankers fitted without the logit and with it."""
        extractor = FeatureExtractor(self.lexical.lexical_index, feature_sets=(LEXICAL, CROSS_ENCODER), scorer=stored)
        examples, blends = [], []
        for question in fitting.questions:
            nodes = self.lexical.retrieve(QueryBundle(question.text))
            relevant = tuple(row for row, node in enumerate(nodes) if node.node.node_id in question.passage_ids)
            matrix = extractor.matrix(question.text, nodes)
            examples.append(RankingExample(matrix, relevant))
            blends.append(InterpolationExample(_scores(nodes), sigmoid(matrix[:, -1]), relevant))
        width = len(LEXICAL_FEATURES)
        without = [RankingExample(example.matrix[:, :width], example.relevant) for example in examples]
        fitted = {
            LEXICAL: fit_ranker(without, restarts=RESTARTS),
            CROSS_ENCODER: fit_ranker(examples, feature_sets=(LEXICAL, CROSS_ENCODER), restarts=RESTARTS),
        }
        files = {}
        for name, ranker in fitted.items():
            file = self.work / f"ranker-{name}.json"
            write_text_file(file, ranker.to_json())
            files[name] = str(file)
        return best_retrieval_weight(blends) if retrieval_weight is None else retrieval_weight, files

    def _asked(self, systems: Mapping[str, SearchSystem]) -> EvaluationReport:
        with Progress(transient=True) as bar:
            task = bar.add_task("asking", total=len(systems) * len(self.measured.questions))
            return evaluate_retrieval(
                systems, self.measured, command=self.command, on_progress=lambda *_: bar.advance(task)
            )


def _scores(nodes: Sequence[NodeWithScore]) -> np.ndarray:
    return np.array([float(node.score or 0.0) for node in nodes])


def _with_model_time(report: EvaluationReport, row: str, spent: np.ndarray) -> Any:
    """Add what the model took when it read the candidates, since its logits were only looked up here."""
    result = report.systems[row]
    stages = {
        stage: values + spent if stage in ("rerank", "total") else values for stage, values in result.stage_ms.items()
    }
    return replace(result, stage_ms=stages)
