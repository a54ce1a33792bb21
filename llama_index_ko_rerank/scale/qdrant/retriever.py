"""Korean search by words at Qdrant, as a LlamaIndex retriever."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters
from numpy.typing import NDArray
from qdrant_client import models

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.lru_cache import LRUCache
from llama_index_ko_rerank.retrieve.lexical_index import ANALYZERS
from llama_index_ko_rerank.scale.qdrant.filters import restriction
from llama_index_ko_rerank.scale.qdrant.points import from_payload
from llama_index_ko_rerank.scale.qdrant.sparse import token_number
from llama_index_ko_rerank.scale.qdrant.vector_store import KoreanQdrantVectorStore
from llama_index_ko_rerank.store.filters import compile_filters
from llama_index_ko_rerank.text.normalize import check_query
from llama_index_ko_rerank.text.tokenizers import PassageStream
from llama_index_ko_rerank.types import RankedNode, SourceHit

_WEIGHT = 1 / len(ANALYZERS)
_FEWEST_CANDIDATES = 100
_CANDIDATES_A_RESULT = 4


@dataclass(slots=True)
class _Found:
    """The best points of one view.

    Attributes:
        scores: Their scores by id, best first.
        best: The largest score in the collection.
        floor: The most that a point can have which is not among them.
        ranks: Their ranks by id, from 1; equal scores share one.
    """

    scores: dict[str, float]
    best: float
    floor: float
    ranks: dict[str, int]

    @classmethod
    def of(cls, points: Sequence[models.ScoredPoint], first: Sequence[models.ScoredPoint], limit: int) -> _Found:
        scores = {str(point.id): point.score for point in points}
        ranks: dict[str, int] = {}
        for place, (identity, score) in enumerate(scores.items(), start=1):
            before = next(reversed(ranks), None)
            ranks[identity] = ranks[before] if before is not None and scores[before] == score else place
        best = max((point.score for point in (*first, *points)), default=0.0)
        return cls(scores, best, min(scores.values()) if len(scores) >= limit else 0.0, ranks)


class KoreanQdrantRetriever(BaseRetriever):
    """Finds passages by the words they share with the question, as `KoreanBM25Retriever` does, at Qdrant.

    Qdrant scores both lexical views by its sparse vectors; their scores are combined here as `LexicalIndex.combine`
    does it, each divided by its largest, in equal parts. Of each view the first 100 passages are candidates, or four
    times as many as are asked for; a passage that one view leaves out of its list is scored by a second request where
    it could still be among the results. A passage beyond both lists is not found.

    Each result is a `RankedNode` whose sources are the analyzers; an analyzer in whose list it is not is no
    source. Equal scores go by Qdrant's id.

    Args:
        source: What `build_qdrant_index` or `open_qdrant_index` returned, or its store.
        similarity_top_k: How many nodes at most a question gets.
        filters: Only nodes whose metadata pass are found; see `restriction`.

    Raises:
        InvalidSetting: The index does not stand on a `KoreanQdrantVectorStore`, or a number is out of range.
        UnsupportedQuery, InvalidFilter: Filters that cannot be applied.
        QdrantUnavailable: The server does not answer; on use.
    """

    def __init__(
        self,
        source: VectorStoreIndex | KoreanQdrantVectorStore,
        *,
        similarity_top_k: int = 10,
        filters: MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        store = source.vector_store if isinstance(source, VectorStoreIndex) else source
        if not isinstance(store, KoreanQdrantVectorStore):
            raise InvalidSetting(
                f"search by words at Qdrant needs a KoreanQdrantVectorStore, not {type(store).__name__}; open one with "
                "open_qdrant_index, or use KoreanBM25Retriever"
            )
        if similarity_top_k < 1:
            raise InvalidSetting(f"similarity_top_k must be 1 or more, not {similarity_top_k}")
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self._store = store
        restriction(compile_filters(filters))
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vectors = self._store.encoder.question(check_query(query_bundle.query_str))
        selected = restriction(compile_filters(self.filters))
        limit = max(_FEWEST_CANDIDATES, _CANDIDATES_A_RESULT * self.similarity_top_k)
        searches = [(view, vector, limit, selected) for view, vector in vectors.items()]
        # The best passage of all sets the scale, also where it does not pass the filters.
        unfiltered = [(view, vector, 1, None) for view, vector in vectors.items()] if selected else []
        answers = self._store.collection.matching([*searches, *unfiltered])
        firsts = answers[len(searches) :] or [[] for _ in searches]
        found = {
            view: _Found.of(points, first, limit)
            for view, points, first in zip(vectors, answers[: len(searches)], firsts, strict=True)
        }
        self._complete(found, vectors)
        order = sorted(_combined(found).items(), key=lambda item: (-item[1], item[0]))[: self.similarity_top_k]
        payloads = self._store.collection.retrieve([identity for identity, _ in order])
        return [
            RankedNode(node=from_payload(payloads[identity]), score=score, sources=_legs(found, identity))
            for identity, score in order
            if identity in payloads
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _complete(self, found: Mapping[str, _Found], vectors: Mapping[str, models.SparseVector]) -> None:
        """Ask for the scores that a view's list lacks, of the points that could be among the results with them."""
        lacking = _lacking(found, self.similarity_top_k)
        searches = [
            (view, vectors[view], len(ids), models.Filter(must=[models.HasIdCondition(has_id=list(ids))]))
            for view, ids in lacking.items()
            if ids
        ]
        for (view, *_), points in zip(searches, self._store.collection.matching(searches), strict=True):
            found[view].scores.update({str(point.id): point.score for point in points})


def _lacking(found: Mapping[str, _Found], top_k: int) -> dict[str, list[str]]:
    """Find the points of each view that it did not list and that could be among the first `top_k`.

    A point that a view did not list has at most the view's floor there, and at least 0. Where the most that it can
    have is less than what the first `top_k` have at least, it is none of them.
    """
    least = _combined(found)
    in_order = sorted(least.values(), reverse=True)
    needed = in_order[top_k - 1] if len(in_order) >= top_k else 0.0
    most = {
        identity: score
        + sum(_weight(found, view) * one.floor for view, one in found.items() if identity not in one.scores)
        for identity, score in least.items()
    }
    return {
        view: [identity for identity in least if identity not in one.scores and one.floor and most[identity] >= needed]
        for view, one in found.items()
    }


def _combined(found: Mapping[str, _Found]) -> dict[str, float]:
    """Add up the views' scores, each divided by its largest and weighed; what a view did not list counts 0 there."""
    combined: dict[str, float] = {}
    for view, one in found.items():
        weight = _weight(found, view)
        for identity, score in one.scores.items():
            combined[identity] = combined.get(identity, 0.0) + weight * score
    return combined


def _weight(found: Mapping[str, _Found], view: str) -> float:
    return _WEIGHT / max(found[view].best, 1e-9)


def _legs(found: Mapping[str, _Found], identity: str) -> dict[str, SourceHit]:
    return {
        view: SourceHit(rank=one.ranks[identity], score=one.scores[identity])
        for view, one in found.items()
        if identity in one.ranks
    }


_REMEMBERED = 200_000


class QdrantStatistics:
    """The `LexicalStatistics` of a collection at Qdrant, for `LearningToRankPostprocessor.from_index`.

    Nothing is kept beside the collection that could grow old. A token's idf is read off Qdrant's own scores: a search
    for the token alone scores its best passage by idf times the weight that stands in the passage's vector. The answers
    are remembered until the number of nodes changes. The candidates themselves are analysed on the spot, as nodes that
    an index does not hold are, so that a new candidate costs one pass of Kiwi over its text.

    Args:
        source: What `build_qdrant_index` or `open_qdrant_index` returned, or its store.

    Raises:
        InvalidSetting: The index does not stand on a `KoreanQdrantVectorStore`.
        QdrantUnavailable: The server does not answer; on use.
    """

    def __init__(self, source: VectorStoreIndex | KoreanQdrantVectorStore) -> None:
        store = source.vector_store if isinstance(source, VectorStoreIndex) else source
        if not isinstance(store, KoreanQdrantVectorStore):
            raise InvalidSetting(
                f"the statistics are those of a KoreanQdrantVectorStore, not {type(store).__name__}; of a "
                "KoreanBM25Retriever they are its lexical_index"
            )
        self._store = store
        self._encoder = store.encoder
        self._lock = threading.RLock()
        self._count = -1
        self._idf: LRUCache[tuple[str, int], float] = LRUCache(_REMEMBERED)
        self.morphemes = self._encoder.morphemes
        self.bigrams = self._encoder.bigrams
        self.positions: dict[str, int] = {}

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held while the features of a question are computed."""
        return self._lock

    @property
    def identity(self) -> Mapping[str, str]:
        """The identity of each view's tokenizer."""
        return self._encoder.identity

    def stream(self, position: int) -> PassageStream:
        """Refuse: no passage has a position here, so that each candidate is analysed on the spot."""
        raise InvalidSetting(f"a collection at Qdrant has no passage at position {position}")

    def scores_at(self, query: str, positions: Sequence[int]) -> Mapping[str, NDArray[np.float32]]:
        """Refuse, as `stream` does."""
        raise InvalidSetting(f"a collection at Qdrant has no passages at the positions {list(positions)} for {query!r}")

    def scores_for_unindexed(
        self, query: str, documents: Mapping[str, Sequence[Sequence[str]]]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the BM25 scores of passages in every view, given their tokens; for a candidate Qdrant's own scores."""
        scores = {}
        for view, tokens in self._encoder.query_tokens(query).items():
            idf = self.idf(view, tokens)
            rows = [self._shares(view, tokens, document) for document in documents[view]]
            scores[view] = np.array([float(idf @ row) for row in rows], np.float32)
        return scores

    def query_tokens(self, query: str) -> Mapping[str, list[str]]:
        """Return the question's tokens in each view."""
        return self._encoder.query_tokens(query)

    def idf(self, view: str, tokens: Sequence[str]) -> NDArray[np.float32]:
        """Return the inverse document frequency of each token, of an unknown one that of a token in no passage."""
        self._forget_if_changed()
        keys = {token: (view, token_number(token)) for token in tokens}
        known = self._idf.get_all(list(keys.values()))
        missing = list(dict.fromkeys(key for key in keys.values() if key not in known))
        searches = [(view, models.SparseVector(indices=[number], values=[1.0]), 1, None) for _, number in missing]
        answers = self._store.collection.matching(searches, with_vectors=True)
        for key, points in zip(missing, answers, strict=True):
            known[key] = _idf_of(points, key) if points else math.log1p((self._count + 0.5) / 0.5)
            self._idf.put(key, known[key])
        return np.array([known[keys[token]] for token in tokens], np.float32)

    def morpheme_ids(self, forms: Sequence[str]) -> Sequence[int | None]:
        """Number no morpheme: candidates and question alike are numbered by the hash of the form."""
        return [None] * len(forms)

    def _shares(self, view: str, tokens: Sequence[str], document: Sequence[str]) -> NDArray[np.float32]:
        counts = Counter(document)
        norm = self._encoder.norm(view, len(document))
        found = np.array([counts[token] for token in tokens], np.float32)
        shares: NDArray[np.float32] = found / np.maximum(found + np.float32(norm), np.float32(1e-9))
        return shares

    def _forget_if_changed(self) -> None:
        count = self._store.collection.size()
        if count != self._count:
            self._idf.clear()
            self._count = count


def _idf_of(points: Sequence[models.ScoredPoint], key: tuple[str, int]) -> float:
    """Divide the score of a token's best passage by the token's weight in it."""
    view, number = key
    best = points[0]
    vector = best.vector[view] if isinstance(best.vector, dict) else None
    assert isinstance(vector, models.SparseVector), "asked for with its sparse vector"
    return float(best.score / vector.values[vector.indices.index(number)])
