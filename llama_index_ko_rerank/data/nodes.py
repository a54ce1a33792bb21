"""A data set's collection as LlamaIndex nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.data.dataset import RetrievalDataset

if TYPE_CHECKING:
    from llama_index.core.schema import TextNode


def dataset_nodes(dataset: RetrievalDataset) -> list[TextNode]:
    """Turn a collection into nodes, in document order, with the passage ids as node ids.

    The title is metadata that neither a model nor BM25 reads, so that every system searches the same text: the passage.
    """
    from llama_index.core.schema import TextNode

    hidden = ["title"]
    return [
        TextNode(
            id_=passage.id,
            text=passage.text,
            metadata={"title": passage.title},
            excluded_embed_metadata_keys=hidden,
            excluded_llm_metadata_keys=hidden,
        )
        for passage in dataset.passages
    ]
