"""The kinds of FAISS indexes: how each is made and searched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss as compiled_faiss
import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.store.index_settings import IndexKind, IndexSettings

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
        at_all: Whether every vector that may be found is looked at, which makes a difference to ``hnsw`` and ``ivf``.
    """

    query: NDArray[np.float32]
    reach: int
    allowed: NDArray[np.bool_] | None
    share: float
    at_all: bool


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
    if look.at_all or look.share < _SCANNED_BELOW_SHARE:
        cosines, places = _run(graph.storage, look, faiss.SearchParameters(), allowed)
    else:
        in_view = max(look.reach, round(settings.hnsw_search_candidates / look.share))
        cosines, places = _run(graph, look, faiss.SearchParametersHNSW(efSearch=in_view), allowed)
    return cosines, np.where(places < 0, -1, row_ids[places])


def _search_lists(settings: IndexSettings, index: Any, look: Look) -> Found:
    # However few may be found, as many of them are read: a filter costs neither recall nor time.
    probed = min(index.nlist, round(index.nlist * settings.ivf_probed_share / look.share) + 1)
    parameters = faiss.SearchParametersIVF(nprobe=index.nlist if look.at_all else probed)
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
