"""The last step of a pipeline on Ray: handing what was encoded to the writers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index_ko_rerank.scale.ray_rows import Batch

REPORTED = ("name", "outcome", "reason", "size", "chunks")
OF_SHARDS = ("document_id", "rows", "vectors")


def deliver(batch: Batch, writers: Sequence[Any], handed: Sequence[str] = OF_SHARDS) -> dict[str, list[Any]]:
    """Give encoded documents to their writers, wait until they are on disk, and pass on what a report needs.

    Args:
        batch: Encoded documents.
        writers: The writer of each shard.
        handed: The columns that a writer gets of each document.
    """
    import ray

    parts: list[list[tuple[Any, ...]]] = [[] for _ in writers]
    for place, outcome in enumerate(batch["outcome"]):
        if outcome in ("added", "changed"):
            parts[int(batch["shard"][place])].append(tuple(batch[name][place] for name in handed))
    ray.get([writer.write.remote(part) for writer, part in zip(writers, parts, strict=True) if part])
    return {name: list(batch[name]) for name in REPORTED}
