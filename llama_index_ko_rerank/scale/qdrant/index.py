"""Building and opening a collection at Qdrant, as normal LlamaIndex `VectorStoreIndex`es."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.utils import embed_nodes
from llama_index.core.schema import BaseNode, Document
from qdrant_client import QdrantClient

from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.errors import StoreError
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.scale.qdrant.collection import Collection
from llama_index_ko_rerank.scale.qdrant.manifest import Manifest
from llama_index_ko_rerank.scale.qdrant.replacing import drop, drop_leftovers, find_room, new_collection, point_to
from llama_index_ko_rerank.scale.qdrant.sparse import SparseEncoder, TokenCounts, count_texts, mean_lengths_of
from llama_index_ko_rerank.scale.qdrant.vector_store import KoreanQdrantVectorStore
from llama_index_ko_rerank.scale.qdrant.writing import lexical_texts, write_nodes
from llama_index_ko_rerank.store.index import checked_nodes, index_over
from llama_index_ko_rerank.text.kiwi import UserWord
from llama_index_ko_rerank.text.splitter import make_splitter

_BATCH = 1024


def build_qdrant_index(
    documents_or_nodes: Sequence[Document | BaseNode],
    client: QdrantClient,
    collection_name: str,
    *,
    embed_model: BaseEmbedding | None = None,
    chunk_tokens: int | None = None,
    user_words: Sequence[UserWord] = (),
    settings: BM25Settings | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> VectorStoreIndex:
    """Embed and tokenise documents or nodes and keep them in a collection at Qdrant.

    The nodes go into a new collection, and ``collection_name`` becomes an alias of it once all are there. Until then,
    and where the build is interrupted, an index that was there before is found under the name unchanged. What an
    interrupted build left is deleted by the next one, so that of two builds of one name at the same time one fails.

    Args:
        documents_or_nodes: Documents are split (see `make_splitter`); nodes are kept as they are, with their
            embeddings where they have any.
        client: Qdrant's client: ``QdrantClient(url=..., api_key=...)``, or in local mode ``QdrantClient(path=...)`` or
            ``QdrantClient(":memory:")``.
        collection_name: What the collection is called.
        embed_model: Its identity is recorded, and every later opening must bring the same model; `KoreanEmbedding()`
            where None.
        chunk_tokens: The most tokens of a chunk; 256 or the model's limit where None.
        user_words: Words that Kiwi should know, each with its tag; recorded.
        settings: BM25's constants; recorded, as is the mean length of the passages.
        overwrite: Replace an index of this name.
        show_progress: Show LlamaIndex's progress bars.

    Returns:
        The index, opened; ``index.vector_store`` is its `KoreanQdrantVectorStore`.

    Raises:
        EmptyCorpus: There is nothing to index, or nothing but blank texts.
        IndexExists: There is an index of this name and ``overwrite`` is False, or a collection that is no alias.
        InvalidNode, InvalidText, DuplicateNodeId, InvalidSetting: Before anything is embedded or written.
        InvalidVector, DimensionMismatch: The model made unusable vectors; nothing is kept.
        QdrantUnavailable, IndexReadOnly, DiskFull: The server does not answer, refuses, or is full.
    """
    embed_model = embed_model or KoreanEmbedding()
    splitter = make_splitter(embed_model, chunk_tokens=chunk_tokens)
    nodes = checked_nodes(documents_or_nodes, splitter, show_progress=show_progress)
    behind = find_room(client, collection_name, overwrite=overwrite)
    drop_leftovers(client, collection_name, keep=[behind])
    counts = count_texts(lexical_texts(nodes), user_words)
    encoder = SparseEncoder(mean_lengths_of(counts), user_words=user_words, settings=settings)
    fresh = new_collection(client, collection_name)
    try:
        _fill(fresh, nodes, counts, embed_model, encoder, chunk_tokens=chunk_tokens, show_progress=show_progress)
    except BaseException:
        drop(client, fresh.name)
        raise
    point_to(client, collection_name, fresh.name, behind)
    return open_qdrant_index(client, collection_name, embed_model=embed_model)


def open_qdrant_index(
    client: QdrantClient, collection_name: str, *, embed_model: BaseEmbedding | None = None
) -> VectorStoreIndex:
    """Open a collection that `build_qdrant_index` made; documents inserted later are split as those it was built from.

    Args:
        client: Qdrant's client.
        collection_name: The name it was built under.
        embed_model: The model that it was built with; `KoreanEmbedding()` where None.

    Raises:
        IndexNotFound: There is no such collection.
        ModelMismatch: It was built with another model, or with other tokenizers.
        DamagedIndex: Something else made it.
        QdrantUnavailable: The server does not answer.
    """
    embed_model = embed_model or KoreanEmbedding()
    store = KoreanQdrantVectorStore(client, collection_name, embedding_identity=embedding_identity(embed_model))
    return index_over(store, embed_model, chunk_tokens=store.manifest.chunk_tokens)


def _fill(
    fresh: Collection,
    nodes: Sequence[BaseNode],
    counts: Mapping[str, Sequence[TokenCounts]],
    embed_model: BaseEmbedding,
    encoder: SparseEncoder,
    *,
    chunk_tokens: int | None,
    show_progress: bool,
) -> None:
    """Make the collection, write all nodes into it, and only then call it complete."""
    manifest: Manifest | None = None
    for start in range(0, len(nodes), _BATCH):
        batch = list(nodes[start : start + _BATCH])
        vectors = embed_nodes(batch, embed_model, show_progress=show_progress)
        batch = [node.model_copy(update={"embedding": vectors[node.node_id]}) for node in batch]
        if manifest is None:
            dimension = len(batch[0].embedding or ())
            manifest = Manifest.of(embed_model, encoder, dimension=dimension, chunk_tokens=chunk_tokens)
            fresh.create(manifest)
        counted = {view: rows[start : start + _BATCH] for view, rows in counts.items()}
        write_nodes(fresh, batch, encoder, dimension=manifest.dimension, counts=counted)
    written = fresh.count()
    if manifest is None or written != len(nodes):
        raise StoreError(f"of {len(nodes)} nodes {written} are in {fresh.name!r}: build it again")
    fresh.complete(manifest)
