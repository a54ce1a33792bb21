"""Which morphemes of a question stand in each passage, and how close together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.text.tokenizers import (
    QUESTION_WORDS,
    TAG_NAMES,
    BigramTokenizer,
    MorphemeStream,
    MorphemeTokenizer,
    PassageStream,
)

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


CUES: dict[str, tuple[str, ...]] = {
    "date": ("언제", "날짜", "연도", "년도"),
    "person": ("누구", "인물", "사람"),
    "place": ("어디", "곳", "장소", "나라"),
    "number": ("몇", "얼마"),
}
"""The morphemes that ask for each kind of answer; where several are there, the first kind counts."""

DATE_UNITS = ("년", "월", "일", "년도", "세기", "시")
"""What turns a question for a number into one for a date: 몇 년, 몇 월."""

_COUNTING = frozenset(CUES["number"])


@dataclass(frozen=True, slots=True)
class AnswerType:
    """What a question asks for.

    Attributes:
        kind: A key of `CUES`, or empty where no cue is there.
        unit: What is counted: the morpheme after 몇 or 얼마; empty where nothing is.
    """

    kind: str = ""
    unit: str = ""


def answer_type(question: MorphemeStream) -> AnswerType:
    """Read the cues of a question.

    >>> answer_type(MorphemeStream(["도서관", "몇", "년", "세우"], ["NNG", "MM", "NNB", "VV"], [0, 0, 0, 0]))
    AnswerType(kind='date', unit='년')
    """
    unit = ""
    for form, following in pairwise([*question.forms, ""]):
        if form in _COUNTING:
            unit = following
    if unit in DATE_UNITS:
        return AnswerType("date", unit)
    forms = set(question.forms)
    kind = next((kind for kind, cues in CUES.items() if forms.intersection(cues)), "")
    return AnswerType(kind, unit)


_Arrays = tuple[NDArray[np.integer[Any]], NDArray[np.uint8], NDArray[np.integer[Any]]]
_TAG_IDS = {tag: number for number, tag in enumerate(TAG_NAMES)}


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """The content morphemes of some passages end to end, and their BM25 scores for a question.

    Attributes:
        doc_index: Which passage each morpheme stands in, shape (morphemes,).
        positions: Its place in that passage, from 0.
        token_ids: Its number, as `stable_ids` gives it.
        tags: Its tag, as a place in `TAG_NAMES`.
        sentences: The number of its sentence.
        starts: Where each passage starts, shape (passages,).
        lengths: Its number of morphemes.
        scores: The BM25 scores by view, each of shape (passages,).
    """

    doc_index: NDArray[np.int64]
    positions: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    tags: NDArray[np.uint8]
    sentences: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class _UnindexedPassage:
    """A passage that the index does not hold."""

    forms: tuple[str, ...]
    tags: NDArray[np.uint8]
    sentences: NDArray[np.int64]
    bigrams: tuple[str, ...]


class CandidateReader:
    """Reads candidates by node id from a lexical index, and by text those that it does not hold.

    Args:
        statistics: The index.
        remembered: How many passages that it does not hold are kept analysed, by their text.
    """

    def __init__(self, statistics: LexicalStatistics, *, remembered: int = 512) -> None:
        self.statistics = statistics
        self._unindexed = lru_cache(remembered)(self._analyse)

    def prepare(self, ids: Sequence[str], text_of: Callable[[int], str]) -> None:
        """Analyse the candidates that the index does not hold, so that `read` is quick while it holds the lock."""
        for place, identity in enumerate(ids):
            if identity not in self.statistics.positions:
                self._unindexed(text_of(place))

    def read(self, query: str, ids: Sequence[str], text_of: Callable[[int], str]) -> CandidateBatch:
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
            place: self._unindexed(text_of(place)) for place, identity in enumerate(ids) if identity not in positions
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
            for view, values in self.statistics.scores_for_unindexed(query, documents).items():
                scores[view][list(unseen)] = values
        return _joined(streams, scores)

    def _analyse(self, text: str) -> _UnindexedPassage:
        stream = next(self.statistics.morphemes.analyse([text]))
        return _UnindexedPassage(
            tuple(stream.forms),
            np.array([_TAG_IDS[tag] for tag in stream.tags], np.uint8),
            np.array(stream.sentences, np.int64),
            tuple(next(self.statistics.bigrams.tokens([text]))),
        )


def _joined(
    streams: Sequence[_Arrays],
    scores: dict[str, NDArray[np.float64]],
) -> CandidateBatch:
    lengths = np.array([len(stream[0]) for stream in streams], np.int64)
    starts = np.cumsum(lengths) - lengths
    doc_index = np.repeat(np.arange(len(streams)), lengths)
    return CandidateBatch(
        doc_index,
        np.arange(len(doc_index)) - starts[doc_index],
        np.concatenate([stream[0] for stream in streams]).astype(np.int64),
        np.concatenate([stream[1] for stream in streams]),
        np.concatenate([stream[2] for stream in streams]).astype(np.int64),
        starts,
        lengths,
        scores,
    )


@dataclass(frozen=True, slots=True)
class QueryAnalysis:
    """The morphemes that a question describes its answer by, each once, and what it asks for.

    Attributes:
        forms: The morphemes in order of appearance, without question words unless there are no others.
        tags: The Kiwi tag of each.
        ids: The number of each, as `stable_ids` gives them, shape (morphemes,).
        idf: The inverse document frequency of each.
        pairs: The places in `forms` of each two neighbours, every pair once, shape (pairs, 2).
        answer_type: What kind of answer it asks for.
    """

    forms: tuple[str, ...]
    tags: tuple[str, ...]
    ids: NDArray[np.int64]
    idf: NDArray[np.float64]
    pairs: NDArray[np.intp]
    answer_type: AnswerType


def analyze_query(query: str, statistics: LexicalStatistics) -> QueryAnalysis:
    """Analyse a question."""
    stream = statistics.morphemes.analyse_query(query)
    described = [form for form in stream.forms if form not in QUESTION_WORDS] or stream.forms
    forms = tuple(dict.fromkeys(described))
    tags = dict(zip(stream.forms, stream.tags, strict=True))
    places = {form: place for place, form in enumerate(forms)}
    sequence = [places[form] for form in described]
    pairs = list(dict.fromkeys(pairwise(sequence)))
    return QueryAnalysis(
        forms,
        tuple(tags[form] for form in forms),
        stable_ids(forms, statistics),
        statistics.idf(MORPHEMES, forms).astype(np.float64),
        np.array(pairs, np.intp).reshape(-1, 2),
        answer_type(stream),
    )


WINDOWS = (8, 16, 64)
"""Lengths, in morphemes, of the windows in which closeness is measured."""

CENTRE_WINDOW = 16
"""The window that says where a passage matches best."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Every place in the passages where a morpheme of the question stands, in reading order.

    Attributes:
        passages: How many passages there are.
        at: The places in the passages laid end to end, shape (matches,).
        doc_index: The passage of each.
        positions: Its place in that passage.
        sentences: Its sentence.
        slots: Which morpheme of the question it is.
        present: Whether each passage has each morpheme: 0 or 1, shape (passages, morphemes of the question).
    """

    passages: int
    at: NDArray[np.intp]
    doc_index: NDArray[np.int64]
    positions: NDArray[np.int64]
    sentences: NDArray[np.int64]
    slots: NDArray[np.intp]
    present: NDArray[np.float64]


def find_matches(question: QueryAnalysis, passages: CandidateBatch) -> Matches:
    """Find the question's morphemes in the passages."""
    at, slots = np.nonzero(passages.token_ids[:, None] == question.ids)
    doc_index = passages.doc_index[at]
    present = np.zeros((len(passages), len(question.ids)))
    present[doc_index, slots] = 1
    return Matches(len(passages), at, doc_index, passages.positions[at], passages.sentences[at], slots, present)


def sentence_presence(matches: Matches) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Say which morphemes stand in each sentence that has any, and in it and the next one together.

    Returns:
        Two arrays of 0 and 1, of shape (sentences, morphemes of the question), and the passage of each sentence.
    """
    stride = int(matches.sentences.max(initial=0)) + 2
    numbers, rows = np.unique(matches.doc_index * stride + matches.sentences, return_inverse=True)
    single = np.zeros((len(numbers), matches.present.shape[1]))
    single[rows, matches.slots] = 1
    double = single.copy()
    followed = np.flatnonzero(np.diff(numbers) == 1)
    double[followed] = np.maximum(single[followed], single[followed + 1])
    return single, double, numbers // stride


def window_presence(matches: Matches, window: int) -> NDArray[np.bool_]:
    """Say which morphemes stand within a number of morphemes from each match on, of its own passage.

    Returns:
        Shape (matches, morphemes of the question).
    """
    counts = np.zeros((len(matches.at) + 1, matches.present.shape[1]), np.int32)
    counts[np.arange(1, len(counts)), matches.slots] = 1
    np.cumsum(counts, axis=0, out=counts)
    stride = int(matches.positions.max(initial=0)) + max(WINDOWS) + 1
    keys = matches.doc_index * stride + matches.positions
    return counts[np.searchsorted(keys, keys + window)] > counts[:-1]


def best_by_passage(values: NDArray[np.float64], doc_index: NDArray[np.int64], passages: int) -> NDArray[np.float64]:
    """Return the largest value of each passage, 0 for one that has none; `doc_index` is ascending."""
    best = np.zeros(passages)
    if len(doc_index):
        firsts = np.flatnonzero(np.diff(doc_index, prepend=-1))
        best[doc_index[firsts]] = np.maximum.reduceat(values, firsts)
    return best


def pairs_found(question: QueryAnalysis, matches: Matches, *, reach: int) -> NDArray[np.float64]:
    """Say which neighbours of the question stand in each passage in the same order, at most `reach` morphemes apart.

    Only matches with at most `reach - 1` other matches between them are compared.

    Returns:
        0 or 1, shape (passages, pairs of the question).
    """
    numbers = np.full((len(question.ids), len(question.ids)), -1)
    numbers[question.pairs[:, 0], question.pairs[:, 1]] = np.arange(len(question.pairs))
    found = np.zeros((matches.passages, len(question.pairs)))
    for step in range(1, min(reach, len(matches.at) - 1) + 1):
        pair = numbers[matches.slots[:-step], matches.slots[step:]]
        near = matches.positions[step:] - matches.positions[:-step] <= reach
        kept = np.flatnonzero((pair >= 0) & near & (matches.doc_index[step:] == matches.doc_index[:-step]))
        found[matches.doc_index[kept], pair[kept]] = 1
    return found
