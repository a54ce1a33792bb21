"""Nodes and vectors in one folder: nothing is lost, and every cosine is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.store.index import build_index, open_index
    from llama_index_ko_rerank.store.index_settings import IndexSettings
    from llama_index_ko_rerank.store.integrity import IntegrityReport, check_integrity, repair
    from llama_index_ko_rerank.store.splitting import KoreanSentenceSplitter, make_splitter
    from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore

__all__ = [
    "DurableFaissVectorStore",
    "IndexSettings",
    "IntegrityReport",
    "KoreanSentenceSplitter",
    "build_index",
    "check_integrity",
    "make_splitter",
    "open_index",
    "repair",
]

_MODULES = {
    "DurableFaissVectorStore": "vector_store",
    "IndexSettings": "index_settings",
    "IntegrityReport": "integrity",
    "KoreanSentenceSplitter": "splitting",
    "build_index": "index",
    "check_integrity": "integrity",
    "make_splitter": "splitting",
    "open_index": "index",
    "repair": "integrity",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
