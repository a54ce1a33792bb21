"""What LlamaIndex asks a docstore about documents, answered by the index itself."""

from __future__ import annotations

import asyncio

from llama_index.core.storage.docstore import SimpleDocumentStore

from llama_index_ko_rerank.store.threaded import ThreadedVectorStore


class StoredDocumentHashes(SimpleDocumentStore):
    """A docstore that knows which version of a document is in the index, in this session or from an earlier one.

    ``index.refresh_ref_docs`` compares documents with these hashes. LlamaIndex's own docstore forgets them with the
    session, and keeps them for documents that were deleted.
    """

    def __init__(self, store: ThreadedVectorStore) -> None:
        """Answer from a store."""
        super().__init__()
        self._store = store

    def get_document_hash(self, doc_id: str) -> str | None:
        """Give the hash of the document whose nodes are in the index; None where there are none."""
        return self._store.document_hash(doc_id)

    async def aget_document_hash(self, doc_id: str) -> str | None:
        """Do as `get_document_hash`, off the event loop."""
        return await asyncio.to_thread(self.get_document_hash, doc_id)
