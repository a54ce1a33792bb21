"""A collection on disk: an index, the models that belong to it, and how they are put together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor

from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.ltr.model import DEFAULT
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import DEFAULT_WEIGHTS, HybridRetriever
from llama_index_ko_rerank.retrieve.sharded import sharded_words
from llama_index_ko_rerank.store.index import index_over, open_index
from llama_index_ko_rerank.store.sharded_layout import is_sharded
from llama_index_ko_rerank.store.sharded_store import ShardedVectorStore

_SETTINGS = "ko-rerank.json"
_INDEX = "index"
_LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """What a collection remembers of itself.

    Attributes:
        embed_model: A catalog or hub name, or a folder; a relative one counts from the collection's folder.
        rerank_model: A cross-encoder, likewise; None where the collection has none.
        weights: How much the legs ``lexical`` and ``dense`` count, as `ko-rerank fit` found; the defaults where None.
        ranker: ``default`` for the ranker that ships, the name of a file of fitted weights in the collection, or None.
            Where there is also a cross-encoder, the cross-encoder reorders and the ranker is not asked.
        blend: The share of the first stage in the cross-encoder's scores, 0-1.
    """

    embed_model: str
    rerank_model: str | None = None
    weights: dict[str, float] | None = None
    ranker: str | None = DEFAULT
    blend: float = 0.0


@dataclass(frozen=True, slots=True)
class Collection:
    """An opened collection.

    Attributes:
        folder: Where it is.
        index: A normal `VectorStoreIndex`.
        lexical: The retriever over words, which follows the index.
        retriever: The hybrid of both.
        reranker: The cross-encoder or the ranker, where the collection has one.
    """

    folder: Path
    index: VectorStoreIndex
    lexical: KoreanBM25Retriever
    retriever: BaseRetriever
    reranker: BaseNodePostprocessor | None


def index_folder(folder: str | Path) -> Path:
    """Return where the vector index of a collection lies."""
    return Path(folder) / _INDEX


def lexical_folder(folder: str | Path) -> Path:
    """Return where the lexical snapshot of a collection lies."""
    return Path(folder) / _LEXICAL


def write_settings(folder: str | Path, settings: CollectionSettings) -> None:
    """Write what a collection remembers; folders inside it are kept relative, so that it can be moved."""
    folder = Path(folder).absolute()
    content = {
        "format": 1,
        "embed_model": _relative(settings.embed_model, folder),
        "rerank_model": settings.rerank_model and _relative(settings.rerank_model, folder),
        "weights": settings.weights,
        "ranker": settings.ranker,
        "blend": settings.blend,
    }
    write_json_file(folder / _SETTINGS, content)


def read_settings(folder: str | Path) -> CollectionSettings:
    """Read what a collection remembers.

    Raises:
        IndexNotFound: The folder is no collection.
        DamagedIndex: Its settings cannot be read.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        embed_model, rerank_model = content["embed_model"], content["rerank_model"]
        weights, ranker, blend = content["weights"], content["ranker"], float(content.get("blend", 0.0))
    except FileNotFoundError as problem:
        raise IndexNotFound(
            f"{str(folder)!r} holds no {_SETTINGS}; make a collection there with `ko-rerank index {folder}`"
        ) from problem
    except (ValueError, KeyError, TypeError) as problem:
        raise DamagedIndex(f"{_SETTINGS} in {str(folder)!r} cannot be read: {problem}") from problem
    return CollectionSettings(
        _found(embed_model, folder), rerank_model and _found(rerank_model, folder), weights, ranker, blend
    )


def open_collection(
    folder: str | Path, *, similarity_top_k: int = 30, top_n: int = 5, rerank: bool = True
) -> Collection:
    """Open a collection that `ko-rerank index` or `ko-rerank demo` made.

    Of a collection of several shards the vectors are searched as they are at each question; the words as they are now.

    Args:
        folder: The collection's folder.
        similarity_top_k: How many candidates the retriever hands on.
        top_n: How many of them the reranker keeps.
        rerank: Whether to load the reranker, where there is one.

    Raises:
        IndexNotFound: The folder is no collection.
        ModelMismatch: The index was built with another model than the settings name.
        DamagedIndex: The index, or a shard of it, cannot be read.
    """
    settings = read_settings(folder)
    embed_model = KoreanEmbedding(settings.embed_model)
    words = lexical_folder(folder)
    if is_sharded(folder):
        store = ShardedVectorStore(folder, embedding_identity=embedding_identity(embed_model))
        index = index_over(store, embed_model, chunk_tokens=store.settings.get("chunk_tokens"))
        lexical = sharded_words(store, words, similarity_top_k=similarity_top_k)
    else:
        index = open_index(index_folder(folder), embed_model=embed_model)
        lexical = KoreanBM25Retriever.from_index(index, similarity_top_k=similarity_top_k, snapshot=words)
    dense = index.as_retriever(similarity_top_k=similarity_top_k)
    retriever = HybridRetriever.of(
        lexical, dense, similarity_top_k=similarity_top_k, weights=settings.weights or DEFAULT_WEIGHTS
    )
    reranker: BaseNodePostprocessor | None = None
    if rerank and settings.rerank_model:
        reranker = CrossEncoderNodePostprocessor(settings.rerank_model, top_n=top_n, blend=settings.blend)
    elif rerank and settings.ranker:
        weights = DEFAULT if settings.ranker == DEFAULT else str(Path(folder) / settings.ranker)
        reranker = LearningToRankPostprocessor.from_index(lexical.lexical_index, weights=weights, top_n=top_n)
    return Collection(Path(folder), index, lexical, retriever, reranker)


def _relative(model: str, folder: Path) -> str:
    path = Path(model).absolute()
    return path.relative_to(folder).as_posix() if path.is_dir() and path.is_relative_to(folder) else model


def _found(model: str, folder: Path) -> str:
    return str(folder / model) if (folder / model).is_dir() else model
