"""Nodes and vectors in one folder: nothing is lost, and search is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    """Import a public name on its first use, so that importing this package loads neither faiss nor kiwi."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
