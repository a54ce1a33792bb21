"""Lexical snapshot of a vector index, brought up to date by tokenising only what is new."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llama_index.core.schema import BaseNode, MetadataMode

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, ModelMismatch
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.retrieve.persistence import load_lexical_index, save_lexical_index
from llama_index_ko_rerank.store.sharded import ShardedVectorStore
from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore

logger = logging.getLogger(__name__)

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class LexicalIndexStatus:
    """State of a lexical snapshot beside the nodes of its index.

    Attributes:
        state: ``current``; ``stale``, of which the next opening tokenises only what is new; ``missing``; ``outdated``,
            made by another tokenizer or with other settings; or ``damaged``. Of the last two nothing is used.
        to_tokenise: How many nodes the snapshot does not hold as they are.
        to_drop: How many passages it holds that are no nodes any more.
        reason: Why nothing of it is used; empty otherwise.
    """

    state: Literal["current", "stale", "missing", "outdated", "damaged"]
    to_tokenise: int
    to_drop: int
    reason: str = ""


def load_or_empty(
    folder: Path, fresh: LexicalIndex, metadata_mode: MetadataMode
) -> tuple[LexicalIndex, dict[str, str]]:
    """Read the snapshot in a folder, if there is one with the requested tokenizers and settings.

    Args:
        folder: Where `save_snapshot` wrote.
        fresh: The empty index with the requested tokenizers and settings, returned if no snapshot has them.
        metadata_mode: Which metadata are searched.

    Returns:
        The index, and the hash of each of its nodes by id. A snapshot that is damaged or was made by other tokenizers
        or settings is not used, which is logged: everything in it can be made again from the nodes.
    """
    try:
        return _read(folder, fresh, metadata_mode)
    except IndexNotFound:
        return fresh, {}
    except (DamagedIndex, ModelMismatch) as error:
        logger.warning("all passages are tokenised again: %s", error)
        return fresh, {}


def save_snapshot(folder: Path, index: LexicalIndex, hashes: dict[str, str], metadata_mode: MetadataMode) -> None:
    """Write an index with the hashes of its nodes for `load_or_empty`; where it cannot be written, that is logged."""
    extra = {"metadata_mode": metadata_mode.value, "hashes": [hashes[identity] for identity in index.ids]}
    try:
        save_lexical_index(index, folder, extra)
    except OSError as error:
        logger.warning(
            "the lexical snapshot in %s could not be written (%s); what is new is tokenised again at the next opening",
            folder,
            error,
        )


def update_index(
    store: DurableFaissVectorStore | ShardedVectorStore,
    folder: Path,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Bring the snapshot up to the store's newest generation, as `KoreanBM25Retriever.from_index` makes it by default.

    Only what is new is tokenised, and only a batch of nodes is in memory at a time.

    Args:
        store: The index, or all shards of one.
        folder: The folder of the snapshot.
        on_progress: Called with the number of nodes compared and in all.

    Returns:
        How many nodes were tokenised.
    """
    index, before = load_or_empty(folder, LexicalIndex(), MetadataMode.EMBED)
    hashes: dict[str, str] = {}
    changed: list[BaseNode] = []
    tokenised = 0
    total = store.count
    for number, node in enumerate(store.nodes(), start=1):
        hashes[node.node_id] = node.hash
        if before.get(node.node_id) != node.hash:
            changed.append(node)
        if number % _BATCH == 0:
            tokenised += _replace(index, changed)
            if on_progress:
                on_progress(number, total)
    tokenised += _replace(index, changed)
    index.delete([node_id for node_id in before if node_id not in hashes])
    if hashes != before:
        save_snapshot(folder, index, hashes, MetadataMode.EMBED)
    return tokenised


def inspect_index(store: DurableFaissVectorStore, folder: Path) -> LexicalIndexStatus:
    """Compare the snapshot with the store's newest generation; nothing is changed."""
    try:
        _, hashes = _read(folder, LexicalIndex(), MetadataMode.EMBED)
    except IndexNotFound:
        return LexicalIndexStatus("missing", store.count, 0)
    except ModelMismatch as error:
        return LexicalIndexStatus("outdated", store.count, 0, str(error))
    except DamagedIndex as error:
        return LexicalIndexStatus("damaged", store.count, 0, str(error))
    nodes = kept = 0
    for node in store.nodes():
        nodes += 1
        kept += hashes.get(node.node_id) == node.hash
    is_current = kept == nodes == len(hashes)
    return LexicalIndexStatus("current" if is_current else "stale", nodes - kept, len(hashes) - kept)


def _read(folder: Path, fresh: LexicalIndex, metadata_mode: MetadataMode) -> tuple[LexicalIndex, dict[str, str]]:
    """Read a snapshot that was made as `fresh` was, raising what `load_lexical_index` raises, or `ModelMismatch`."""
    index, extra = load_lexical_index(folder)
    wanted = (fresh.analyzers, fresh.settings, fresh.identity, metadata_mode.value)
    found = (index.analyzers, index.settings, index.identity, extra.get("metadata_mode"))
    hashes = extra.get("hashes", ())
    if wanted != found or len(hashes) != len(index):
        raise ModelMismatch(f"the lexical snapshot in {folder} was made with other settings")
    return index, dict(zip(index.ids, hashes, strict=True))


def _replace(index: LexicalIndex, nodes: list[BaseNode]) -> int:
    """Replace what the index holds under the ids of nodes, empty the list, and return how many they were."""
    ids = [node.node_id for node in nodes]
    index.delete(ids)
    index.add(ids, [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes])
    nodes.clear()
    return len(ids)
