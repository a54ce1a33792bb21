"""One retriever over several legs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Literal

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
from llama_index_ko_rerank.types import RankedNode, SourceHit, legs_of

Fusion = Literal["convex", "rrf"]
DEFAULT_WEIGHTS: dict[str, float] = {"lexical": 0.95, "dense": 0.05}
"""What Korean lexical search and an embedding weigh where nothing was fitted.

So small a share of the embedding decides where the words leave passages nearly equal or find none, and does no harm
where the embedding is weak. With a static embedding trained on the other half of the questions (Hit@1 .581 alone) the
hybrid finds .934 first on KorQuAD `tune`, as lexical search alone does; at 0.1 it would be .933, at 0.2 .926, at 0.5
.840. On the sample's `train` split it finds .664 first, lexical search alone .659. A strong embedding deserves more:
fit the weights.
"""
_FUSIONS = ("convex", "rrf")


class HybridRetriever(BaseRetriever):
    """Asks several retrievers at once and merges what they find.

    Each result is a `RankedNode`: its `legs` say at which rank and with which score each leg found it. The legs run
    side by side, in threads when called from `retrieve` and as coroutines when called from `aretrieve`. One node found
    by several legs is one result, recognised by its id.

    Args:
        legs: The retrievers by name, the most trusted first: ties keep its order.
        weights: One weight a leg by name, as `fit_weights` returns them; 0 leaves a leg out and does not ask it. Equal
            where None, which is only a fallback: with a weak leg it costs more than the leg brings. On KorQuAD an
            equal-weight RRF of BM25 and a static embedding finds the passage first for 9 of 100 questions fewer than
            BM25 alone.
        fusion: ``convex``, the weighted mean of normalised scores, or ``rrf``, weighted reciprocal ranks.
        normalizations: For ``convex``, by leg; ``min-max`` where not named.
        similarity_top_k: How many nodes at most a question gets. How deep each leg looks is the leg's own
            `similarity_top_k`: with 50 to 100 there a passage is not lost for want of the other leg.
        rrf_k: The constant of reciprocal rank fusion.

    Raises:
        InvalidSetting: There are no legs, a weight names no leg or is negative, a name is unknown, or a number is out
            of range.
    """

    def __init__(
        self,
        legs: Mapping[str, BaseRetriever],
        weights: Mapping[str, float] | None = None,
        *,
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
        for name in {*(weights or {}), *(normalizations or {})} - set(legs):
            raise InvalidSetting(f"no leg is called {name!r}; {nearest(name, legs)}")
        self.legs = dict(legs)
        values = check_weights([weights.get(name, 0.0) for name in legs] if weights is not None else None, len(legs))
        self.weights = dict(zip(legs, values, strict=True))
        self.normalizations: dict[str, Normalization] = dict.fromkeys(legs, "min-max")
        self.normalizations |= normalizations or {}
        for normalization in self.normalizations.values():
            check_normalization(normalization)
        self.fusion: Fusion = fusion
        self.similarity_top_k = similarity_top_k
        self.rrf_k = rrf_k
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    @classmethod
    def of(
        cls, lexical: BaseRetriever, dense: BaseRetriever, *, similarity_top_k: int = 10, **settings: Any
    ) -> HybridRetriever:
        """Join Korean lexical search and an embedding with `DEFAULT_WEIGHTS`, for when there is no data to fit them on.

        Args:
            lexical: A `KoreanBM25Retriever`, as a rule.
            dense: Any retriever over vectors.
            similarity_top_k: How many nodes at most a question gets.
            settings: Any other setting of the class.
        """
        legs = {"lexical": lexical, "dense": dense}
        return cls(legs, settings.pop("weights", DEFAULT_WEIGHTS), similarity_top_k=similarity_top_k, **settings)

    def _asked(self) -> list[str]:
        return [name for name, weight in self.weights.items() if weight > 0]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        check_query(query_bundle.query_str)
        names = self._asked()
        if len(names) == 1:
            return self._merge({names[0]: self.legs[names[0]].retrieve(_fresh(query_bundle))})
        with ThreadPoolExecutor(len(names)) as pool:
            # Each leg gets the caller's context, in which LlamaIndex keeps the tags and spans of a trace.
            runs = {
                name: pool.submit(copy_context().run, self.legs[name].retrieve, _fresh(query_bundle)) for name in names
            }
            return self._merge({name: run.result() for name, run in runs.items()})

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        check_query(query_bundle.query_str)
        names = self._asked()
        found = await asyncio.gather(*(self.legs[name].aretrieve(_fresh(query_bundle)) for name in names))
        return self._merge(dict(zip(names, found, strict=True)))

    def _merge(self, found: Mapping[str, Sequence[NodeWithScore]]) -> list[NodeWithScore]:
        unique = {name: _once(results) for name, results in found.items()}
        nodes: dict[str, NodeWithScore] = {}
        legs: dict[str, dict[str, SourceHit]] = {}
        for name, results in unique.items():
            for rank, result in enumerate(results, start=1):
                identity = result.node.node_id
                nodes.setdefault(identity, result)
                seen = legs.setdefault(identity, {})
                seen |= legs_of(result)
                seen[name] = SourceHit(rank=rank, score=float(result.score or 0.0))
        return [
            RankedNode(node=nodes[hit.id].node, score=hit.score, legs=legs[hit.id])
            for hit in self.fuse({name: _scores(results) for name, results in unique.items()})[: self.similarity_top_k]
        ]

    def fuse(self, found: Mapping[str, Mapping[str, float]]) -> list[FusedHit]:
        """Merge the scores that the legs gave, by id, with this retriever's weights."""
        weights = [self.weights[name] for name in found]
        if self.fusion == "rrf":
            return reciprocal_rank_fusion([list(scores) for scores in found.values()], weights=weights, k=self.rrf_k)
        normalizations = [self.normalizations[name] for name in found]
        return convex_combination(list(found.values()), weights=weights, normalizations=normalizations)


def _fresh(query_bundle: QueryBundle) -> QueryBundle:
    """Copy a question without its vector: a bundle keeps the first model's vector, which is wrong for another leg."""
    return QueryBundle(query_bundle.query_str, custom_embedding_strs=query_bundle.custom_embedding_strs)


def _once(results: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    """Keep a node that a leg returns twice at its first place only."""
    first: dict[str, NodeWithScore] = {}
    for result in results:
        first.setdefault(result.node.node_id, result)
    return list(first.values())


def _scores(results: Sequence[NodeWithScore]) -> dict[str, float]:
    return {result.node.node_id: float(result.score or 0.0) for result in results}
