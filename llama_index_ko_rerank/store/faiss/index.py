"""The FAISS index in memory: derived from the table, ranked by the table's own vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss as compiled_faiss
import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.store.settings import IndexKind, IndexSettings

# FAISS's type stubs do not know what its Python layer adds.
faiss: Any = compiled_faiss

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
_SCANNED_BELOW_SHARE = 0.2
_POINTS_PER_LIST = 32
_SAMPLE = 20_000
_TRAINING_ROUNDS = 10
_NUMBERS_PER_CODE = 4


@dataclass(frozen=True, slots=True)
class Look:
    """One search of what is in memory.

    Attributes:
        query: Of unit length, shape (dimension,).
        reach: How many vectors at most are found.
        allowed: Whether each row id may be found, shape (highest row id + 1,); all may where None.
        share: How many of the vectors may be found, above 0 and at most 1.
        exhaustive: Whether every vector that may be found is looked at; matters to ``hnsw`` and ``ivf``.
    """

    query: NDArray[np.float32]
    reach: int
    allowed: NDArray[np.bool_] | None
    share: float
    exhaustive: bool


def make_faiss_index(kind: IndexKind, settings: IndexSettings, dimension: int, count: int) -> Any:
    """Make an index without vectors that is meant for so many; it must be trained before any is added."""
    if kind == "flat":
        flat = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        # Room for all of them at once: else FAISS moves its codes again and again while they are added.
        flat.codes.resize(count * flat.code_size)
        flat.codes.resize(0)
        return faiss.IndexIDMap(flat)
    if kind == "hnsw":
        eight_bit = faiss.ScalarQuantizer.QT_8bit
        graph = faiss.IndexHNSWSQ(dimension, eight_bit, settings.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = settings.hnsw_build_candidates
        return faiss.IndexIDMap(graph)
    return _make_lists(kind, dimension, settings.lists_for(count))


def training_size(kind: IndexKind, settings: IndexSettings, count: int) -> int:
    """Say how many vectors an index of so many learns from before any is added; flat ones learn nothing."""
    if kind == "flat":
        return 0
    return min(count, _SAMPLE if kind == "hnsw" else max(_SAMPLE, _POINTS_PER_LIST * settings.lists_for(count)))


def largest_error(kind: IndexKind, dimension: int) -> float | None:
    """Bound how far the cosines of `candidates` are from exact ones; None where a kind may also miss vectors.

    A 16-bit float is off by at most 2^-11 of its size, and so is a cosine, since the absolutes of its products add up
    to 1 at most; numbers below 2^-14 add at most 2^-25 each. FAISS adds up in 32 bits, which is off by at most half an
    epsilon for each number.
    """
    if kind != "flat":
        return None
    rounding = float(np.finfo(np.float32).eps) / 2
    return 2.0**-11 + 2.0**-25 * math.sqrt(dimension) + dimension * rounding


def candidates(kind: IndexKind, settings: IndexSettings, index: Any, look: Look) -> Found:
    """Find the nearest vectors by what is in memory.

    Returns:
        Cosines, best first, and row ids; fewer than ``look.reach`` where fewer were met.
    """
    cosines, row_ids = _SEARCHES[kind](settings, index, look)
    real = row_ids >= 0
    return cosines[real], row_ids[real]


def _make_lists(kind: IndexKind, dimension: int, lists: int) -> Any:
    centres = faiss.IndexFlatIP(dimension)
    if kind == "ivfpq":
        most = max(1, dimension // _NUMBERS_PER_CODE)
        parts = next(parts for parts in range(most, 0, -1) if dimension % parts == 0)
        index = faiss.IndexIVFPQ(centres, dimension, lists, parts, 8, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.min_points_per_centroid = 1
    else:
        eight_bit = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexIVFScalarQuantizer(centres, dimension, lists, eight_bit, faiss.METRIC_INNER_PRODUCT, False)
    index.cp.niter = _TRAINING_ROUNDS
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _POINTS_PER_LIST
    return index


def _search_flat(settings: IndexSettings, index: Any, look: Look) -> Found:
    del settings
    return _run(index, look, faiss.SearchParameters(), look.allowed)


def _search_graph(settings: IndexSettings, index: Any, look: Look) -> Found:
    graph = faiss.downcast_index(index.index)
    row_ids = faiss.vector_to_array(index.id_map)
    allowed = None if look.allowed is None else look.allowed[row_ids]
    # Where few may be found, a walk along the graph meets few of them: reading all of these is surer and faster.
    if look.exhaustive or look.share < _SCANNED_BELOW_SHARE:
        cosines, places = _run(graph.storage, look, faiss.SearchParameters(), allowed)
    else:
        in_view = max(look.reach, round(settings.hnsw_search_candidates / look.share))
        cosines, places = _run(graph, look, faiss.SearchParametersHNSW(efSearch=in_view), allowed)
    return cosines, np.where(places < 0, -1, row_ids[places])


def _search_lists(settings: IndexSettings, index: Any, look: Look) -> Found:
    # However few may be found, as many of them are read: a filter costs neither recall nor time.
    probed = min(index.nlist, round(index.nlist * settings.ivf_probed_share / look.share) + 1)
    parameters = faiss.SearchParametersIVF(nprobe=index.nlist if look.exhaustive else probed)
    return _run(index, look, parameters, look.allowed)


def _run(index: Any, look: Look, parameters: Any, allowed: NDArray[np.bool_] | None) -> Found:
    # FAISS keeps only pointers to the selector and to its bits.
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        parameters.sel = selector = faiss.IDSelectorBitmap(bits)
        parameters.referenced_objects = [selector, bits]
    cosines, ids = index.search(look.query[np.newaxis], look.reach, params=parameters)
    return cosines[0], ids[0]


_SEARCHES: dict[IndexKind, Callable[[IndexSettings, Any, Look], Found]] = {
    "flat": _search_flat,
    "hnsw": _search_graph,
    "ivf": _search_lists,
    "ivfpq": _search_lists,
}


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

    def needs_rebuild(self) -> bool:
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
                cosines, row_ids = self._candidates(Look(query, reach, alive, share, exhaustive=True))
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
        exhaustive = reach * 2 > population
        _, row_ids = self._candidates(Look(query, reach, alive, share, exhaustive=exhaustive))
        if len(row_ids) < wanted and not exhaustive:
            _, row_ids = self._candidates(Look(query, reach, alive, share, exhaustive=True))
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
