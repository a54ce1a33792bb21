"""Hybrid retriever: several retrievers run side by side, their results fused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Literal

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.retrieve.fusion import (
    FusedHit,
    Normalization,
    check_normalization,
    check_weights,
    convex_combination,
    reciprocal_rank_fusion,
)
from llama_index_ko_rerank.text.normalize import check_query
from llama_index_ko_rerank.types import RankedNode, SourceHit, sources_of

Fusion = Literal["convex", "rrf"]
DEFAULT_WEIGHTS: dict[str, float] = {"lexical": 0.95, "dense": 0.05}
"""Weights of Korean lexical search and an embedding when none were fitted.

So small a share of the embedding decides where lexical scores are nearly equal or nothing matches, and does no harm
where the embedding is weak. With a static embedding trained on the other half of the questions (Hit@1 .581 alone) the
hybrid finds .934 first on KorQuAD `tune`, as lexical search alone does; at 0.1 it would be .933, at 0.2 .926, at 0.5
.840. On the sample's `train` split it finds .664 first, lexical search alone .659. A strong embedding deserves more:
fit the weights.
"""
_FUSIONS = ("convex", "rrf")


class HybridRetriever(BaseRetriever):
    """Fusion of several retrievers, which run at the same time.

    Each result is a `RankedNode`: its `sources` hold the rank and the score that each retriever gave it. Retrievers run
    in threads when called from `retrieve` and as coroutines when called from `aretrieve`. A node found by several
    retrievers is one result, recognised by its id.

    Args:
        retrievers: The retrievers by name, the most trusted first: ties keep its order.
        weights: Weight by retriever name, >= 0, as `fit_weights` returns them; a retriever of weight 0 is not called.
            Defaults to equal weights, which is only a fallback: with a weak retriever they cost more than it brings. On
            KorQuAD an equal-weight RRF of BM25 and a static embedding finds the passage first for 9 of 100 questions
            fewer than BM25 alone.
        fusion: ``convex``, the weighted mean of normalised scores, or ``rrf``, weighted reciprocal ranks.
        normalizations: Normalisation by retriever name, for ``convex``. Defaults to ``min-max``.
        similarity_top_k: Most nodes returned for a query. How deep each retriever looks is its own `similarity_top_k`:
            with 50 to 100 there a passage is not lost for want of the other's score.
        rrf_k: Constant of reciprocal rank fusion, >= 0.
        callback_manager: LlamaIndex's callbacks.
        verbose: Whether LlamaIndex prints each retrieval.

    Raises:
        InvalidSetting: There are no retrievers, a weight names no retriever or is negative, a name is unknown, or a
            number is out of range.
    """

    def __init__(
        self,
        retrievers: Mapping[str, BaseRetriever],
        *,
        weights: Mapping[str, float] | None = None,
        fusion: Fusion = "convex",
        normalizations: Mapping[str, Normalization] | None = None,
        similarity_top_k: int = 10,
        rrf_k: int = 60,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        if fusion not in _FUSIONS:
            raise InvalidSetting(f"no fusion is called {fusion!r}; {nearest(fusion, _FUSIONS)}")
        if similarity_top_k < 1:
            raise InvalidSetting(f"similarity_top_k must be 1 or more, not {similarity_top_k}")
        if rrf_k < 0:
            raise InvalidSetting(f"rrf_k must be 0 or more, not {rrf_k}")
        for name in {*(weights or {}), *(normalizations or {})} - set(retrievers):
            raise InvalidSetting(f"no retriever is called {name!r}; {nearest(name, retrievers)}")
        self.retrievers = dict(retrievers)
        in_order = None if weights is None else [weights.get(name, 0.0) for name in retrievers]
        self.weights = dict(zip(retrievers, check_weights(in_order, len(retrievers)), strict=True))
        self.normalizations: dict[str, Normalization] = dict.fromkeys(retrievers, "min-max")
        self.normalizations |= normalizations or {}
        for normalization in self.normalizations.values():
            check_normalization(normalization)
        self.fusion: Fusion = fusion
        self.similarity_top_k = similarity_top_k
        self.rrf_k = rrf_k
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    @classmethod
    def from_defaults(
        cls,
        lexical: BaseRetriever,
        dense: BaseRetriever,
        *,
        weights: Mapping[str, float] | None = None,
        fusion: Fusion = "convex",
        normalizations: Mapping[str, Normalization] | None = None,
        similarity_top_k: int = 10,
        rrf_k: int = 60,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> HybridRetriever:
        """Join Korean lexical search and an embedding, with weights that need no data to fit them on.

        Args:
            lexical: Retriever named ``lexical``, as a rule a `KoreanBM25Retriever`.
            dense: Retriever named ``dense``, any over vectors.
            weights: Weight by retriever name. Defaults to `DEFAULT_WEIGHTS`.
            fusion: As for the class, like all that follow.
            normalizations: See the class.
            similarity_top_k: See the class.
            rrf_k: See the class.
            callback_manager: See the class.
            verbose: See the class.
        """
        return cls(
            {"lexical": lexical, "dense": dense},
            weights=DEFAULT_WEIGHTS if weights is None else weights,
            fusion=fusion,
            normalizations=normalizations,
            similarity_top_k=similarity_top_k,
            rrf_k=rrf_k,
            callback_manager=callback_manager,
            verbose=verbose,
        )

    def fuse(self, scores: Mapping[str, Mapping[str, float]]) -> list[FusedHit]:
        """Merge scores by node id, one mapping by retriever name, with this retriever's weights."""
        weights = [self.weights[name] for name in scores]
        if self.fusion == "rrf":
            return reciprocal_rank_fusion([list(ids) for ids in scores.values()], weights=weights, k=self.rrf_k)
        normalizations = [self.normalizations[name] for name in scores]
        return convex_combination(list(scores.values()), weights=weights, normalizations=normalizations)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        check_query(query_bundle.query_str)
        active = self._active()
        if len(active) == 1:
            return self._merge({name: one.retrieve(_without_vector(query_bundle)) for name, one in active.items()})
        with ThreadPoolExecutor(len(active)) as pool:
            # Each retriever gets the caller's context, in which LlamaIndex keeps the tags and spans of a trace.
            runs = {
                name: pool.submit(copy_context().run, one.retrieve, _without_vector(query_bundle))
                for name, one in active.items()
            }
            return self._merge({name: run.result() for name, run in runs.items()})

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        check_query(query_bundle.query_str)
        active = self._active()
        found = await asyncio.gather(*(one.aretrieve(_without_vector(query_bundle)) for one in active.values()))
        return self._merge(dict(zip(active, found, strict=True)))

    def _active(self) -> dict[str, BaseRetriever]:
        return {name: one for name, one in self.retrievers.items() if self.weights[name] > 0}

    def _merge(self, found: Mapping[str, Sequence[NodeWithScore]]) -> list[NodeWithScore]:
        unique = {name: _without_repeats(results) for name, results in found.items()}
        nodes: dict[str, NodeWithScore] = {}
        sources: dict[str, dict[str, SourceHit]] = {}
        for name, results in unique.items():
            for rank, result in enumerate(results, start=1):
                identity = result.node.node_id
                nodes.setdefault(identity, result)
                hits = sources.setdefault(identity, {})
                hits |= sources_of(result)
                hits[name] = SourceHit(rank=rank, score=float(result.score or 0.0))
        scores = {
            name: {result.node.node_id: float(result.score or 0.0) for result in results}
            for name, results in unique.items()
        }
        return [
            RankedNode(node=nodes[hit.id].node, score=hit.score, sources=sources[hit.id])
            for hit in self.fuse(scores)[: self.similarity_top_k]
        ]


def _without_vector(query_bundle: QueryBundle) -> QueryBundle:
    """Copy a query without its vector: a bundle keeps the first model's, which is wrong for another retriever."""
    return QueryBundle(query_bundle.query_str, custom_embedding_strs=query_bundle.custom_embedding_strs)


def _without_repeats(results: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    """Keep only the first result of each node id."""
    first: dict[str, NodeWithScore] = {}
    for result in results:
        first.setdefault(result.node.node_id, result)
    return list(first.values())
