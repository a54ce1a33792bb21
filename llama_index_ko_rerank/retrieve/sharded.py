"""The words of all shards in one lexical index, so that a word weighs the same in every shard."""

from __future__ import annotations

from pathlib import Path

from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.incremental import refreshed_index
from llama_index_ko_rerank.store.sharded import ShardedVectorStore


def sharded_words(store: ShardedVectorStore, folder: Path, *, similarity_top_k: int) -> KoreanBM25Retriever:
    """Open a retriever over the words of all shards, as they are now.

    Args:
        store: The shards.
        folder: Of the lexical snapshot.
        similarity_top_k: How many nodes at most a question gets.
    """
    nodes = {node.node_id: node for node in store.nodes()}
    index, _ = refreshed_index(nodes.values(), len(nodes), folder)
    return KoreanBM25Retriever(index, nodes=nodes, similarity_top_k=similarity_top_k)
