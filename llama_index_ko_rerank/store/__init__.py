"""Nodes and vectors in one folder: nothing is lost, and search is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.store.index import build_index, open_index
    from llama_index_ko_rerank.store.splitting import KoreanSentenceSplitter, make_splitter
    from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore

__all__ = ["DurableFaissVectorStore", "KoreanSentenceSplitter", "build_index", "make_splitter", "open_index"]

_MODULES = {
    "DurableFaissVectorStore": "vector_store",
    "KoreanSentenceSplitter": "splitting",
    "build_index": "index",
    "make_splitter": "splitting",
    "open_index": "index",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
