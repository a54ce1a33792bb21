"""Text to unit vectors: the embedding class for LlamaIndex, and what identifies the model behind a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.embed.embedding import KoreanEmbedding
    from llama_index_ko_rerank.embed.identity import embedding_identity, identity_differences

__all__ = ["KoreanEmbedding", "embedding_identity", "identity_differences"]

_MODULES = {"KoreanEmbedding": "embedding", "embedding_identity": "identity", "identity_differences": "identity"}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
