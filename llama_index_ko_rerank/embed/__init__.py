"""Text to unit vectors: the embedding class for LlamaIndex, and what identifies the model behind a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_index_ko_rerank.embed.embedding import KoreanEmbedding
    from llama_index_ko_rerank.embed.identity import embedding_identity, identity_differences

__all__ = ["KoreanEmbedding", "embedding_identity", "identity_differences"]

_MODULES = {"KoreanEmbedding": "embedding", "embedding_identity": "identity", "identity_differences": "identity"}


def __getattr__(name: str) -> object:
    """Import a public name on its first use, so that importing this package loads no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
