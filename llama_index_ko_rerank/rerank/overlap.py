"""Which morphemes of a question stand in each passage, and how close together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.rerank.passages import Passages
from llama_index_ko_rerank.rerank.question import Question

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
        owners: The passage of each.
        places: Its place in that passage.
        sentences: Its sentence.
        slots: Which morpheme of the question it is.
        present: Whether each passage has each morpheme: 0 or 1, shape (passages, morphemes of the question).
    """

    passages: int
    at: NDArray[np.intp]
    owners: NDArray[np.int64]
    places: NDArray[np.int64]
    sentences: NDArray[np.int64]
    slots: NDArray[np.intp]
    present: NDArray[np.float64]


def find_matches(question: Question, passages: Passages) -> Matches:
    """Find the question's morphemes in the passages."""
    at, slots = np.nonzero(passages.token_ids[:, None] == question.ids)
    owners = passages.owners[at]
    present = np.zeros((len(passages), len(question.ids)))
    present[owners, slots] = 1
    return Matches(len(passages), at, owners, passages.places[at], passages.sentences[at], slots, present)


def sentence_presence(matches: Matches) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Say which morphemes stand in each sentence that has any, and in it and the next one together.

    Returns:
        Two arrays of 0 and 1, of shape (sentences, morphemes of the question), and the passage of each sentence.
    """
    stride = int(matches.sentences.max(initial=0)) + 2
    numbers, rows = np.unique(matches.owners * stride + matches.sentences, return_inverse=True)
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
    stride = int(matches.places.max(initial=0)) + max(WINDOWS) + 1
    keys = matches.owners * stride + matches.places
    return counts[np.searchsorted(keys, keys + window)] > counts[:-1]


def best_by_passage(values: NDArray[np.float64], owners: NDArray[np.int64], passages: int) -> NDArray[np.float64]:
    """Return the largest value of each passage, 0 for one that has none; the owners must be in order."""
    best = np.zeros(passages)
    if len(owners):
        firsts = np.flatnonzero(np.diff(owners, prepend=-1))
        best[owners[firsts]] = np.maximum.reduceat(values, firsts)
    return best


def pairs_found(question: Question, matches: Matches, *, reach: int) -> NDArray[np.float64]:
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
        near = matches.places[step:] - matches.places[:-step] <= reach
        kept = np.flatnonzero((pair >= 0) & near & (matches.owners[step:] == matches.owners[:-step]))
        found[matches.owners[kept], pair[kept]] = 1
    return found
