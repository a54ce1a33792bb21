"""Hard negatives from ranked candidates: arithmetic over positions and cosines, no model and no text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import EmptyCorpus

NONE = -1
"""Stands in a ranking where there is no further candidate."""


@dataclass(frozen=True, slots=True)
class MinedNegatives:
    """The negatives of every row.

    Attributes:
        positions: int64 of shape (rows, count), places in the collection, the hardest first; no row has one twice.
        dropped: Candidates left out since their cosine was above the ceiling.
        drawn: Negatives drawn at random, where a row had too few candidates.
    """

    positions: NDArray[np.int64]
    dropped: int
    drawn: int


def nearest_passages(
    questions: NDArray[np.float32], passages: NDArray[np.float32], top_k: int, *, held_at_once: int = 1 << 26
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for each question the passages of the highest inner product, exactly, in blocks of bounded memory.

    Args:
        questions: Shape (questions, dimension).
        passages: Shape (passages, dimension).
        top_k: How many; fewer where there are fewer passages.
        held_at_once: Inner products in memory at once, four bytes each; 256 MB by default.

    Returns:
        Positions and inner products, both of shape (questions, top_k), best first; equal ones in order of position.
    """
    top_k = min(top_k, len(passages))
    positions = np.empty((len(questions), top_k), np.int64)
    products = np.empty((len(questions), top_k), np.float32)
    height = max(1, held_at_once // max(1, len(passages)))
    for start in range(0, len(questions), height):
        block = questions[start : start + height] @ passages.T
        found = np.sort(np.argpartition(-block, top_k - 1, axis=1)[:, :top_k], axis=1)
        values = np.take_along_axis(block, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        positions[start : start + height] = np.take_along_axis(found, order, axis=1)
        products[start : start + height] = np.take_along_axis(values, order, axis=1)
    return positions, products


def cosines_at(
    questions: NDArray[np.float32], passages: NDArray[np.float32], positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Compute the inner product of each question with some passages of its own.

    Args:
        questions: Shape (questions, dimension).
        passages: Shape (passages, dimension).
        positions: Shape (questions, depth); `NONE` gives minus infinity.

    Returns:
        Shape (questions, depth).
    """
    products = np.full(positions.shape, -np.inf, np.float32)
    for row, places in enumerate(positions):
        named = places != NONE
        products[row, named] = passages[places[named]] @ questions[row]
    return products


def mine_negatives(
    rankings: Sequence[NDArray[np.int64]],
    *,
    excluded: Sequence[Collection[int]],
    count: int,
    passages: int,
    seed: int,
    cosines: Sequence[NDArray[np.float32]] = (),
    ceilings: NDArray[np.float32] | None = None,
) -> MinedNegatives:
    """Choose the hard negatives of each row: the first of every ranking, then the second of every one, and so on.

    A candidate is passed over where it is excluded, where an earlier ranking named it, or where its cosine is above the
    row's ceiling. Where too few are left, others are drawn that were not passed over; in a collection too small for
    that, those above the ceiling are taken back.

    Args:
        rankings: One array a source, each of shape (rows, depth), best first; `NONE` where a source has no more.
        excluded: For each row the passages that must not be its negatives: its answers and their near copies.
        count: Negatives a row.
        passages: How many the collection holds.
        seed: Of what is drawn; each row has its own draws, whatever the others have.
        cosines: For each ranking the cosines of its candidates, of the same shape; none are compared where empty.
        ceilings: Shape (rows,); the highest cosine that a negative may have.

    Raises:
        EmptyCorpus: A row has fewer than `count` passages that are not excluded.
    """
    merged = np.stack(rankings, axis=2).reshape(len(excluded), -1)
    too_near = np.zeros(merged.shape, np.bool_)
    if ceilings is not None:
        too_near = np.stack(cosines, axis=2).reshape(merged.shape) > ceilings[:, None]
    chosen = np.empty((len(excluded), count), np.int64)
    dropped = drawn = 0
    for row, own in enumerate(excluded):
        named = merged[row] != NONE
        above = set(merged[row, named & too_near[row]].tolist()).difference(own)
        candidates = dict.fromkeys(merged[row, named & ~too_near[row]].tolist())
        taken = [place for place in candidates if place not in own][:count]
        dropped += len(above)
        if len(taken) < count:
            drawn += count - len(taken)
            taken += _draw(count - len(taken), passages, [{*own, *taken}, above], np.random.default_rng((seed, row)))
        chosen[row] = taken
    return MinedNegatives(chosen, dropped, drawn)


def _draw(count: int, passages: int, barred: list[set[int]], generator: np.random.Generator) -> list[int]:
    """Draw distinct places outside both sets, or where there are too few, outside the first only."""
    never, rather_not = barred
    if len(never) + count > passages:
        raise EmptyCorpus(
            f"a question has {passages - len(never)} passages that could be its negatives, and {count} are wanted; "
            "add passages, or take fewer negatives"
        )
    avoided = never | rather_not if len(never | rather_not) + count <= passages else never
    found: dict[int, None] = {}
    if passages < 4 * (len(avoided) + count):
        free = [place for place in range(passages) if place not in avoided]
        return [free[place] for place in generator.choice(len(free), count, replace=False).tolist()]
    while len(found) < count:
        place = int(generator.integers(passages))
        if place not in avoided:
            found[place] = None
    return list(found)
