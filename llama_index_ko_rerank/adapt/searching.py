"""The index of an adapted collection, and the search that is fitted over it on questions of documents set aside."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever

from llama_index_ko_rerank.adapt.sources import Collected, Sources
from llama_index_ko_rerank.collection import CANDIDATES, RANKER_FILE, CollectionSettings, fitted_settings
from llama_index_ko_rerank.data.dataset import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import IndexNotFound, ModelMismatch
from llama_index_ko_rerank.files import write_text_file
from llama_index_ko_rerank.ingest.sync import create_empty_index, plan_sync, run_sync
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.ltr.model import DEFAULT
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import DEFAULT_WEIGHTS, HybridRetriever
from llama_index_ko_rerank.store.index import build_index, open_index
from llama_index_ko_rerank.train.tuning.search import FEWEST_QUESTIONS, tune_search


def make_index(
    sources: Sources,
    collected: Collected,
    place: Path,
    *,
    paths: Sequence[str | Path],
    max_mb: int,
    embed_model: KoreanEmbedding,
    on_progress: Callable[[str, int, int], None],
) -> VectorStoreIndex:
    """Index all documents; where an earlier attempt was interrupted, what it did is not done again.

    Args:
        sources: The documents.
        collected: Their passages.
        place: The folder of the index, beside where it will be in the end: ids are paths as seen from it.
        paths: What the user named, for files.
        max_mb: The largest file that is read.
        embed_model: The embedding that stayed.
        on_progress: Told of how many files are done.
    """
    if sources.dataset is not None:
        shutil.rmtree(place, ignore_errors=True)
        return build_index(collected.nodes, place, embed_model=embed_model)
    try:
        open_index(place, embed_model=embed_model)
    except IndexNotFound:
        create_empty_index(place, embed_model=embed_model)
    except ModelMismatch:
        shutil.rmtree(place)
        create_empty_index(place, embed_model=embed_model)
    plan = plan_sync(place, paths, embed_model=embed_model, leave_out=place.parent, max_mb=max_mb)
    run_sync(
        plan,
        embed_model=embed_model,
        on_progress=lambda report: on_progress("indexing", report.files_done, len(plan.to_read)),
    )
    return open_index(place, embed_model=embed_model)


@dataclass(frozen=True, slots=True)
class Legs:
    """What a search over a collection is made of.

    Attributes:
        lexical: By words.
        dense: By the embedding.
        texts: The passages as they are indexed, for judging what is found.
    """

    lexical: KoreanBM25Retriever
    dense: BaseRetriever
    texts: tuple[Passage, ...]

    @classmethod
    def of(cls, index: VectorStoreIndex, collected: Collected, snapshot: Path) -> Legs:
        """Open both legs over an index."""
        lexical = KoreanBM25Retriever.from_index(index, similarity_top_k=CANDIDATES, snapshot=snapshot)
        texts = tuple(
            Passage(passage.id, node.text, passage.title)
            for node, passage in zip(collected.nodes, collected.passages, strict=True)
        )
        return cls(lexical, index.as_retriever(similarity_top_k=CANDIDATES), texts)

    def dataset(self, questions: Sequence[Question], part: str) -> RetrievalDataset:
        """Ask questions of this collection."""
        return RetrievalDataset("made questions", part, self.texts, tuple(questions))


def write_fit(
    legs: Legs,
    questions: Sequence[Question],
    folder: Path,
    *,
    cross_encoder: Path | None,
    seed: int,
    on_step: Callable[[str], None],
) -> dict[str, Any]:
    """Fit weights and ranker, or leave them as they ship where there are fewer than a hundred questions.

    Returns:
        ``questions``, ``weights``, ``ranker`` (as `CollectionSettings` takes it), ``uses_cross_encoder``,
        ``retrieval_weight``, and ``gains`` with intervals; all but the first None or empty where nothing was fitted.
    """
    if len(questions) < FEWEST_QUESTIONS:
        on_step(f"fusion and ranker stay as they ship: {len(questions)} questions, {FEWEST_QUESTIONS} are needed")
        nothing: dict[str, Any] = {
            "weights": None,
            "ranker": DEFAULT,
            "uses_cross_encoder": False,
            "retrieval_weight": 0.0,
            "gains": {},
        }
        return {"questions": len(questions), **nothing}
    reranker = CrossEncoderNodePostprocessor(str(cross_encoder), top_n=CANDIDATES) if cross_encoder else None
    fitted = tune_search(
        legs.lexical, legs.dataset(questions, "fit"), dense=legs.dense, reranker=reranker, seed=seed, on_step=on_step
    )
    write_text_file(folder / RANKER_FILE, fitted.fitted_ranker.to_json())
    kept = fitted_settings(CollectionSettings(None), fitted, rerank_model="cross-encoder")
    return {
        "questions": fitted.questions,
        "weights": kept.weights,
        "ranker": kept.ranker,
        "uses_cross_encoder": kept.rerank_model is not None,
        "retrieval_weight": kept.retrieval_weight,
        "gains": {part: tuple(gain) for part, gain in fitted.gains.items()},
    }


def hybrid(legs: Legs, fit: dict[str, Any]) -> HybridRetriever:
    """Put both legs together as they were fitted."""
    weights = fit["weights"] or DEFAULT_WEIGHTS
    return HybridRetriever.from_defaults(legs.lexical, legs.dense, similarity_top_k=CANDIDATES, weights=weights)


def ranker(legs: Legs, fit: dict[str, Any], folder: Path) -> LearningToRankPostprocessor | None:
    """Open the ranker that was kept, where one was."""
    if fit["ranker"] is None:
        return None
    weights = DEFAULT if fit["ranker"] == DEFAULT else str(folder / fit["ranker"])
    return LearningToRankPostprocessor.from_index(legs.lexical.lexical_index, weights=weights, top_n=10)
