"""The words of a sharded collection in one lexical index, so that a word weighs the same in every shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llama_index.core.schema import BaseNode, MetadataMode

from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.following import resume_snapshot, save_snapshot
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.store.sharded_store import ShardedVectorStore

Progress = Callable[[int, int], None]

_AT_ONCE = 4096


def refresh_sharded_words(
    store: ShardedVectorStore, folder: Path, *, on_progress: Progress | None = None
) -> LexicalIndex:
    """Bring the lexical snapshot of a collection up to date with all of its shards; only what is new is tokenised.

    Args:
        store: The shards.
        folder: Of the snapshot.
        on_progress: Called with the number of nodes compared and in all.

    Returns:
        The lexical index.
    """
    index, before = resume_snapshot(folder, LexicalIndex(), MetadataMode.EMBED)
    hashes: dict[str, str] = {}
    changed: list[BaseNode] = []
    total = store.count
    for number, node in enumerate(store.nodes(), start=1):
        hashes[node.node_id] = node.hash
        if before.get(node.node_id) != node.hash:
            changed.append(node)
        if number % _AT_ONCE == 0:
            changed = _replace(index, changed)
            if on_progress:
                on_progress(number, total)
    _replace(index, changed)
    index.delete([node_id for node_id in before if node_id not in hashes])
    if hashes != before:
        save_snapshot(folder, index, hashes, MetadataMode.EMBED)
    return index


def sharded_words(store: ShardedVectorStore, folder: Path, *, similarity_top_k: int) -> KoreanBM25Retriever:
    """Open a retriever over the words of all shards, as they are now.

    Args:
        store: The shards.
        folder: Of the lexical snapshot.
        similarity_top_k: How many nodes at most a question gets.
    """
    index = refresh_sharded_words(store, folder)
    nodes = {node.node_id: node for node in store.nodes()}
    return KoreanBM25Retriever(index, nodes, similarity_top_k=similarity_top_k)


def _replace(index: LexicalIndex, nodes: list[BaseNode]) -> list[BaseNode]:
    """Put nodes in the place of what the index holds under their ids, and give the empty list to go on with."""
    ids = [node.node_id for node in nodes]
    index.delete(ids)
    index.add(ids, [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes])
    return []
