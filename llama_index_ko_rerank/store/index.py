"""Building and opening an index as a LlamaIndex `VectorStoreIndex`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.utils import embed_nodes
from llama_index.core.schema import BaseNode, Document, MetadataMode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.utils import get_tqdm_iterable

from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.errors import DamagedIndex, EmptyCorpus, IndexExists, IndexNotFound
from llama_index_ko_rerank.store.async_store import AsyncVectorStoreMixin
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType, check_vector_type
from llama_index_ko_rerank.store.sqlite.connection import NODES_FILE
from llama_index_ko_rerank.store.sqlite.rows import check_node, check_unique
from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore
from llama_index_ko_rerank.text.splitter import KoreanSentenceSplitter, make_splitter

logger = logging.getLogger(__name__)

_BATCH = 2048


def build_index(
    documents_or_nodes: Sequence[Document | BaseNode],
    path: str | Path,
    *,
    embed_model: BaseEmbedding | None = None,
    chunk_tokens: int | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
    vector_dtype: VectorType = "float32",
    index_settings: IndexSettings | None = None,
) -> VectorStoreIndex:
    """Embed documents or nodes and keep them in a folder.

    The whole build is one transaction. Where it is interrupted, by an error or by ``kill -9``, an index that was there
    before is there unchanged, and a new one cannot be opened until it is built again. With ``overwrite`` the old index
    can be searched until the new one takes its place in one step.

    Args:
        documents_or_nodes: Documents are split (see `make_splitter`); nodes are kept as they are, with their
            embeddings where they have any.
        path: The folder; it and its parents are made where they are missing.
        embed_model: Its identity is recorded, and every later opening must bring the same model. Defaults to
            `KoreanEmbedding()`, which is in the wheel; ``Settings.embed_model`` is never used.
        chunk_tokens: The most tokens of a chunk. Defaults to 256 or the model's limit.
        overwrite: Replace an index that is there, or one that is damaged.
        show_progress: Show LlamaIndex's progress bars.
        vector_dtype: Type of the vectors on disk: ``float32``, or ``float16`` in half the bytes, by which a cosine
            moves by some 0.0001.
        index_settings: Settings of the FAISS index. Defaults to one that suits the number of vectors.

    Returns:
        The index, opened; ``index.vector_store`` is its `DurableFaissVectorStore`.

    Raises:
        EmptyCorpus: There is nothing to index, or nothing but blank texts.
        IndexExists: There is an index, and ``overwrite`` is False.
        InvalidNode, InvalidText, DuplicateNodeId: Before anything is embedded or written.
        InvalidVector, DimensionMismatch: The model made unusable vectors; nothing is kept.
        InvalidSetting: ``chunk_tokens`` is out of range, or ``vector_dtype`` unknown.
        IndexBusy: Another process is writing the index.
        IndexReadOnly, DiskFull: The folder cannot be written.
    """
    check_vector_type(vector_dtype)
    embed_model = embed_model or KoreanEmbedding()
    settings = IndexSettings() if index_settings is None else IndexSettings.of(index_settings)
    splitter = make_splitter(embed_model, chunk_tokens=chunk_tokens)
    folder = Path(path).expanduser().absolute()
    prepare_target(folder, overwrite=overwrite)
    nodes = checked_nodes(documents_or_nodes, splitter, show_progress=show_progress)
    identity = embedding_identity(embed_model)
    index_folder = IndexFolder(folder, mode="rebuild", embedding_identity=None)
    try:
        with index_folder.transaction():
            index_folder.reset(
                embedding_identity=identity,
                settings={"chunk_tokens": chunk_tokens},
                vector_dtype=vector_dtype,
                index_settings=settings,
            )
            remaining = iter(nodes)
            while batch := list(islice(remaining, _BATCH)):
                vectors = embed_nodes(batch, embed_model, show_progress=show_progress)
                index_folder.add([node.model_copy(update={"embedding": vectors[node.node_id]}) for node in batch])
    finally:
        index_folder.close()
    return open_index(folder, embed_model=embed_model)


def open_index(
    path: str | Path, *, embed_model: BaseEmbedding | None = None, index_settings: IndexSettings | None = None
) -> VectorStoreIndex:
    """Open the index in a folder; documents inserted later are split as those that it was built from.

    Args:
        path: The folder.
        embed_model: The model that it was built with. Defaults to `KoreanEmbedding()`.
        index_settings: Settings of the FAISS index from now on. Defaults to the recorded ones.

    Raises:
        IndexNotFound: There is no index, or its first build was interrupted.
        ModelMismatch: It was built with another model.
        DamagedIndex: Its table cannot be read.
        IndexTooNew: It was made by a newer release.
        IndexReadOnly: Other settings are given, and the folder cannot be written.
    """
    embed_model = embed_model or KoreanEmbedding()
    identity = embedding_identity(embed_model)
    store = DurableFaissVectorStore(path, embedding_identity=identity, create=False, index_settings=index_settings)
    return index_over(store, embed_model, chunk_tokens=store.settings.get("chunk_tokens"))


def index_over(
    store: AsyncVectorStoreMixin, embed_model: BaseEmbedding, *, chunk_tokens: int | None
) -> VectorStoreIndex:
    """Put a normal index over a store that is open.

    Args:
        store: The vector store, which also knows which version of a document is there.
        embed_model: The model that the store was built with.
        chunk_tokens: The most tokens of a chunk of what is inserted later; see `make_splitter`.
    """
    splitter = make_splitter(embed_model, chunk_tokens=chunk_tokens)
    storage = StorageContext.from_defaults(vector_store=store, docstore=IndexBackedDocstore(store))
    return VectorStoreIndex([], embed_model=embed_model, storage_context=storage, transformations=[splitter])


class IndexBackedDocstore(SimpleDocumentStore):
    """Docstore that knows which version of a document is in the index, in this session or from an earlier one.

    ``index.refresh_ref_docs`` compares documents with these hashes. LlamaIndex's own docstore forgets them with the
    session, and keeps them for documents that were deleted.
    """

    def __init__(self, store: AsyncVectorStoreMixin) -> None:
        """Answer from a store."""
        super().__init__()
        self._store = store

    def get_document_hash(self, doc_id: str) -> str | None:
        """Give the hash of the document whose nodes are in the index; None where there are none."""
        return self._store.document_hash(doc_id)

    async def aget_document_hash(self, doc_id: str) -> str | None:
        """Do as `get_document_hash`, off the event loop."""
        return await asyncio.to_thread(self.get_document_hash, doc_id)


def prepare_target(folder: Path, *, overwrite: bool) -> None:
    """See to it that an index can be built in the folder, leaving one that is there as it is until then."""
    try:
        IndexFolder(folder, mode="open", embedding_identity=None).close()
    except IndexNotFound:
        return
    except DamagedIndex:
        if not overwrite:
            raise
        for file in folder.glob(NODES_FILE + "*"):
            file.replace(file.with_name("damaged." + file.name))
        logger.warning("the damaged table in %s was put aside as %s", folder, "damaged." + NODES_FILE)
        return
    if not overwrite:
        raise IndexExists(
            f"there is an index in {folder}; open it with open_index, or pass overwrite=True to replace it"
        )


def checked_nodes(
    documents_or_nodes: Sequence[Document | BaseNode], splitter: KoreanSentenceSplitter, *, show_progress: bool
) -> list[BaseNode]:
    """Check everything, split documents, and leave out what has neither text nor embedding.

    Raises:
        EmptyCorpus: Nothing is left.
        InvalidNode, InvalidText, DuplicateNodeId: As in `build_index`.
    """
    items = [check_node(item) for item in documents_or_nodes]
    with_text = [item for item in items if item.embedding or item.get_content(metadata_mode=MetadataMode.NONE).strip()]
    if not with_text:
        raise EmptyCorpus("there is nothing to index: no document or node with a text was given")
    if len(with_text) < len(items):
        logger.warning("%d of %d documents and nodes have no text", len(items) - len(with_text), len(items))
    nodes: list[BaseNode] = []
    for item in get_tqdm_iterable(with_text, show_progress, "Splitting"):
        nodes.extend(splitter([item]) if isinstance(item, Document) else [item])
    check_unique(nodes)
    return nodes
