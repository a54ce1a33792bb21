"""Indexing on Ray Data: workers read, split and embed; one writer a shard writes; nothing is gathered in between."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import DuplicateNodeId, IndexExists
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.ingest.sync import SyncReport
from llama_index_ko_rerank.scale.ray.encoding import FileEncoder, PassageEncoder, file_item
from llama_index_ko_rerank.scale.ray.passages import PassageSource
from llama_index_ko_rerank.scale.ray.pipeline import PASSAGES_AT_ONCE, Progress, encode, run, started_writers
from llama_index_ko_rerank.scale.ray.plan import ShardedPlan, choose_shards, make_shards
from llama_index_ko_rerank.scale.ray.session import ray_session
from llama_index_ko_rerank.scale.ray.writing import ShardWriter
from llama_index_ko_rerank.store.sharded import Shards, find_shards, is_sharded

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
