"""Base of the vector stores: coroutines off the event loop, and the checks of their arguments."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, UnsupportedQuery
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from llama_index_ko_rerank.text.normalize import check_text


class AsyncVectorStoreMixin(BasePydanticVectorStore):
    """Vector store that knows its documents, and whose coroutines run their synchronous methods in a thread.

    LlamaIndex's own run them on the event loop, which then waits for the disk or a server.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False

    @abstractmethod
    def document_hash(self, ref_doc_id: str) -> str | None:
        """Give LlamaIndex's hash of the document that nodes were cut from; None where it has no nodes here."""

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Do as `add`, off the event loop."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Do as `delete`, off the event loop."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Do as `delete_nodes`, off the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Do as `get_nodes`, off the event loop."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """Do as `clear`, off the event loop."""
        await asyncio.to_thread(self.clear)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Do as `query`, off the event loop."""
        return await asyncio.to_thread(self.query, query, **kwargs)


_OTHER_MODES_OPTIONS = ("alpha", "mmr_threshold", "sparse_top_k", "hybrid_top_k", "output_fields", "embedding_field")


def validate_query(query: VectorStoreQuery) -> NDArray[np.float32]:
    """Refuse a query that the store would not answer as it was meant, and give its embedding.

    Returns:
        The query's embedding at unit length, shape (dimension,).

    Raises:
        UnsupportedQuery: A mode other than ``default``, or an option of another mode.
        InvalidSetting: ``similarity_top_k`` is not a whole number of at least 1, or ids are not strings.
        InvalidVector: The query has no embedding, or one of NaN, infinity or zeros.
    """
    if query.mode != VectorStoreQueryMode.DEFAULT:
        mode = VectorStoreQueryMode(query.mode).value
        raise UnsupportedQuery(
            f"DurableFaissVectorStore has the query mode 'default' and not {mode!r}; "
            "HybridRetriever searches by words and vectors together"
        )
    given = [option for option in _OTHER_MODES_OPTIONS if getattr(query, option) is not None]
    if given:
        raise UnsupportedQuery(f"DurableFaissVectorStore does not know the query option {given[0]!r}; leave it out")
    check_ids(query.node_ids or [], "node_ids")
    check_ids(query.doc_ids or [], "doc_ids")
    top_k = query.similarity_top_k
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InvalidSetting(f"similarity_top_k is a whole number of at least 1, not {top_k!r}")
    vector: NDArray[np.float32] = normalize_embeddings([query.query_embedding], ["the query"])[0]
    return vector


def check_ids(ids: Sequence[str], what: str) -> None:
    """Refuse ids that no node can have, and one string where a list is meant.

    Raises:
        InvalidSetting: A string, or something in the list that is none.
        InvalidText: An id holds lone surrogates.
    """
    if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
        raise InvalidSetting(f"{what} is a list of strings, not {ids!r:.80}")
    for one in ids:
        check_text(one, f"an id in {what}")


def reject_options(method: str, options: Mapping[str, object]) -> None:
    """Refuse keyword arguments that would have no effect.

    Raises:
        InvalidSetting: Naming the first of them.
    """
    if options:
        raise InvalidSetting(f"DurableFaissVectorStore.{method} takes no option {next(iter(options))!r}")
