"""Building and opening a collection at Qdrant, as normal LlamaIndex `VectorStoreIndex`es."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from uuid import uuid4

from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.utils import embed_nodes
from llama_index.core.schema import BaseNode, Document
from qdrant_client import QdrantClient, models

from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.errors import IndexExists, IndexNotFound, StoreError
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.scale.qdrant.client import QdrantCollection, aliases, qdrant_call
from llama_index_ko_rerank.scale.qdrant.manifest import Manifest
from llama_index_ko_rerank.scale.qdrant.sparse import SparseEncoder, TokenCounts, count_texts, mean_lengths_of
from llama_index_ko_rerank.scale.qdrant.vector_store import KoreanQdrantVectorStore, lexical_texts, write_nodes
from llama_index_ko_rerank.store.index import checked_nodes, index_over
from llama_index_ko_rerank.text.kiwi import UserWord
from llama_index_ko_rerank.text.splitter import make_splitter

logger = logging.getLogger(__name__)


def new_collection(client: QdrantClient, name: str) -> QdrantCollection:
    """Name the collection of a new build; it is not made."""
    return QdrantCollection(client, f"{name}.{uuid4().hex[:8]}")


def builds_of(client: QdrantClient, name: str) -> list[str]:
    """List the collections of all builds of a name, finished or not."""
    with qdrant_call("list the collections"):
        names = [one.name for one in client.get_collections().collections]
    return [one for one in names if re.fullmatch(re.escape(name) + r"\.[0-9a-f]{8}", one)]


def find_room(client: QdrantClient, name: str, *, overwrite: bool) -> str | None:
    """Return the collection that the name is an alias of, None where the name is free.

    Raises:
        IndexExists: There is an index of this name and ``overwrite`` is False, or a collection that is no alias.
    """
    behind = aliases(client).get(name)
    if behind is None:
        with qdrant_call(f"look for the collection {name!r}"):
            is_there = client.collection_exists(name)
        if is_there:
            raise IndexExists(f"there is a collection {name!r} that build_qdrant_index did not make; choose another")
    elif not overwrite:
        raise IndexExists(f"there is an index {name!r}; open it with open_qdrant_index, or pass overwrite=True")
    return behind


def drop_leftovers(client: QdrantClient, name: str, *, keep: Sequence[str | None]) -> None:
    """Delete what builds of this name have left that were interrupted."""
    for one in builds_of(client, name):
        if one not in keep:
            drop(client, one)


def point_to(client: QdrantClient, name: str, fresh: str, behind: str | None) -> None:
    """Let the name mean the new collection, in one step, and drop the old one."""
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=fresh, alias_name=name))
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
    with qdrant_call(f"give the index the name {name!r}"):
        client.update_collection_aliases([delete, create] if behind else [create])
    if behind:
        drop(client, behind)


def drop(client: QdrantClient, name: str) -> None:
    """Delete a collection; what cannot be deleted now is left to the next build."""
    try:
        with qdrant_call(f"delete the collection {name!r}"):
            client.delete_collection(name)
    except IndexNotFound:
        return
    except StoreError as problem:
        logger.warning("%s; the next build of that name deletes it", problem)


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
    fresh: QdrantCollection,
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
