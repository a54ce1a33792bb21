"""The candidates of one question, read from the lexical index, or analysed on the spot where it does not hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.rerank.lexical_statistics import BIGRAMS, MORPHEMES, LexicalStatistics, stable_ids
from llama_index_ko_rerank.text.tokenizers import TAG_NAMES

_Arrays = tuple[NDArray[np.integer[Any]], NDArray[np.uint8], NDArray[np.integer[Any]]]
_TAG_IDS = {tag: number for number, tag in enumerate(TAG_NAMES)}


@dataclass(frozen=True, slots=True)
class Passages:
    """The content morphemes of some passages end to end, and their BM25 scores for a question.

    Attributes:
        owners: Which passage each morpheme stands in, shape (morphemes,).
        places: Its place in that passage, from 0.
        token_ids: Its number, as `stable_ids` gives it.
        tags: Its tag, as a place in `TAG_NAMES`.
        sentences: The number of its sentence.
        starts: Where each passage starts, shape (passages,).
        lengths: Its number of morphemes.
        scores: The BM25 scores by view, each of shape (passages,).
    """

    owners: NDArray[np.int64]
    places: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    tags: NDArray[np.uint8]
    sentences: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class _Foreign:
    """A passage that the index does not hold."""

    forms: tuple[str, ...]
    tags: NDArray[np.uint8]
    sentences: NDArray[np.int64]
    bigrams: tuple[str, ...]


class PassageReader:
    """Reads candidates by node id from a lexical index, and by text those that it does not hold.

    Args:
        statistics: The index.
        remembered: How many passages that it does not hold are kept analysed, by their text.
    """

    def __init__(self, statistics: LexicalStatistics, *, remembered: int = 512) -> None:
        self.statistics = statistics
        self._foreign = lru_cache(remembered)(self._analyse)

    def prepare(self, ids: Sequence[str], text_of: Callable[[int], str]) -> None:
        """Analyse the candidates that the index does not hold, so that `read` is quick while it holds the lock."""
        for place, identity in enumerate(ids):
            if identity not in self.statistics.positions:
                self._foreign(text_of(place))

    def read(self, query: str, ids: Sequence[str], text_of: Callable[[int], str]) -> Passages:
        """Gather the candidates of a question.

        Args:
            query: The question.
            ids: Their node ids.
            text_of: Gives the text of a candidate by its place in `ids`; asked only where the index does not hold it.

        Raises:
            InvalidText: A text holds lone surrogates.
        """
        positions = self.statistics.positions
        held = [place for place, identity in enumerate(ids) if identity in positions]
        unseen = {
            place: self._foreign(text_of(place)) for place, identity in enumerate(ids) if identity not in positions
        }
        streams: list[_Arrays] = []
        for place, identity in enumerate(ids):
            foreign = unseen.get(place)
            if foreign is None:
                stream = self.statistics.stream(positions[identity])
                streams.append((stream.token_ids, stream.tags, stream.sentences))
            else:
                streams.append((stable_ids(foreign.forms, self.statistics), foreign.tags, foreign.sentences))
        scores = {view: np.zeros(len(ids)) for view in (MORPHEMES, BIGRAMS)}
        if held:
            for view, values in self.statistics.scores_at(query, [positions[ids[place]] for place in held]).items():
                scores[view][held] = values
        if unseen:
            documents = {
                MORPHEMES: [foreign.forms for foreign in unseen.values()],
                BIGRAMS: [foreign.bigrams for foreign in unseen.values()],
            }
            for view, values in self.statistics.scores_unseen(query, documents).items():
                scores[view][list(unseen)] = values
        return _joined(streams, scores)

    def _analyse(self, text: str) -> _Foreign:
        stream = next(self.statistics.morphemes.analyse([text]))
        return _Foreign(
            tuple(stream.forms),
            np.array([_TAG_IDS[tag] for tag in stream.tags], np.uint8),
            np.array(stream.sentences, np.int64),
            tuple(next(self.statistics.bigrams.tokens([text]))),
        )


def _joined(
    streams: Sequence[_Arrays],
    scores: dict[str, NDArray[np.float64]],
) -> Passages:
    lengths = np.array([len(stream[0]) for stream in streams], np.int64)
    starts = np.cumsum(lengths) - lengths
    owners = np.repeat(np.arange(len(streams)), lengths)
    return Passages(
        owners,
        np.arange(len(owners)) - starts[owners],
        np.concatenate([stream[0] for stream in streams]).astype(np.int64),
        np.concatenate([stream[1] for stream in streams]),
        np.concatenate([stream[2] for stream in streams]).astype(np.int64),
        starts,
        lengths,
        scores,
    )
