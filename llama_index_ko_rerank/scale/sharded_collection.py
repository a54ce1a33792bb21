"""Opening a sharded collection, which is then searched as one."""

from __future__ import annotations

from pathlib import Path

from llama_index.core import VectorStoreIndex
from llama_index.core.postprocessor.types import BaseNodePostprocessor

from llama_index_ko_rerank.answer.collection import Collection, CollectionSettings, lexical_folder, read_settings
from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.rerank.ltr import DEFAULT
from llama_index_ko_rerank.rerank.ltr_postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.rerank.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import DEFAULT_WEIGHTS, HybridRetriever
from llama_index_ko_rerank.scale.sharded_store import ShardedVectorStore
from llama_index_ko_rerank.scale.sharded_words import sharded_words
from llama_index_ko_rerank.store.splitting import make_splitter


def open_sharded_collection(
    folder: str | Path, *, similarity_top_k: int = 30, top_n: int = 5, rerank: bool = True
) -> Collection:
    """Open a collection that `ko-rerank index --engine ray` made, as `open_collection` opens one of one index.

    The vectors of all shards are searched as they are at each question; the words as they are now.

    Args:
        folder: The collection's folder.
        similarity_top_k: How many candidates the retriever hands on.
        top_n: How many of them the reranker keeps.
        rerank: Whether to load the reranker, where there is one.

    Raises:
        IndexNotFound: The folder is no sharded collection.
        ModelMismatch: It was made with another model than the settings name.
        DamagedIndex: A shard cannot be read.
    """
    settings = read_settings(folder)
    embed_model = KoreanEmbedding(settings.embed_model)
    store = ShardedVectorStore(folder, embedding_identity=embedding_identity(embed_model))
    splitter = make_splitter(embed_model, chunk_tokens=store.settings.get("chunk_tokens"))
    index = VectorStoreIndex.from_vector_store(store, embed_model=embed_model, transformations=[splitter])
    lexical = sharded_words(store, lexical_folder(folder), similarity_top_k=similarity_top_k)
    retriever = HybridRetriever.of(
        lexical,
        index.as_retriever(similarity_top_k=similarity_top_k),
        similarity_top_k=similarity_top_k,
        weights=settings.weights or DEFAULT_WEIGHTS,
    )
    reranker = _reranker(Path(folder), settings, lexical, top_n=top_n) if rerank else None
    return Collection(Path(folder), index, lexical, retriever, reranker)


def _reranker(
    folder: Path, settings: CollectionSettings, lexical: KoreanBM25Retriever, *, top_n: int
) -> BaseNodePostprocessor | None:
    if settings.rerank_model:
        return CrossEncoderNodePostprocessor(settings.rerank_model, top_n=top_n, blend=settings.blend)
    if not settings.ranker:
        return None
    weights = DEFAULT if settings.ranker == DEFAULT else str(folder / settings.ranker)
    return LearningToRankPostprocessor.for_index(lexical.lexical_index, weights=weights, top_n=top_n)
