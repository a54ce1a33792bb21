"""Lexical index: BM25 over Kiwi's content morphemes and over character bigrams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DuplicateNodeId, InvalidSetting, nearest
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings, InvertedIndex, RaggedArray
from llama_index_ko_rerank.text.kiwi import UserWord
from llama_index_ko_rerank.text.normalize import check_text
from llama_index_ko_rerank.text.tokenizers import (
    TAG_NAMES,
    BigramTokenizer,
    LexicalTokenizer,
    MorphemeTokenizer,
    PassageStream,
)

Analyzer = Literal["morphemes", "bigrams"]
ANALYZERS: tuple[Analyzer, ...] = ("morphemes", "bigrams")
"""Names of the analyzers, which count equally in a search. Equal weights are within .001 MRR@10 of the best on the
`tune` half of KorQuAD, where .4 to .6 differ by less than a question in a thousand."""

_TAG_IDS = {tag: number for number, tag in enumerate(TAG_NAMES)}
_LAST_SENTENCE = np.iinfo(np.uint16).max
_BATCH = 8192


class LexicalHit(NamedTuple):
    """A passage found by a lexical search.

    Attributes:
        position: Index of the passage in the collection.
        score: In 0-1 with two analyzers, else the BM25 score of the only one.
        ranks: Rank by analyzer, from 1, for the analyzers with a match; equal scores share a rank.
        scores: BM25 score by analyzer, for the same analyzers.
    """

    position: int
    score: float
    ranks: dict[str, int]
    scores: dict[str, float]


class LexicalIndex:
    """One inverted index for each analyzer over the same passages, built in one pass of Kiwi.

    Args:
        analyzers: ``morphemes``, ``bigrams``, or both.
        user_words: Words of the user's own for Kiwi, each with its tag.
        settings: BM25's constants, the same for every analyzer.

    Adding and deleting hold `lock`; hold it too while reading from another thread than the one that changes the index.

    Raises:
        InvalidSetting: No analyzer is named, or an unknown one.
    """

    def __init__(
        self,
        analyzers: Sequence[Analyzer] = ANALYZERS,
        *,
        user_words: Sequence[UserWord] = (),
        settings: BM25Settings | None = None,
    ) -> None:
        self.analyzers = _in_order(analyzers)
        self.settings = settings or BM25Settings()
        self.morphemes = MorphemeTokenizer(user_words)
        self.bigrams = BigramTokenizer()
        self.lock = threading.RLock()
        self.ids: list[str] = []
        self.positions: dict[str, int] = {}
        self.inverted_indexes: dict[str, InvertedIndex] = {
            name: InvertedIndex(self.settings) for name in self.analyzers
        }
        self.token_streams = RaggedArray(np.int32, np.uint8, np.uint16)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def identity(self) -> dict[str, str]:
        """Identity of the tokenizer by analyzer; an index is searched only with the tokenizers that built it."""
        tokenizers = {"morphemes": self.morphemes.identity, "bigrams": self.bigrams.identity}
        return {name: tokenizers[name] for name in self.analyzers}

    def add(
        self, ids: Sequence[str], texts: Sequence[str], *, on_progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Append passages, one text an id.

        Args:
            ids: One id a passage.
            texts: What is searched of each.
            on_progress: Called with the number of passages done and in all, after each batch.

        Raises:
            DuplicateNodeId: An id is given twice or is there already; nothing is added.
            InvalidText: A text holds lone surrogates; nothing is added.
        """
        known = set(self.positions)
        for identity, text in zip(ids, texts, strict=True):
            if identity in known:
                raise DuplicateNodeId(f"the lexical index is given the id {identity!r} twice; delete the old one first")
            known.add(identity)
            check_text(text, f"the text of {identity!r}")
        for start in range(0, len(ids), _BATCH):
            with self.lock:
                self._add_batch(ids[start : start + _BATCH], texts[start : start + _BATCH])
            if on_progress:
                on_progress(min(start + _BATCH, len(ids)), len(ids))

    def delete(self, ids: Iterable[str]) -> int:
        """Drop passages by id and return how many were there; unknown ids are passed over."""
        with self.lock:
            deleted = [self.positions[identity] for identity in set(ids) if identity in self.positions]
            if not deleted:
                return 0
            mask = np.ones(len(self.ids), bool)
            mask[deleted] = False
            for inverted in self.inverted_indexes.values():
                inverted.keep(mask)
            if "morphemes" in self.analyzers:
                self.token_streams.keep(mask)
            self.ids = [identity for identity, kept in zip(self.ids, mask, strict=True) if kept]
            self.positions = {identity: position for position, identity in enumerate(self.ids)}
            return len(deleted)

    def analyzer_scores(self, query: str) -> dict[str, NDArray[np.float32]]:
        """Return the BM25 scores of all passages by analyzer: float32 arrays of shape (passages,)."""
        return {name: self.inverted_indexes[name].scores(tokens) for name, tokens in self.query_tokens(query).items()}

    def query_tokens(self, query: str) -> dict[str, list[str]]:
        """Return the query's tokens by analyzer."""
        tokenizers: dict[str, LexicalTokenizer] = {"morphemes": self.morphemes, "bigrams": self.bigrams}
        return {name: tokenizers[name].query_tokens(query) for name in self.analyzers}

    def scores_at(self, query: str, positions: Sequence[int]) -> dict[str, NDArray[np.float32]]:
        """Return what `analyzer_scores` gives some passages: float32 arrays of shape (positions,)."""
        return {
            name: self.inverted_indexes[name].scores_at(tokens, positions)
            for name, tokens in self.query_tokens(query).items()
        }

    def scores_for_unindexed(
        self, query: str, documents: Mapping[str, Sequence[Sequence[str]]]
    ) -> dict[str, NDArray[np.float32]]:
        """Score passages outside the index by its statistics, given the tokens of each by analyzer."""
        return {
            name: self.inverted_indexes[name].scores_for_unindexed(tokens, documents[name])
            for name, tokens in self.query_tokens(query).items()
        }

    def idf(self, analyzer: str, tokens: Sequence[str]) -> NDArray[np.float32]:
        """Return the inverse document frequency of each token of an analyzer."""
        return self.inverted_indexes[analyzer].idf(tokens)

    def morpheme_ids(self, forms: Sequence[str]) -> list[int | None]:
        """Return the id of each morpheme in the token streams, None for one that no passage ever had."""
        return [self.inverted_indexes["morphemes"].vocabulary.get(form) for form in forms]

    def matches(self, query: str, identity: str) -> dict[str, tuple[list[str], list[str]]]:
        """Return by analyzer the query's tokens that a passage holds and those that it lacks, rarest first.

        Raises:
            KeyError: The index holds no passage of this id.
        """
        position = self.positions[identity]
        found: dict[str, tuple[list[str], list[str]]] = {}
        for name, tokens in self.query_tokens(query).items():
            inverted = self.inverted_indexes[name]
            held = set(inverted.rows.row(position)[0].tolist())
            by_rarity = sorted(zip(-inverted.idf(tokens), tokens, strict=True))
            ordered = list(dict.fromkeys(token for _, token in by_rarity))
            matched = [token for token in ordered if inverted.vocabulary.get(token, -1) in held]
            found[name] = matched, [token for token in ordered if token not in matched]
        return found

    def search(self, query: str, top_k: int, *, mask: NDArray[np.bool_] | None = None) -> list[LexicalHit]:
        """Find the best passages for a query.

        Args:
            query: The query as the user wrote it.
            top_k: Most passages found; fewer where fewer match at all.
            mask: Passages that may be found, one value a passage. Defaults to all.

        Returns:
            Best first; equal scores keep the order of the collection.
        """
        if not self.ids:
            return []
        by_analyzer = self.analyzer_scores(query)
        combined = self.combine(by_analyzer)
        if mask is not None:
            combined = np.where(mask, combined, 0)
        positions = best_first(combined, top_k)
        ranks = {name: _ranks(scores, positions) for name, scores in by_analyzer.items()}
        return [
            LexicalHit(
                int(position),
                float(combined[position]),
                {name: int(ranks[name][i]) for name, scores in by_analyzer.items() if scores[position] > 0},
                {name: float(scores[position]) for name, scores in by_analyzer.items() if scores[position] > 0},
            )
            for i, position in enumerate(positions)
        ]

    def combine(self, by_analyzer: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the mean of the analyzers' scores, each divided by its largest; a single one keeps its scores."""
        if len(by_analyzer) == 1:
            return next(iter(by_analyzer.values()))
        combined = np.zeros(len(self.ids), np.float32)
        for scores in by_analyzer.values():
            combined += scores * np.float32(1 / len(by_analyzer) / max(float(scores.max()), 1e-9))
        return combined

    def stream(self, position: int) -> PassageStream:
        """Return the content morphemes of one passage; the index must have the analyzer ``morphemes``."""
        token_ids, tags, sentences = self.token_streams.row(position)
        return PassageStream(token_ids, tags, sentences)

    def _add_batch(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        if "morphemes" in self.analyzers:
            self._add_morphemes(texts)
        if "bigrams" in self.analyzers:
            self.inverted_indexes["bigrams"].add(self.bigrams.tokens(texts))
        self.positions.update({identity: position for position, identity in enumerate(ids, start=len(self.ids))})
        self.ids.extend(ids)

    def _add_morphemes(self, texts: Sequence[str]) -> None:
        analysed = list(self.morphemes.analyse(texts))
        token_ids = self.inverted_indexes["morphemes"].add(stream.forms for stream in analysed)
        self.token_streams.append(
            [
                (
                    ids,
                    np.array([_TAG_IDS[tag] for tag in stream.tags], np.uint8),
                    np.minimum(np.array(stream.sentences, np.int64), _LAST_SENTENCE).astype(np.uint16),
                )
                for ids, stream in zip(token_ids, analysed, strict=True)
            ]
        )


def best_first(scores: NDArray[np.float32], top_k: int) -> NDArray[np.intp]:
    """Return the positions of the `top_k` largest positive scores, best first, equal ones in order of position.

    >>> best_first(np.array([0, 2, 1, 2], np.float32), 2).tolist()
    [1, 3]
    """
    matching = np.flatnonzero(scores > 0)
    values = scores[matching]
    if len(matching) > top_k:
        least = np.partition(values, -top_k)[-top_k]
        matching = matching[values >= least]
        values = scores[matching]
    return matching[np.argsort(-values, kind="stable")[:top_k]]


def _in_order(analyzers: Sequence[Analyzer]) -> tuple[Analyzer, ...]:
    """Return the analyzers in the order of `ANALYZERS`, each once."""
    if isinstance(analyzers, str) or not analyzers:
        raise InvalidSetting(f"analyzers must be a list of names, such as {ANALYZERS}, not {analyzers!r}")
    for name in analyzers:
        if name not in ANALYZERS:
            raise InvalidSetting(f"no analyzer is called {name!r}; {nearest(name, ANALYZERS)}")
    return tuple(name for name in ANALYZERS if name in analyzers)


def _ranks(scores: NDArray[np.float32], positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rank the scores at some positions among all scores: 1 + how many are larger."""
    chosen = scores[positions]
    if not len(chosen):
        return np.zeros(0, np.intp)
    competing = np.sort(scores[scores >= chosen.min()])
    return len(competing) - np.searchsorted(competing, chosen, side="right") + 1
