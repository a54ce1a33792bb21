"""The lexical snapshot of a vector index: what was tokenised already need not be tokenised again."""

from __future__ import annotations

import logging
from pathlib import Path

from llama_index.core.schema import MetadataMode

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, ModelMismatch
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.retrieve.snapshot import load_lexical_index, save_lexical_index

logger = logging.getLogger(__name__)


def resume_snapshot(
    folder: Path, fresh: LexicalIndex, metadata_mode: MetadataMode
) -> tuple[LexicalIndex, dict[str, str]]:
    """Read the snapshot in a folder, where there is one that was made as asked.

    Args:
        folder: Where `save_snapshot` wrote.
        fresh: The empty index that is returned where there is no fitting snapshot; it says what is asked for.
        metadata_mode: Which metadata are searched.

    Returns:
        The index, and the hash of each of its nodes by id. A snapshot that is damaged or was made by other tokenizers
        or settings is not used, which is logged: everything in it can be made again from the nodes.
    """
    try:
        index, extra = load_lexical_index(folder)
    except IndexNotFound:
        return fresh, {}
    except (DamagedIndex, ModelMismatch) as problem:
        logger.warning("all passages are tokenised again: %s", problem)
        return fresh, {}
    asked = (fresh.view, fresh.settings, fresh.identity, metadata_mode.value)
    found = (index.view, index.settings, index.identity, extra.get("metadata_mode"))
    hashes = extra.get("hashes", ())
    if asked != found or len(hashes) != len(index):
        logger.warning("all passages are tokenised again: the lexical snapshot in %s was made otherwise", folder)
        return fresh, {}
    return index, dict(zip(index.ids, hashes, strict=True))


def save_snapshot(folder: Path, index: LexicalIndex, hashes: dict[str, str], metadata_mode: MetadataMode) -> None:
    """Write an index with the hashes of its nodes for `resume_snapshot`."""
    extra = {"metadata_mode": metadata_mode.value, "hashes": [hashes[identity] for identity in index.ids]}
    save_lexical_index(index, folder, extra)
