"""The FAISS index: derived from the table, exact, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss as compiled_faiss
import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DamagedIndex

# FAISS's type stubs do not know what its Python layer adds.
faiss: Any = compiled_faiss

_SPARE = 16
_byte_limit_lock = threading.Lock()


class VectorIndex:
    """Vectors of unit length under row ids, searched one by one (``IndexIDMap2`` over ``IndexFlatIP``).

    Not thread-safe: many threads may search at one time, and none may while one adds or removes.

    Attributes:
        generation: The generation of the table that this is the index of; whoever changes the index sets it.
        last_row_id: The highest row id that was ever added, 0 where none was.
    """

    def __init__(self, dimension: int, *, generation: int) -> None:
        self._faiss = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        self.generation = generation
        self.last_row_id = 0

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        return int(self._faiss.d)

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return int(self._faiss.ntotal)

    def add(self, row_ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors of unit length, shape (row ids, dimension), under ascending ids past `last_row_id`."""
        if row_ids.size:
            self._faiss.add_with_ids(np.ascontiguousarray(vectors), row_ids)
            self.last_row_id = int(row_ids[-1])

    def remove(self, row_ids: NDArray[np.int64]) -> None:
        """Remove vectors; ids that are not there are left aside."""
        if row_ids.size:
            self._faiss.remove_ids(row_ids)

    def search(
        self, query: NDArray[np.float32], *, top_k: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the nearest vectors by cosine, exactly.

        FAISS adds up in float32, in an order that depends on where a vector lies, so that equal vectors may differ in
        the last digits. Therefore some more candidates are taken than asked for, until the last of them is worse than
        the k-th by more than FAISS can be wrong; their cosines are computed again in float64, row by row in one order.

        Args:
            query: Of unit length, shape (dimension,).
            top_k: At least 1; more than there are is all of them.
            allowed: Row ids to search among, all of them in the index and each once; all where None.

        Returns:
            Row ids and cosines in -1 to 1, best first; equal cosines in the order of the ids.
        """
        population = self.count if allowed is None else len(allowed)
        wanted = min(top_k, population)
        if not wanted:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        selection: dict[str, Any] = {}
        if allowed is not None:
            selection["params"] = faiss.SearchParameters(sel=faiss.IDSelectorBatch(allowed))
        # A sum of n products of float32 is off by at most n/2 epsilons, where the products' absolutes add up to 1.
        uncertain = self.dimension * float(np.finfo(np.float32).eps)
        reach = min(population, wanted + _SPARE)
        while True:
            with _one_thread():
                cosines, row_ids = self._faiss.search(query[np.newaxis], reach, **selection)
            if reach == population or cosines[0, wanted - 1] - cosines[0, -1] > uncertain:
                break
            reach = min(population, reach * 4)
        return self._rank_exactly(query, row_ids[0], wanted)

    def to_bytes(self) -> memoryview:
        """Serialise in FAISS's own format."""
        return memoryview(faiss.serialize_index(self._faiss))

    @classmethod
    def from_bytes(cls, payload: bytes, *, dimension: int, generation: int) -> VectorIndex:
        """Read what `to_bytes` wrote; its checksum must have been verified before.

        Raises:
            DamagedIndex: FAISS cannot read it, or it is an index of another kind or dimension.
        """
        try:
            with _limited_to(len(payload)):
                loaded = faiss.deserialize_index(np.frombuffer(payload, dtype=np.uint8))
        except RuntimeError as problem:
            raise DamagedIndex(f"FAISS cannot read the snapshot: {problem}") from problem
        flat = faiss.downcast_index(loaded.index) if isinstance(loaded, faiss.IndexIDMap2) else None
        if not isinstance(flat, faiss.IndexFlatIP) or loaded.d != dimension:
            raise DamagedIndex(f"the snapshot holds a {type(loaded).__name__} of {loaded.d}-d vectors of another kind")
        index = cls(dimension, generation=generation)
        index._faiss = loaded
        index.last_row_id = int(loaded.id_map.at(loaded.ntotal - 1)) if loaded.ntotal else 0
        return index

    def _rank_exactly(
        self, query: NDArray[np.float32], row_ids: NDArray[np.int64], wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        vectors = self._faiss.reconstruct_batch(row_ids).astype(np.float64)
        cosines = (vectors * query.astype(np.float64)).sum(axis=1)
        order = np.lexsort((row_ids, -cosines))[:wanted]
        return row_ids[order], np.clip(cosines[order], -1.0, 1.0)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS use the calling thread only: it does not share out a single query, and idle threads would spin."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _limited_to(size: int) -> Iterator[None]:
    """Let FAISS allocate no vector larger than the bytes it reads from, where this FAISS knows such a limit."""
    if not hasattr(faiss, "set_deserialization_vector_byte_limit"):
        yield
        return
    with _byte_limit_lock:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(size)
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)
