"""The FAISS index in memory: derived from the table, ranked by the table's own vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss as compiled_faiss
import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.store.faiss_kinds import Look, candidates, largest_error, make_faiss_index
from llama_index_ko_rerank.store.index_settings import IndexKind, IndexSettings

# FAISS's type stubs do not know what its Python layer adds.
faiss: Any = compiled_faiss

Fetch = Callable[[NDArray[np.int64]], NDArray[np.float32]]
_SPARE = 16
_WORN_SHARE = 0.2
_OUTGROWN = 2


class VectorIndex:
    """Vectors of unit length under row ids, searched one by one.

    FAISS gives candidates, by what it holds in memory; they are ranked by the cosines of the vectors that the caller
    fetches from the table, in float64, row by row in one order, so that equal vectors have equal cosines.

    Not thread-safe: many threads may search at one time, and none may while one adds or removes.

    Attributes:
        settings: What was asked for.
        kind: What was made of it for so many vectors as there were.
        dimension: The length of the vectors.
        generation: The generation of the table that this is the index of; whoever changes the index sets it.
        last_row_id: The highest row id that was ever added, 0 where none was.
        count: How many vectors there are.
        built_for: How many vectors there were when it was made.
        alive: Whether the vector of each row id is there, by its place.
        faiss_index: What FAISS holds of them.
    """

    def __init__(self, settings: IndexSettings, dimension: int, *, count: int, generation: int) -> None:
        """Make an empty index that is meant for ``count`` vectors."""
        self.settings = settings
        self.kind: IndexKind = settings.kind_for(count, dimension)
        self.dimension = dimension
        self.generation = generation
        self.last_row_id = 0
        self.count = 0
        self.built_for = count
        self.faiss_index = make_faiss_index(self.kind, settings, dimension, count)
        self.alive = np.zeros(1, dtype=np.bool_)

    def train(self, sample: NDArray[np.float32]) -> None:
        """Learn from some of the vectors, before any is added; see `training_size`."""
        if not self.faiss_index.is_trained:
            self.faiss_index.train(np.ascontiguousarray(sample))

    def add(self, row_ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors of unit length, shape (row ids, dimension), under ascending ids past `last_row_id`."""
        if not row_ids.size:
            return
        self.faiss_index.add_with_ids(np.ascontiguousarray(vectors), row_ids)
        self.last_row_id = int(row_ids[-1])
        if self.last_row_id >= len(self.alive):
            self.alive = _resized(self.alive, self.last_row_id + 1 + self.last_row_id // 8)
        self.alive[row_ids] = True
        self.count += row_ids.size

    def remove(self, row_ids: NDArray[np.int64]) -> None:
        """Remove vectors; ids that are not there are left aside."""
        row_ids = row_ids[row_ids <= self.last_row_id]
        row_ids = row_ids[self.alive[row_ids]]
        if not row_ids.size:
            return
        self.alive[row_ids] = False
        self.count -= row_ids.size
        if self.kind != "hnsw":
            self.faiss_index.remove_ids(row_ids)

    def is_worn(self) -> bool:
        """Say whether the index should be made anew: it was outgrown, or too much of it is only marked as removed."""
        if self.settings.kind_for(self.count, self.dimension) != self.kind:
            return True
        outgrown = self.kind != "flat" and self.count > _OUTGROWN * self.built_for
        return bool(outgrown or self.faiss_index.ntotal - self.count > _WORN_SHARE * self.faiss_index.ntotal)

    def search(
        self, query: NDArray[np.float32], *, top_k: int, fetch: Fetch, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the nearest vectors by cosine.

        A flat index takes candidates until the last of them is worse than the k-th by more than 16 bits can be wrong:
        its answer is exact. The other kinds take as many as their settings say; where a filter leaves fewer than were
        asked for among those that they meet, they look at every vector.

        Args:
            query: Of unit length, shape (dimension,).
            top_k: At least 1; more than there are is all of them.
            fetch: Gives the exact vectors of row ids, shape (row ids, dimension).
            allowed: Whether each row id may be found, by its place; ids past its end may not. All may where None.

        Returns:
            Row ids and cosines in -1 to 1, best first; equal cosines in the order of the ids.
        """
        alive, population = self._alive_among(allowed)
        wanted = min(top_k, population)
        if not wanted:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        share = population / self.count
        error = largest_error(self.kind, self.dimension)
        reach = min(population, wanted + _SPARE)
        if error is None:
            row_ids = self._approximate(query, wanted, population, alive, share)
        else:
            while True:
                cosines, row_ids = self._candidates(Look(query, reach, alive, share, at_all=True))
                if reach == population or cosines[wanted - 1] - cosines[-1] > 2 * error:
                    break
                reach = min(population, reach * 4)
        return _rank(query, row_ids, fetch(row_ids), wanted)

    def _approximate(
        self,
        query: NDArray[np.float32],
        wanted: int,
        population: int,
        alive: NDArray[np.bool_] | None,
        share: float,
    ) -> NDArray[np.int64]:
        reach = min(population, max(wanted * self.settings.oversampling, wanted + _SPARE))
        at_all = reach * 2 > population
        _, row_ids = self._candidates(Look(query, reach, alive, share, at_all=at_all))
        if len(row_ids) < wanted and not at_all:
            _, row_ids = self._candidates(Look(query, reach, alive, share, at_all=True))
        return row_ids

    def _candidates(self, look: Look) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        with _one_thread():
            return candidates(self.kind, self.settings, self.faiss_index, look)

    def _alive_among(self, allowed: NDArray[np.bool_] | None) -> tuple[NDArray[np.bool_] | None, int]:
        """Give the mask that FAISS needs, if any, and how many vectors may be found."""
        if allowed is None:
            has_removed = self.faiss_index.ntotal > self.count
            return (self.alive if has_removed else None), self.count
        alive = _resized(allowed, len(self.alive)) & self.alive
        return alive, int(np.count_nonzero(alive))


def _rank(
    query: NDArray[np.float32], row_ids: NDArray[np.int64], vectors: NDArray[np.float32], wanted: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    cosines = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    order = np.lexsort((row_ids, -cosines))[:wanted]
    return row_ids[order], np.clip(cosines[order], -1.0, 1.0)


def _resized(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Cut a mask, or fill it up with False."""
    resized = np.zeros(length, dtype=np.bool_)
    resized[: len(mask)] = mask[:length]
    return resized


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS use the calling thread only: it does not share out a single query, and idle threads would spin."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
