"""What a collection is made with, from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.errors import IndexNotFound

if TYPE_CHECKING:
    from llama_index_ko_rerank.collection import CollectionSettings
    from llama_index_ko_rerank.embed import KoreanEmbedding


def changed_settings(
    folder: Path, embed_model: str | None, rerank_model: str | None, *, overwrite: bool
) -> CollectionSettings:
    """Keep what a collection knows, as its fitted weights, and change what was named."""
    from llama_index_ko_rerank.collection import CollectionSettings, read_settings

    try:
        known = read_settings(folder)
    except IndexNotFound:
        return CollectionSettings(embed_model or DEFAULT_EMBEDDING, rerank_model)
    if overwrite:
        return CollectionSettings(embed_model or known.embed_model, rerank_model)
    is_same = rerank_model in (None, known.rerank_model)
    return replace(
        known,
        embed_model=embed_model or known.embed_model,
        rerank_model=rerank_model or known.rerank_model,
        blend=known.blend if is_same else 0.0,  # it was fitted for the other cross-encoder
    )


def load_embedding(embed_model: str) -> KoreanEmbedding:
    """Load an embedding model by name or folder."""
    from llama_index_ko_rerank.embed import KoreanEmbedding

    return KoreanEmbedding(embed_model)
