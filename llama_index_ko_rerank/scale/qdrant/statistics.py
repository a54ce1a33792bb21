"""What the learning-to-rank features read of a collection at Qdrant."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from llama_index.core import VectorStoreIndex
from numpy.typing import NDArray
from qdrant_client import models

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.lru_cache import LRUCache
from llama_index_ko_rerank.rerank.ltr.statistics import PassageStream
from llama_index_ko_rerank.scale.qdrant.sparse import token_number
from llama_index_ko_rerank.scale.qdrant.vector_store import KoreanQdrantVectorStore

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
