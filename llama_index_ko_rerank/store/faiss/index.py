"""FAISS index in memory: derived from the table, ranked by the table's own vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss as compiled_faiss
import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.store.settings import IndexKind, IndexSettings

# FAISS's type stubs do not know what its Python layer adds.
faiss: Any = compiled_faiss

FetchVectors = Callable[[NDArray[np.int64]], NDArray[np.float32]]

_POINTS_PER_LIST = 32
_TRAINING_SAMPLE = 20_000
_TRAINING_ROUNDS = 10
_SPARE_CANDIDATES = 16
_OUTGROWN = 2


class VectorIndex:
    """Vectors of unit length under row ids, searched one by one.

    FAISS gives candidates, by what it holds in memory; they are ranked by the cosines of the vectors that the caller
    fetches from the table, in float64, row by row in one order, so that equal vectors have equal cosines.

    Not thread-safe: many threads may search at one time, and none may while one adds or removes.

    Attributes:
        settings: The settings that were given.
        kind: The kind that they choose for ``built_for`` vectors.
        dimension: The length of the vectors.
        generation: The generation of the table that this is the index of; whoever changes the index sets it.
        last_row_id: The highest row id that was ever added, 0 where none was.
        count: The number of vectors.
        built_for: The number of vectors that the index was made for.
        alive: Whether the vector of each row id is there, shape (at least `last_row_id` + 1,).
        faiss_index: The FAISS object.
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
        is_flat = self.kind == "flat"
        self.faiss_index = _make_flat(dimension, count) if is_flat else _make_ivf(dimension, settings.lists_for(count))
        self.alive = np.zeros(1, dtype=np.bool_)

    @property
    def training_size(self) -> int:
        """The number of vectors to learn from before any is added; 0 for ``flat``, which learns nothing."""
        if self.kind == "flat":
            return 0
        return min(self.built_for, max(_TRAINING_SAMPLE, _POINTS_PER_LIST * self.settings.lists_for(self.built_for)))

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
        if row_ids.size:
            self.alive[row_ids] = False
            self.count -= row_ids.size
            self.faiss_index.remove_ids(row_ids)

    def needs_rebuild(self) -> bool:
        """Say whether the settings choose another kind for the present count, or the lists were outgrown."""
        if self.settings.kind_for(self.count, self.dimension) != self.kind:
            return True
        return self.kind == "ivf" and self.count > _OUTGROWN * self.built_for

    def search(
        self,
        query: NDArray[np.float32],
        *,
        top_k: int,
        fetch_vectors: FetchVectors,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the nearest vectors by cosine.

        ``flat`` takes candidates until the last of them is worse than the k-th by more than 16 bits can be wrong: its
        answer is exact. ``ivf`` takes as many as its settings say; where a filter leaves fewer than were requested in
        the lists that it reads, it reads every list.

        Args:
            query: Of unit length, shape (dimension,).
            top_k: At least 1; more than there are is all of them.
            fetch_vectors: Gives the exact vectors of row ids, shape (row ids, dimension).
            allowed: Whether each row id may be found; ids past its end may not. Defaults to all.

        Returns:
            Row ids and cosines in -1 to 1, best first; equal cosines in the order of the ids.
        """
        population = self.count
        if allowed is not None:
            allowed = _resized(allowed, len(self.alive)) & self.alive
            population = int(np.count_nonzero(allowed))
        wanted = min(top_k, population)
        if not wanted:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        candidates = self._flat_candidates if self.kind == "flat" else self._ivf_candidates
        row_ids = candidates(query, wanted, population, allowed)
        return _rank(query, row_ids, fetch_vectors(row_ids), wanted)

    def _flat_candidates(
        self, query: NDArray[np.float32], wanted: int, population: int, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        error = _largest_error(self.dimension)
        fetch_k = min(population, wanted + _SPARE_CANDIDATES)
        while True:
            cosines, row_ids = self._run(query, fetch_k, allowed, faiss.SearchParameters())
            if fetch_k == population or cosines[wanted - 1] - cosines[-1] > 2 * error:
                return row_ids
            fetch_k = min(population, fetch_k * 4)

    def _ivf_candidates(
        self, query: NDArray[np.float32], wanted: int, population: int, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        lists = int(self.faiss_index.nlist)
        fetch_k = min(population, max(wanted * self.settings.oversampling, wanted + _SPARE_CANDIDATES))
        # However selective a filter is, as many vectors that it allows are read: it costs neither recall nor time.
        selectivity = population / self.count
        probed = min(lists, round(lists * self.settings.ivf_probed_share / selectivity) + 1)
        exhaustive = fetch_k * 2 > population
        row_ids = self._probe(query, fetch_k, allowed, lists if exhaustive else probed)
        if len(row_ids) < wanted and not exhaustive:
            row_ids = self._probe(query, fetch_k, allowed, lists)
        return row_ids

    def _probe(
        self, query: NDArray[np.float32], fetch_k: int, allowed: NDArray[np.bool_] | None, lists: int
    ) -> NDArray[np.int64]:
        return self._run(query, fetch_k, allowed, faiss.SearchParametersIVF(nprobe=lists))[1]

    def _run(
        self, query: NDArray[np.float32], fetch_k: int, allowed: NDArray[np.bool_] | None, parameters: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Search FAISS: its cosines, best first, and row ids; fewer than ``fetch_k`` where the lists hold fewer."""
        # FAISS keeps only pointers to the selector and to its bits.
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            parameters.sel = selector = faiss.IDSelectorBitmap(bits)
            parameters.referenced_objects = [selector, bits]
        with _one_thread():
            cosines, row_ids = self.faiss_index.search(query[np.newaxis], fetch_k, params=parameters)
        found = row_ids[0] >= 0
        return cosines[0][found], row_ids[0][found]


def _make_flat(dimension: int, count: int) -> Any:
    flat = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    # Memory for all of them at once: else FAISS moves its codes again and again while they are added.
    flat.codes.resize(count * flat.code_size)
    flat.codes.resize(0)
    return faiss.IndexIDMap(flat)


def _make_ivf(dimension: int, lists: int) -> Any:
    centroids = faiss.IndexFlatIP(dimension)
    eight_bit = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(centroids, dimension, lists, eight_bit, faiss.METRIC_INNER_PRODUCT, False)
    index.cp.niter = _TRAINING_ROUNDS
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _POINTS_PER_LIST
    return index


def _largest_error(dimension: int) -> float:
    """Bound how far the cosines of 16-bit floats are from exact ones.

    A 16-bit float is off by at most 2^-11 of its size, and so is a cosine, since the absolutes of its products add up
    to 1 at most; numbers below 2^-14 add at most 2^-25 each. FAISS adds up in 32 bits, which is off by at most half an
    epsilon for each number.
    """
    rounding = float(np.finfo(np.float32).eps) / 2
    return 2.0**-11 + 2.0**-25 * math.sqrt(dimension) + dimension * rounding


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
