"""BM25 over token counts: an inverted index that can grow and shrink."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_matrix

from llama_index_ko_rerank.errors import InvalidSetting


class RaggedArray:
    """Rows of unequal length, kept as flat arrays side by side with one array of row starts.

    Args:
        dtypes: The type of each column; every row has one value in each column for each of its items.
    """

    def __init__(self, *dtypes: DTypeLike) -> None:
        self.columns: list[NDArray[Any]] = [np.zeros(0, dtype) for dtype in dtypes]
        self.pointers: NDArray[np.int64] = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return len(self.pointers) - 1

    def append(self, rows: Sequence[tuple[NDArray[Any], ...]]) -> None:
        """Append rows, each with one array a column."""
        if not rows:
            return
        for number, column in enumerate(self.columns):
            added = [np.asarray(row[number]).astype(column.dtype, copy=False) for row in rows]
            self.columns[number] = np.concatenate([column, *added])
        lengths = np.cumsum([len(row[0]) for row in rows], dtype=np.int64)
        self.pointers = np.concatenate([self.pointers, self.pointers[-1] + lengths])

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows where the mask (one value a row) is False; the others move up."""
        sizes = np.diff(self.pointers)
        items = np.repeat(mask, sizes)
        self.columns = [column[items] for column in self.columns]
        self.pointers = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[mask])])

    def row(self, number: int) -> tuple[NDArray[Any], ...]:
        """Return the columns of one row, as views."""
        items = slice(self.pointers[number], self.pointers[number + 1])
        return tuple(column[items] for column in self.columns)

    def take(self, numbers: Sequence[int]) -> tuple[NDArray[np.intp], list[NDArray[Any]]]:
        """Return the columns of some rows end to end, and for each item the index of its row among `numbers`."""
        rows = [slice(self.pointers[number], self.pointers[number + 1]) for number in numbers]
        owners = np.repeat(np.arange(len(rows)), [row.stop - row.start for row in rows])
        if not rows:
            return owners, [column[:0] for column in self.columns]
        return owners, [np.concatenate([column[row] for row in rows]) for column in self.columns]


@dataclass(frozen=True, slots=True)
class BM25Settings:
    """The two constants of BM25.

    Attributes:
        k1: How slowly repeats of a token stop counting, >= 0.
        b: How much a long passage is marked down, 0-1.

    Raises:
        InvalidSetting: A constant is out of its range.

    A repeat tells less in Korean passages of a few sentences than the usual constants assume. Both views together find
    the passage first for .934 of the questions of KorQuAD `tune` with the defaults, .926 with Anserini's 0.9 and 0.4;
    for .828 against .771 of questions made from 10,000 statutes and .789 against .755 from technical documentation.
    """

    k1: float = 0.5
    b: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.k1 < math.inf:
            raise InvalidSetting(f"k1 must be a number of 0 or more, not {self.k1}")
        if not 0 <= self.b <= 1:
            raise InvalidSetting(f"b must be between 0 and 1, not {self.b}")


@dataclass(frozen=True, slots=True)
class _Weights:
    """The BM25 weight of each token in each passage, by token."""

    pointers: NDArray[np.int32]
    passages: NDArray[np.int32]
    values: NDArray[np.float32]
    idf: NDArray[np.float32]
    norms: NDArray[np.float32]
    mean_length: float


class InvertedIndex:
    """Which passage holds which token how often, and the BM25 scores that follow.

    The counts are kept by passage, so that adding appends and deleting drops rows; the weights by token are made from
    them when they are next needed, in one vectorised step. `bm25s` has no such step and gives the same scores
    (a test holds them together); building both views over 186,223 articles took it minutes of Python loops.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, in Lucene's variant (Kamphuis et al.,
    "Which BM25 do you mean?", ECIR 2020): ``idf = ln(1 + (N - df + 0.5) / (df + 0.5))`` and
    ``weight = idf * tf / (tf + k1 * (1 - b + b * length / mean length))``.
    """

    def __init__(self, settings: BM25Settings | None = None) -> None:
        self.settings = settings or BM25Settings()
        self.vocabulary: dict[str, int] = {}
        self.rows = RaggedArray(np.int32, np.int32)  # token id and count, in the order of the ids
        self._weights: _Weights | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, documents: Iterable[Sequence[str]]) -> list[NDArray[np.int32]]:
        """Append passages given as tokens.

        Returns:
            The tokens of each passage as vocabulary ids, in order and with repeats.
        """
        vocabulary = self.vocabulary
        streams, rows = [], []
        for tokens in documents:
            stream = np.fromiter(
                (vocabulary.setdefault(token, len(vocabulary)) for token in tokens), np.int32, len(tokens)
            )
            streams.append(stream)
            rows.append(np.unique(stream, return_counts=True))
        self.rows.append(rows)
        self._weights = None
        return streams

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the passages where the mask (one value a passage) is False; the others move up."""
        self.rows.keep(mask)
        self._weights = None

    def idf(self, tokens: Sequence[str]) -> NDArray[np.float32]:
        """Return the inverse document frequency of each token; an unknown one has that of a token in no passage."""
        weights = self._ready()
        unknown = np.float32(np.log1p((len(self) + 0.5) / 0.5))
        ids = [self.vocabulary.get(token, -1) for token in tokens]
        return np.array([weights.idf[i] if i >= 0 else unknown for i in ids], np.float32)

    def scores(self, query_tokens: Iterable[str]) -> NDArray[np.float32]:
        """Score every passage for a question; a token that the question repeats counts each time.

        Returns:
            One BM25 score a passage, 0 where no token matches.
        """
        weights = self._ready()
        scores = np.zeros(len(self), np.float32)
        for token in query_tokens:
            token_id = self.vocabulary.get(token)
            if token_id is not None:
                column = slice(weights.pointers[token_id], weights.pointers[token_id + 1])
                scores[weights.passages[column]] += weights.values[column]
        return scores

    def scores_at(self, query_tokens: Iterable[str], passages: Sequence[int]) -> NDArray[np.float32]:
        """Score some passages as `scores` does, without looking at the others."""
        weights = self._ready()
        idf = np.zeros(len(self.vocabulary), np.float32)
        for token in query_tokens:
            token_id = self.vocabulary.get(token)
            if token_id is not None:
                idf[token_id] += weights.idf[token_id]
        owners, (token_ids, counts) = self.rows.take(passages)
        found = np.flatnonzero(idf[token_ids])
        owners, token_ids, counts = owners[found], token_ids[found], counts[found]
        norms = weights.norms[np.asarray(passages, np.intp)]
        shares = idf[token_ids] * (counts / (counts + norms[owners]))
        return np.bincount(owners, shares, len(passages)).astype(np.float32)

    def scores_for_unindexed(
        self, query_tokens: Sequence[str], documents: Sequence[Sequence[str]]
    ) -> NDArray[np.float32]:
        """Score passages that are not in the collection, by its idf and mean length.

        A token that the collection has never seen counts as rare where question and passage share it.
        """
        mean_length = self._ready().mean_length
        idf = self.idf(query_tokens)
        scores = np.zeros(len(documents), np.float32)
        for position, tokens in enumerate(documents):
            counts = Counter(tokens)
            found = np.array([counts[token] for token in query_tokens], np.float32)
            scores[position] = np.sum(idf * (found / np.maximum(found + self._norm(len(tokens), mean_length), 1e-9)))
        return scores

    def _norm(self, lengths: Any, mean_length: float) -> Any:
        k1, b = self.settings.k1, self.settings.b
        return k1 * (1 - b + b * lengths / max(mean_length, 1e-9))

    def _ready(self) -> _Weights:
        if self._weights is None:
            self._weights = self._weigh()
        return self._weights

    def _weigh(self) -> _Weights:
        shape = (len(self), len(self.vocabulary))
        token_ids, counts = self.rows.columns
        by_token = csr_matrix((counts, token_ids, self.rows.pointers), shape=shape).tocsc()
        frequencies = np.diff(by_token.indptr)
        idf = np.log1p((len(self) - frequencies + 0.5) / (frequencies + 0.5)).astype(np.float32)
        totals = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        lengths = np.diff(totals[self.rows.pointers])
        mean_length = float(lengths.mean()) if len(self) else 0.0
        norms = self._norm(lengths, mean_length).astype(np.float32)
        values = by_token.data.astype(np.float32)
        values /= values + norms[by_token.indices]
        values *= np.repeat(idf, frequencies)
        return _Weights(by_token.indptr, by_token.indices, values, idf, norms, mean_length)
