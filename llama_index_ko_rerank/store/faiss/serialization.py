"""A FAISS index as the bytes of a snapshot, and back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss as compiled_faiss
import numpy as np

from llama_index_ko_rerank.errors import DamagedIndex, InvalidSetting
from llama_index_ko_rerank.store.faiss.index import VectorIndex
from llama_index_ko_rerank.store.settings import IndexSettings

# FAISS's type stubs do not know what its Python layer adds.
faiss: Any = compiled_faiss

_MARK = b"ko-rerank vectors 2\n"
_LENGTH_BYTES = 8
# Older releases of FAISS have no such limits.
_LIMITS = [
    name
    for name in ("deserialization_vector_byte_limit", "deserialization_loop_limit")
    if hasattr(faiss, f"set_{name}")
]
_limits_lock = threading.Lock()


def to_bytes(index: VectorIndex) -> bytes:
    """Write an index: a mark, the length of a JSON header, the header, which rows are alive, FAISS's own format."""
    alive = np.packbits(index.alive[: index.last_row_id + 1], bitorder="little").tobytes()
    header = {
        "settings": index.settings.as_dict(),
        "kind": index.kind,
        "dimension": index.dimension,
        "generation": index.generation,
        "count": index.count,
        "last_row_id": index.last_row_id,
        "built_for": index.built_for,
        "stored": index.faiss_index.ntotal,
        "alive_bytes": len(alive),
    }
    head = json.dumps(header).encode()
    length = len(head).to_bytes(_LENGTH_BYTES, "little")
    return b"".join([_MARK, length, head, alive, memoryview(faiss.serialize_index(index.faiss_index))])


def from_bytes(payload: bytes, *, settings: IndexSettings, dimension: int, generation: int) -> VectorIndex:
    """Read what `to_bytes` wrote; its checksum must have been verified before.

    Raises:
        DamagedIndex: It cannot be read, or is an index by other settings, of other vectors or of another generation.
    """
    try:
        header, alive, body = _split(payload)
        index = VectorIndex(
            IndexSettings.of(header["settings"]),
            header["dimension"],
            count=header["built_for"],
            generation=header["generation"],
        )
        if (index.settings, index.dimension, index.generation) != (settings, dimension, generation):
            raise DamagedIndex(
                "the snapshot is of an index by other settings, of other vectors or of another generation"
            )
        index.faiss_index = _read_faiss(body, like=index.faiss_index, stored=header["stored"])
        index.alive = np.unpackbits(alive, count=header["last_row_id"] + 1, bitorder="little").astype(np.bool_)
        index.count, index.last_row_id = header["count"], header["last_row_id"]
    except (KeyError, TypeError, ValueError, InvalidSetting, RuntimeError) as problem:
        raise DamagedIndex(f"the snapshot cannot be read: {problem}") from problem
    if np.count_nonzero(index.alive) != index.count:
        raise DamagedIndex("the snapshot holds other vectors than its header says")
    return index


def _split(payload: bytes) -> tuple[dict[str, Any], Any, Any]:
    start = len(_MARK) + _LENGTH_BYTES
    if payload[: len(_MARK)] != _MARK:
        raise DamagedIndex("the snapshot is not of this format")
    end = start + int.from_bytes(payload[len(_MARK) : start], "little")
    header = json.loads(payload[start:end])
    rest = np.frombuffer(payload, dtype=np.uint8, offset=end)
    return header, rest[: header["alive_bytes"]], rest[header["alive_bytes"] :]


def _read_faiss(body: Any, *, like: Any, stored: int) -> Any:
    with _limited_to(len(body), table_bytes=_table_bytes(like)):
        loaded = faiss.deserialize_index(body)
    inner, wanted = _inner(loaded), _inner(like)
    if type(inner) is not type(wanted) or (loaded.d, loaded.ntotal) != (like.d, stored):
        raise DamagedIndex(f"the snapshot holds a {type(loaded).__name__} of {loaded.ntotal} {loaded.d}-d vectors")
    return loaded


def _inner(index: Any) -> Any:
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index


def _table_bytes(index: Any) -> int:
    """Say how large a table FAISS reckons with for product quantisation, beside what it reads."""
    if not isinstance(index, faiss.IndexIVFPQ):
        return 0
    return 4 * (int(index.nlist) * int(index.pq.M) * int(index.pq.ksub) + 1)


@contextmanager
def _limited_to(size: int, *, table_bytes: int) -> Iterator[None]:
    """Let FAISS allocate no vector larger than the bytes it reads from, nor loop more often than there are bytes."""
    with _limits_lock:
        before = {name: getattr(faiss, f"get_{name}")() for name in _LIMITS}
        try:
            for name in before:
                getattr(faiss, f"set_{name}")(max(size, table_bytes))
            yield
        finally:
            for name, limit in before.items():
                getattr(faiss, f"set_{name}")(limit)
