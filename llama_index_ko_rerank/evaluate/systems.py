"""The search systems that reports compare, made by name from one collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.evaluate.runner import SearchSystem
from llama_index_ko_rerank.extras import require
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever
from llama_index_ko_rerank.retrieve.lexical_index import Analyzer
from llama_index_ko_rerank.store.index import build_index

TOP_N = 10
"""How many results a reordering system returns: the deepest measure looks at 10."""


@dataclass(frozen=True)
class SystemParts:
    """What systems are made of; each index is built once, when a system first needs it.

    Attributes:
        nodes: The collection, in document order.
        folder: An empty folder for the vector indexes.
        embed_model: Of the systems with ``dense`` and ``hybrid`` in their names.
        base_embed_model: Of ``dense-base``: the model before it was trained.
        reranker: Of the systems that end in ``+rerank``.
        base_reranker: Of ``hybrid+rerank-base``: the cross-encoder before it was trained further.
        fitted_weights: Of ``hybrid-fitted``: how much ``lexical`` and ``dense`` count, fitted on other questions.
        candidates: How many candidates a hybrid hands to a reranker.
    """

    nodes: Sequence[TextNode]
    folder: Path
    embed_model: BaseEmbedding | None = None
    base_embed_model: BaseEmbedding | None = None
    reranker: BaseNodePostprocessor | None = None
    base_reranker: BaseNodePostprocessor | None = None
    fitted_weights: Mapping[str, float] | None = None
    candidates: int = 30

    @cached_property
    def lexical(self) -> KoreanBM25Retriever:
        """Both lexical views, as deep as the candidates."""
        return KoreanBM25Retriever.from_nodes(self.nodes, similarity_top_k=self.candidates)

    @cached_property
    def dense(self) -> BaseRetriever:
        """The vector index of `embed_model`."""
        return self._vector_retriever("dense", self.embed_model)

    @cached_property
    def dense_base(self) -> BaseRetriever:
        """The vector index of `base_embed_model`."""
        return self._vector_retriever("dense-base", self.base_embed_model)

    @cached_property
    def morphemes(self) -> KoreanBM25Retriever:
        """The morphemes alone, which two systems search."""
        return self.lexical_by("morphemes")

    def lexical_by(self, analyzer: Analyzer) -> KoreanBM25Retriever:
        """Return BM25 with one analyzer."""
        return KoreanBM25Retriever.from_nodes(self.nodes, similarity_top_k=self.candidates, analyzers=(analyzer,))

    def _vector_retriever(self, name: str, embed_model: BaseEmbedding | None) -> BaseRetriever:
        if embed_model is None:
            raise InvalidSetting(f"the system {name!r} needs an embedding model, and none was given")
        index = build_index(self.nodes, self.folder / name, embed_model=embed_model)
        return index.as_retriever(similarity_top_k=self.candidates)


def _stock_bm25(parts: SystemParts) -> SearchSystem:
    stock = require("evaluate", "llama_index.retrievers.bm25", needed_for="the system 'stock-bm25'")
    return SearchSystem(stock.BM25Retriever.from_defaults(nodes=list(parts.nodes), similarity_top_k=parts.candidates))


def _dense(parts: SystemParts) -> SearchSystem:
    return SearchSystem(parts.dense, embed_model=parts.embed_model)


def _hybrid(parts: SystemParts) -> BaseRetriever:
    return HybridRetriever.from_defaults(parts.lexical, parts.dense, similarity_top_k=parts.candidates)


def _fitted_hybrid(parts: SystemParts) -> BaseRetriever:
    if parts.fitted_weights is None:
        raise InvalidSetting("the system 'hybrid-fitted' needs weights fitted on other questions, and none were given")
    weights = dict(parts.fitted_weights)
    return HybridRetriever.from_defaults(parts.lexical, parts.dense, similarity_top_k=parts.candidates, weights=weights)


def _ranker(parts: SystemParts) -> LearningToRankPostprocessor:
    return LearningToRankPostprocessor.from_index(parts.lexical.lexical_index, top_n=TOP_N)


def _equal_rrf(parts: SystemParts) -> SearchSystem:
    retrievers = {"bm25": parts.morphemes, "dense": parts.dense}
    return SearchSystem(HybridRetriever(retrievers, fusion="rrf", similarity_top_k=parts.candidates))


def _reranked(
    retriever: BaseRetriever, reranker: BaseNodePostprocessor | None, embed_model: BaseEmbedding | None = None
) -> SearchSystem:
    if reranker is None:
        raise InvalidSetting("the systems with '+rerank' in their names need a reranker, and none was given")
    return SearchSystem(retriever, [reranker], embed_model)


SYSTEMS: dict[str, tuple[str, Callable[[SystemParts], SearchSystem]]] = {
    "stock-bm25": ("LlamaIndex's BM25Retriever, defaults", _stock_bm25),
    "bm25": ("BM25 over Kiwi morphemes", lambda parts: SearchSystem(parts.morphemes)),
    "bigram": ("BM25 over character bigrams", lambda parts: SearchSystem(parts.lexical_by("bigrams"))),
    "lexical": ("both lexical views, convex, nothing fitted", lambda parts: SearchSystem(parts.lexical)),
    "lexical+ltr": (
        "both lexical views, reordered by the ranker that ships",
        lambda parts: SearchSystem(parts.lexical, [_ranker(parts)]),
    ),
    "dense-base": (
        "the embedding model before training",
        lambda parts: SearchSystem(parts.dense_base, embed_model=parts.base_embed_model),
    ),
    "dense": ("the embedding model", _dense),
    "dense+rerank": (
        "the embedding model, reordered by the cross-encoder",
        lambda parts: _reranked(parts.dense, parts.reranker, parts.embed_model),
    ),
    "rrf-equal": ("bm25 and dense by reciprocal rank fusion of equal weights", _equal_rrf),
    "hybrid": ("lexical and dense, convex, default weights", lambda parts: SearchSystem(_hybrid(parts))),
    "hybrid-fitted": (
        "lexical and dense, convex, weights fitted on held-out questions of the training split",
        lambda parts: SearchSystem(_fitted_hybrid(parts)),
    ),
    "hybrid+ltr": (
        "the hybrid, reordered by the ranker that ships",
        lambda parts: SearchSystem(_hybrid(parts), [_ranker(parts)]),
    ),
    "hybrid+rerank": (
        "the hybrid, reordered by the cross-encoder",
        lambda parts: _reranked(_hybrid(parts), parts.reranker),
    ),
    "hybrid+rerank-base": (
        "the hybrid, reordered by the cross-encoder before it was trained further",
        lambda parts: _reranked(_hybrid(parts), parts.base_reranker),
    ),
}
"""Every system by name, with what it is and how it is made."""


def build_systems(names: Sequence[str], parts: SystemParts) -> dict[str, SearchSystem]:
    """Make systems by name.

    Raises:
        InvalidSetting: A name is unknown, or a system needs a model that `parts` lacks.
        MissingExtra: A system needs a library that is not installed.
    """
    check_names(names)
    return {name: SYSTEMS[name][1](parts) for name in names}


def check_names(names: Sequence[str]) -> None:
    """Raise `InvalidSetting` where a system is unknown or none is named."""
    if not names:
        raise InvalidSetting(f"no system is named; known: {', '.join(SYSTEMS)}")
    for name in names:
        if name not in SYSTEMS:
            raise InvalidSetting(f"no system is called {name!r}; {nearest(name, SYSTEMS)}")
