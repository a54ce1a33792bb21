"""Dense and lexical search on Qdrant, with the retriever, ranker and cross-encoder on top unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports
from llama_index_ko_rerank.extras import require

if TYPE_CHECKING:
    from llama_index_ko_rerank.scale.qdrant.index import build_qdrant_index, open_qdrant_index
    from llama_index_ko_rerank.scale.qdrant.ingestion import ingest_passages_into_qdrant
    from llama_index_ko_rerank.scale.qdrant.retriever import KoreanQdrantRetriever, QdrantStatistics
    from llama_index_ko_rerank.scale.qdrant.vector_store import KoreanQdrantVectorStore

__all__ = [
    "KoreanQdrantRetriever",
    "KoreanQdrantVectorStore",
    "QdrantStatistics",
    "build_qdrant_index",
    "ingest_passages_into_qdrant",
    "open_qdrant_index",
]

_MODULES = {
    "KoreanQdrantRetriever": "retriever",
    "KoreanQdrantVectorStore": "vector_store",
    "QdrantStatistics": "retriever",
    "build_qdrant_index": "index",
    "ingest_passages_into_qdrant": "ingestion",
    "open_qdrant_index": "index",
}

_find, __dir__ = lazy_exports(__name__, _MODULES)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        require("qdrant", "qdrant_client", needed_for="Qdrant")
    return _find(name)
