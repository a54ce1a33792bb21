"""What indexing files into shards would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.collection import index_folder
from llama_index_ko_rerank.errors import EmptyCorpus, IndexExists, IndexNotFound, InvalidSetting
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.ingest.sync import DEFAULT_MAX_MB, SyncPlan, create_empty_index, plan_sync
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.sharded import SHARDS_FILE, SHARDS_FORMAT, Shards, find_shards, is_sharded

DEFAULT_SHARDS = 2
MOST_SHARDS = 1024


def choose_shards(folder: str | Path, count: int | None, *, source: str | None = None) -> Shards:
    """Take the shards that a collection has, or so many new ones; nothing is written.

    Args:
        folder: Of the collection.
        count: What was asked for; `DEFAULT_SHARDS` of a new collection where None.
        source: What the collection will hold, see `Shards`.

    Raises:
        InvalidSetting: The number is out of range, or not that of the collection.
        IndexExists: The collection is there and has no shards.
    """
    if count is not None and not 1 <= count <= MOST_SHARDS:
        raise InvalidSetting(f"shards must be 1 to {MOST_SHARDS}, not {count}")
    place = Path(folder).expanduser().absolute()
    if not is_sharded(place):
        if index_folder(place).exists():
            raise IndexExists(f"the collection in {place} was made as one index; shard it in another folder")
        return Shards(place, count or DEFAULT_SHARDS, source)
    known = find_shards(place)
    if count not in (None, known.count):
        raise InvalidSetting(
            f"the collection in {place} has {known.count} shards, and {count} were asked for; a document's shard "
            "depends on their number, so make it again in another folder"
        )
    return Shards(place, known.count, source)


def make_shards(shards: Shards, *, embed_model: BaseEmbedding, overwrite: bool = False) -> None:
    """Make the empty indexes that are not there yet, or all of them.

    Raises:
        StoreError: The folder cannot be written.
    """
    shards.folder.mkdir(parents=True, exist_ok=True)
    content = {"format": SHARDS_FORMAT, "shards": shards.count, "source": shards.source}
    write_json_file(shards.folder / SHARDS_FILE, content)
    for place in shards.folders:
        if overwrite or not _has_index(place):
            create_empty_index(place, embed_model=embed_model, overwrite=overwrite)


def _has_index(place: Path) -> bool:
    try:
        IndexFolder(place, mode="open", embedding_identity=None).close()
    except IndexNotFound:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ShardedPlan:
    """What `ingest_files` will do; nothing was changed yet.

    Attributes:
        shards: Where.
        parts: One plan a shard, of the documents that belong there.
        whole: All of them together, for reports.
        reset: Whether what is there is replaced.
    """

    shards: Shards
    parts: tuple[SyncPlan, ...]
    whole: SyncPlan
    reset: bool


def plan_shards(
    folder: str | Path,
    sources: Sequence[str | Path],
    *,
    embed_model: BaseEmbedding,
    shards: int | None = None,
    max_mb: int = DEFAULT_MAX_MB,
    prune: bool = False,
    reset: bool = False,
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
        reset: Compare with an empty collection.
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
                reset=reset,
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
    return ShardedPlan(chosen, tuple(parts), _together(parts, chosen), reset)


def _together(parts: Sequence[SyncPlan], shards: Shards) -> SyncPlan:
    """Join the plans; what was found besides documents is the same in each."""
    return replace(
        parts[0],
        folder=shards.folders[0],
        exists=any(part.exists for part in parts),
        to_read=[planned for part in parts for planned in part.to_read],
        unchanged=sum(part.unchanged for part in parts),
        deleted=[document_id for part in parts for document_id in part.deleted],
    )
