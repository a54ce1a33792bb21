"""Nodes and vectors in one folder: nothing is lost, and every cosine is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.store.index import build_index, open_index
    from llama_index_ko_rerank.store.integrity import IntegrityReport, check_integrity, repair
    from llama_index_ko_rerank.store.settings import IndexSettings
    from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore

__all__ = [
    "DurableFaissVectorStore",
    "IndexSettings",
    "IntegrityReport",
    "build_index",
    "check_integrity",
    "open_index",
    "repair",
]

_MODULES = {
    "DurableFaissVectorStore": "vector_store",
    "IndexSettings": "settings",
    "IntegrityReport": "integrity",
    "build_index": "index",
    "check_integrity": "integrity",
    "open_index": "index",
    "repair": "integrity",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
