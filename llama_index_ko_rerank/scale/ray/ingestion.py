"""Indexing on Ray Data: workers read, split and embed; one writer a shard writes; nothing is gathered in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.collection import index_folder
from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import DuplicateNodeId, EmptyCorpus, IndexExists, IndexNotFound, InvalidSetting
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.ingest.sync import DEFAULT_MAX_MB, SyncPlan, SyncReport, create_empty_index, plan_sync
from llama_index_ko_rerank.scale.ray.encoding import FileEncoder, PassageEncoder, PassageSource, file_item
from llama_index_ko_rerank.scale.ray.pipeline import (
    PASSAGES_AT_ONCE,
    Progress,
    ShardWriter,
    encode,
    ray_session,
    run,
    started_writers,
)
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


_FILES_AT_ONCE = 16
_MOST_BLOCKS = 4096


def ingest_files(
    plan: ShardedPlan,
    *,
    embed_model: BaseEmbedding,
    address: str | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> SyncReport:
    """Carry a plan out on Ray: the documents get the ids, nodes and vectors that `run_sync` gives them.

    A bounded number of documents is under way at a time. A worker or a writer whose process dies is started again, and
    what it was doing is done again; each shard's transactions make that harmless. Where the whole run ends, what was
    reported is on disk, and the next run does what is left.

    Args:
        plan: From `plan_shards`.
        embed_model: The model that the plan was made for; each worker loads it once. The files and the model must have
            the same paths on every machine; the shards are written on this one.
        address: Of a running Ray cluster; one of this machine is started where None.
        workers: How many processes embed; see `ray_session`.
        on_progress: Called after every few files.

    Raises:
        MissingExtra: Ray is not installed.
        InvalidSetting: No cluster answers at the address.
        StoreError: A shard cannot be written; what was done is safe.
    """
    started = time.perf_counter()
    report = SyncReport(unchanged=plan.whole.unchanged, failed=list(plan.whole.refused))
    make_shards(plan.shards, embed_model=embed_model, overwrite=plan.reset)
    with ray_session(address, workers) as count, _writers(plan.shards, embed_model) as writers:
        report.deleted = _delete(plan, writers)
        if plan.whole.to_read:
            items = [file_item(planned, plan.shards.of(planned.document_id)) for planned in plan.whole.to_read]
            blocks = min(_MOST_BLOCKS, math.ceil(len(items) / _FILES_AT_ONCE))
            source = require_ray().data.from_items(items, override_num_blocks=blocks)
            settings = {"chunk_tokens": plan.whole.chunk_tokens, "max_bytes": plan.whole.max_bytes}
            encoded = encode(source, FileEncoder, embed_model, settings, workers=count, at_once=_FILES_AT_ONCE)
            run(encoded, writers, report, on_progress)
        _finish(writers)
    report.seconds = time.perf_counter() - started
    return report


def ingest_passages(
    folder: str | Path,
    source: PassageSource,
    *,
    embed_model: BaseEmbedding,
    shards: int | None = None,
    overwrite: bool = False,
    address: str | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> SyncReport:
    """Embed the passages of a data set into a sharded collection, as `build_index` would into one index.

    Called again with the same passages it does what an interrupted run has left, and where that is nothing embeds
    nothing. The arguments are those of `ingest_files`, and

    Args:
        folder: Of the collection.
        source: From `open_passages`.
        embed_model: The model; each worker loads it once.
        shards: Their number, see `choose_shards`.
        overwrite: Replace what a collection holds.
        address: Of a running Ray cluster.
        workers: How many processes embed.
        on_progress: Called after every few hundred passages.

    Raises:
        IndexExists: The collection holds something else, and ``overwrite`` is False.
        DuplicateNodeId: Two passages have one id.
        ModelMismatch: The collection was made with another model.
        MissingExtra, InvalidSetting, StoreError: As in `ingest_files`.
    """
    started = time.perf_counter()
    report = SyncReport()
    require_ray()
    place = choose_shards(folder, shards, source=source.digest)
    resumes = is_sharded(place.folder) and not overwrite
    if resumes and find_shards(place.folder).source != source.digest:
        raise IndexExists(
            f"{place.folder} holds other documents than {source.spec!r}; pass overwrite=True to replace them"
        )
    make_shards(place, embed_model=embed_model, overwrite=overwrite)
    with ray_session(address, workers) as count, _writers(place, embed_model) as writers:
        settings = {"writers": writers, "resumes": resumes}
        dataset = source.as_dataset()
        encoded = encode(dataset, PassageEncoder, embed_model, settings, workers=count, at_once=PASSAGES_AT_ONCE)
        run(encoded, writers, report, on_progress)
        kept = _finish(writers)
    if kept < report.added + report.changed + report.unchanged:
        raise DuplicateNodeId(f"{source.spec!r} has {source.count} passages with only {kept} different ids")
    report.seconds = time.perf_counter() - started
    return report


def _writers(shards: Shards, embed_model: BaseEmbedding) -> AbstractContextManager[list[Any]]:
    """Start a writer for each shard."""
    identity = embedding_identity(embed_model)
    return started_writers(ShardWriter, [(str(folder), identity) for folder in shards.folders])


def _delete(plan: ShardedPlan, writers: list[Any]) -> int:
    """Take out what is gone from the files, all shards at once."""
    gone: list[list[str]] = [[] for _ in writers]
    for document_id in plan.whole.deleted:
        gone[plan.shards.of(document_id)].append(document_id)
    require_ray().get([writer.delete.remote(ids) for writer, ids in zip(writers, gone, strict=True) if ids])
    return len(plan.whole.deleted)


def _finish(writers: list[Any]) -> int:
    """Let each writer finish its shard, and say how many nodes there are in all."""
    return sum(require_ray().get([writer.finish.remote() for writer in writers]))
