"""What the learning-to-rank features read of a lexical index, without the rooms knowing each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.text.tokenizers import BigramTokenizer, MorphemeTokenizer, PassageStream

MORPHEMES = "morphemes"
BIGRAMS = "bigrams"


class LexicalStatistics(Protocol):
    """A lexical index with both views, as `retrieve.lexical_index.LexicalIndex` is one.

    `positions` says which passages it holds, by node id. Everything is read while `lock` is held, so that another
    thread may add and delete.
    """

    morphemes: MorphemeTokenizer
    bigrams: BigramTokenizer
    positions: dict[str, int]

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held by whatever changes the index."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """The identity of each view's tokenizer."""
        ...

    def stream(self, position: int) -> PassageStream:
        """Return the content morphemes of a passage."""
        ...

    def scores_at(self, query: str, positions: Sequence[int]) -> Mapping[str, NDArray[np.float32]]:
        """Return the BM25 scores of some passages in every view."""
        ...

    def scores_for_unindexed(
        self, query: str, documents: Mapping[str, Sequence[Sequence[str]]]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the BM25 scores, in every view, that passages would have that are not in the index."""
        ...

    def query_tokens(self, query: str) -> Mapping[str, list[str]]:
        """Return the question's tokens in each view."""
        ...

    def idf(self, view: str, tokens: Sequence[str]) -> NDArray[np.float32]:
        """Return the inverse document frequency of each token of a view."""
        ...

    def morpheme_ids(self, forms: Sequence[str]) -> Sequence[int | None]:
        """Return the id of each morpheme, None for those that the index has never seen."""
        ...


def stable_ids(forms: Sequence[str], statistics: LexicalStatistics) -> NDArray[np.int64]:
    """Number morphemes by the index, those that it has never seen by a hash of theirs, below 0."""
    known = statistics.morpheme_ids(forms)
    return np.array([_hashed(form) if i is None else i for form, i in zip(forms, known, strict=True)], np.int64)


def _hashed(form: str) -> int:
    return -1 - int.from_bytes(hashlib.blake2b(form.encode(), digest_size=7).digest(), "big")
