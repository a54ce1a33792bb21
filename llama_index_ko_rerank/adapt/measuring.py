"""An adapted search measured step by step on documents that nothing was trained or fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index_ko_rerank.adapt.searching import Legs, hybrid, ranker
from llama_index_ko_rerank.adapt.sources import Collected
from llama_index_ko_rerank.collection import CANDIDATES
from llama_index_ko_rerank.data.dataset import Question
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.report import EvaluationReport
from llama_index_ko_rerank.evaluate.runner import SearchSystem, evaluate_retrieval
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever

MOST_QUESTIONS = 500
_EMBEDDING, _WORDS, _BOTH = "embedding", "words", "both"


class ExactRetriever(BaseRetriever):
    """Finds the nearest nodes by exact cosines, with no index on disk: the base, to compare with."""

    def __init__(self, embed_model: KoreanEmbedding, collected: Collected, *, similarity_top_k: int) -> None:
        self._embed_model = embed_model
        self._nodes = collected.nodes
        self._similarity_top_k = similarity_top_k
        texts = [passage.text for passage in collected.passages]
        self._vectors = np.array(embed_model.get_text_embedding_batch(texts), np.float32)
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vector = np.array(self._embed_model.get_query_embedding(query_bundle.query_str), np.float32)
        cosines = self._vectors @ vector
        best = np.argsort(-cosines, kind="stable")[: self._similarity_top_k].tolist()
        return [NodeWithScore(node=self._nodes[row], score=float(cosines[row])) for row in best]


def measure_steps(
    legs: Legs,
    collected: Collected,
    questions: Sequence[Question],
    fit: dict[str, Any],
    folder: Path,
    *,
    base: KoreanEmbedding | None,
    cross_encoder: Path | None,
    seed: int,
    command: str,
    on_progress: Callable[[str, int, int], None],
) -> tuple[EvaluationReport, dict[str, tuple[float, ...]]]:
    """Ask each step of the search the held-out questions, at most five hundred of them.

    Args:
        legs: Over the collection.
        collected: Its passages.
        questions: On documents that were held out.
        fit: What `write_fit` returned.
        folder: Where it wrote.
        base: The embedding that was started from; None where it is the one in use.
        cross_encoder: The cross-encoder that was trained; None where there is none.
        seed: Of the intervals.
        command: For the record.
        on_progress: Told of how many questions were asked.

    Returns:
        The figures of every system, and how much each step gains in MRR@10 over the step before, with intervals.
    """
    both = hybrid(legs, fit)
    systems: dict[str, SearchSystem] = {}
    if base is not None:
        before = ExactRetriever(base, collected, similarity_top_k=CANDIDATES)
        systems["embedding before"] = SearchSystem(before)
        pair = HybridRetriever.from_defaults(legs.lexical, before, similarity_top_k=CANDIDATES)
        systems["both before, default weights"] = SearchSystem(pair)
    systems |= {_EMBEDDING: SearchSystem(legs.dense), _WORDS: SearchSystem(legs.lexical), _BOTH: SearchSystem(both)}
    steps = [(_EMBEDDING, "embedding before"), (_BOTH, "both before, default weights"), (_BOTH, _WORDS)]
    for name, reorders in _reordering(legs, fit, folder, cross_encoder):
        systems[name] = SearchSystem(both, [reorders])
        steps.append((name, _BOTH))
    chosen = np.random.default_rng(seed).permutation(len(questions))[:MOST_QUESTIONS]
    asked = [questions[place] for place in sorted(chosen.tolist())]
    report = evaluate_retrieval(
        systems,
        legs.dataset(asked, "held-out"),
        command=command,
        seed=seed,
        on_progress=lambda _, done, total: on_progress("measuring", done, total),
    )
    gains = {f"{name} less {other}": tuple(report.difference(name, other)) for name, other in steps if other in systems}
    return report, gains


def _reordering(
    legs: Legs, fit: dict[str, Any], folder: Path, cross_encoder: Path | None
) -> list[tuple[str, BaseNodePostprocessor]]:
    found: list[tuple[str, BaseNodePostprocessor]] = []
    reorders = ranker(legs, fit, folder)
    if reorders is not None:
        found.append(("both, reordered by the ranker", reorders))
    if cross_encoder is not None:
        model = CrossEncoderNodePostprocessor(str(cross_encoder), top_n=10, retrieval_weight=fit["retrieval_weight"])
        found.append(("both, reordered by the cross-encoder", model))
    return found
