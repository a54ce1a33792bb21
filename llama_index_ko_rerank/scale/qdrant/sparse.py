"""Passages and questions as sparse vectors, whose inner product is BM25 once Qdrant has multiplied the idf in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.text.kiwi import UserWord
from llama_index_ko_rerank.text.tokenizers import BigramTokenizer, LexicalTokenizer, MorphemeTokenizer

VIEWS = ("morphemes", "bigrams")
"""The names of the sparse vectors; each is one lexical view."""


@lru_cache(maxsize=2**18)
def token_number(token: str) -> int:
    """Number a token by 32 bits of its BLAKE2b hash, the same everywhere and with no vocabulary to keep.

    Two tokens of one number count as one token. Of a million different tokens 233 meet another, so that one in 4,300
    weighs a little less than it should and is found where the other stands.

    >>> token_number("연차") == token_number("연차"), token_number("연차") < 2**32
    (True, True)
    """
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=4).digest(), "big")


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How often one passage holds each token.

    Attributes:
        numbers: uint32 of shape (tokens,), each once, ascending.
        counts: int32 of the same shape.
    """

    numbers: NDArray[np.uint32]
    counts: NDArray[np.int32]

    @classmethod
    def of(cls, tokens: Iterable[str]) -> TokenCounts:
        """Count tokens."""
        counted = sorted(Counter(map(token_number, tokens)).items())
        return cls(
            np.fromiter((number for number, _ in counted), np.uint32, len(counted)),
            np.fromiter((count for _, count in counted), np.int32, len(counted)),
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> TokenCounts:
        """Read what `to_bytes` wrote."""
        half = len(content) // 2
        return cls(np.frombuffer(content[:half], np.uint32), np.frombuffer(content[half:], np.int32))

    def to_bytes(self) -> bytes:
        """Write the numbers and then the counts, for another process."""
        return self.numbers.tobytes() + self.counts.tobytes()

    @property
    def length(self) -> int:
        """How many tokens the passage has, repeats included."""
        return int(self.counts.sum())


class SparseEncoder:
    """Makes the sparse vectors of both views.

    Args:
        mean_lengths: The mean number of tokens of a passage in each view, as `mean_lengths_of` finds it. BM25 measures
            each passage against it, so it is fixed when a collection is built and recorded with it.
        user_words: Words of the user's own for Kiwi.
        settings: BM25's constants.

    Raises:
        InvalidSetting: A mean length is missing or not above 0, or a user word is none.

    The formula is that of `retrieve.inverted_index.InvertedIndex` without idf: ``tf / (tf + k1 * (1 - b + b * length /
    mean length))`` in a passage, and a token's count in a question. Qdrant's modifier ``idf`` multiplies the question
    by ``ln(1 + (N - df + 0.5) / (df + 0.5))``, which is the idf of `InvertedIndex`.
    """

    def __init__(
        self,
        mean_lengths: Mapping[str, float],
        *,
        user_words: Sequence[UserWord] = (),
        settings: BM25Settings | None = None,
    ) -> None:
        for view in VIEWS:
            if not mean_lengths.get(view, 0) > 0:
                raise InvalidSetting(
                    f"the mean length of the view {view!r} is above 0, not {mean_lengths.get(view)!r}; measure it over "
                    "the collection or a sample of it with mean_lengths_of"
                )
        self.mean_lengths = {view: float(mean_lengths[view]) for view in VIEWS}
        self.settings = settings or BM25Settings()
        self.morphemes = MorphemeTokenizer(user_words)
        self.bigrams = BigramTokenizer()

    @property
    def identity(self) -> dict[str, str]:
        """The identity of each view's tokenizer."""
        return {"morphemes": self.morphemes.identity, "bigrams": self.bigrams.identity}

    def norm(self, view: str, length: int) -> float:
        """Return what a token's count is divided by beside the count itself, for a passage of this many tokens."""
        k1, b = self.settings.k1, self.settings.b
        return k1 * (1 - b + b * length / self.mean_lengths[view])

    def passage(self, view: str, counts: TokenCounts) -> models.SparseVector:
        """Return the vector of a passage in one view."""
        values = counts.counts / (counts.counts + self.norm(view, counts.length))
        return models.SparseVector(indices=counts.numbers.tolist(), values=values.tolist())

    def query_tokens(self, query: str) -> dict[str, list[str]]:
        """Return the question's tokens in each view."""
        tokenizers: dict[str, LexicalTokenizer] = {"morphemes": self.morphemes, "bigrams": self.bigrams}
        return {view: tokenizers[view].query_tokens(query) for view in VIEWS}

    def question(self, query: str) -> dict[str, models.SparseVector]:
        """Return the question's vectors, of the views in which it has a token."""
        return {view: question_vector(tokens) for view, tokens in self.query_tokens(query).items() if tokens}


def question_vector(tokens: Iterable[str]) -> models.SparseVector:
    """Return a question's vector in one view; a token that it repeats counts each time."""
    counts = TokenCounts.of(tokens)
    return models.SparseVector(indices=counts.numbers.tolist(), values=counts.counts.astype(float).tolist())


def count_texts(texts: Sequence[str], user_words: Sequence[UserWord] = ()) -> dict[str, list[TokenCounts]]:
    """Count the tokens of texts in both views, in one pass of Kiwi.

    Raises:
        InvalidText: A text holds lone surrogates.
    """
    morphemes, bigrams = MorphemeTokenizer(user_words), BigramTokenizer()
    return {
        "morphemes": [TokenCounts.of(tokens) for tokens in morphemes.tokens(texts)],
        "bigrams": [TokenCounts.of(tokens) for tokens in bigrams.tokens(texts)],
    }


def mean_lengths_of(counts: Mapping[str, Sequence[TokenCounts]]) -> dict[str, float]:
    """Return the mean number of tokens of a passage in each view; 1 where no passage has any."""
    return {view: (sum(one.length for one in rows) / max(len(rows), 1)) or 1.0 for view, rows in counts.items()}
