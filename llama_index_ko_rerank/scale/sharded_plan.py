"""What indexing files into shards would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.errors import EmptyCorpus
from llama_index_ko_rerank.scale.shard_making import choose_shards
from llama_index_ko_rerank.store.sharded_layout import Shards
from llama_index_ko_rerank.store.sync_plan import DEFAULT_MAX_MB, SyncPlan, plan_sync


@dataclass(frozen=True, slots=True)
class ShardedPlan:
    """What `ingest_files` will do; nothing was changed yet.

    Attributes:
        shards: Where.
        parts: One plan a shard, of the documents that belong there.
        whole: All of them together, for reports.
        start_over: Whether what is there is replaced.
    """

    shards: Shards
    parts: tuple[SyncPlan, ...]
    whole: SyncPlan
    start_over: bool


def plan_shards(
    folder: str | Path,
    sources: Sequence[str | Path],
    *,
    embed_model: BaseEmbedding,
    shards: int | None = None,
    max_mb: int = DEFAULT_MAX_MB,
    prune: bool = False,
    start_over: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ShardedPlan:
    """Compare files with what each shard remembers of them, as `plan_sync` does for one index.

    Documents get the ids that they have in a collection of one index in the same folder. The folders are searched once
    a shard; the bytes of a file that is known are read once.

    Args:
        folder: Of the collection, which need not be there.
        sources: Files, and folders that are searched with all that is below them.
        embed_model: The model of the collection.
        shards: Their number, see `choose_shards`.
        max_mb: The largest file that is read, in millions of bytes.
        prune: Take a source that is missing or empty for one whose documents were all deleted.
        start_over: Compare with an empty collection.
        on_progress: Called with the number of files that were compared, and how many there are, in each shard.

    Raises:
        InvalidSetting, IndexExists: As in `choose_shards`.
        KoRerankError: What `plan_sync` raises.
    """
    chosen = choose_shards(folder, shards)
    parts: list[SyncPlan] = []
    empty: EmptyCorpus | None = None
    for number, place in enumerate(chosen.folders):
        try:
            part = plan_sync(
                place,
                sources,
                embed_model=embed_model,
                leave_out=chosen.folder,
                max_mb=max_mb,
                prune=prune,
                start_over=start_over,
                on_progress=on_progress,
            )
        except EmptyCorpus as problem:
            if not prune:
                raise
            empty = problem  # all files are gone, and none of them was here
            continue
        part.to_read = [planned for planned in part.to_read if chosen.of(planned.document_id) == number]
        parts.append(part)
    if empty is not None and not parts:
        raise empty
    return ShardedPlan(chosen, tuple(parts), _together(parts, chosen), start_over)


def _together(parts: Sequence[SyncPlan], shards: Shards) -> SyncPlan:
    """Join the plans; what was found besides documents is the same in each."""
    return replace(
        parts[0],
        folder=shards.folders[0],
        exists=any(part.exists for part in parts),
        to_read=[planned for part in parts for planned in part.to_read],
        unchanged=sum(part.unchanged for part in parts),
        gone=[document_id for part in parts for document_id in part.gone],
    )
