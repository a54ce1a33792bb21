"""Indexing on Ray Data: workers read, split and embed; one writer a shard writes; nothing is gathered in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.data.documents import Refusal
from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import DuplicateNodeId, IndexExists, KoRerankError
from llama_index_ko_rerank.scale.ray_encoding import FileEncoder, PassageEncoder, file_item
from llama_index_ko_rerank.scale.ray_extra import import_ray
from llama_index_ko_rerank.scale.ray_passages import PassageSource
from llama_index_ko_rerank.scale.ray_session import ray_session
from llama_index_ko_rerank.scale.ray_writing import ShardWriter, deliver
from llama_index_ko_rerank.scale.sharded_layout import Shards, choose_shards, find_shards, is_sharded, make_shards
from llama_index_ko_rerank.scale.sharded_plan import ShardedPlan
from llama_index_ko_rerank.store.sync import SyncReport

Progress = Callable[[SyncReport], None]

_FILES_AT_ONCE = 16
_PASSAGES_AT_ONCE = 1024
_MOST_BLOCKS = 4096
_BLOCK_BYTES = 8 * 2**20
_DELIVERING_CPUS = 0.25


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
    make_shards(plan.shards, embed_model=embed_model, overwrite=plan.start_over)
    with ray_session(address, workers) as count, _writers(plan.shards, embed_model) as writers:
        report.deleted = _delete(plan, writers)
        if plan.whole.to_read:
            items = [file_item(planned, plan.shards.of(planned.document_id)) for planned in plan.whole.to_read]
            blocks = min(_MOST_BLOCKS, math.ceil(len(items) / _FILES_AT_ONCE))
            source = import_ray().data.from_items(items, override_num_blocks=blocks)
            settings = {"chunk_tokens": plan.whole.chunk_tokens, "max_bytes": plan.whole.max_bytes}
            encoded = _encode(source, FileEncoder, embed_model, settings, workers=count, at_once=_FILES_AT_ONCE)
            _run(encoded, writers, report, on_progress)
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
    import_ray()
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
        encoded = _encode(dataset, PassageEncoder, embed_model, settings, workers=count, at_once=_PASSAGES_AT_ONCE)
        _run(encoded, writers, report, on_progress)
        kept = _finish(writers)
    if kept < report.added + report.changed + report.unchanged:
        raise DuplicateNodeId(f"{source.spec!r} has {source.count} passages with only {kept} different ids")
    report.seconds = time.perf_counter() - started
    return report


@contextmanager
def _writers(shards: Shards, embed_model: BaseEmbedding) -> Iterator[list[Any]]:
    """Start a writer for each shard, on this machine, and end them."""
    ray = import_ray()
    here = ray.get_runtime_context().get_node_id()
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=here, soft=False)
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=place)(ShardWriter)
    identity = embedding_identity(embed_model)
    handles = [remote.remote(str(folder), identity) for folder in shards.folders]
    try:
        with _said_plainly():
            yield handles
    finally:
        for handle in handles:
            ray.kill(handle)


def _encode(
    source: Any, encoder: type, embed_model: BaseEmbedding, settings: Mapping[str, Any], *, workers: int, at_once: int
) -> Any:
    """Put the workers behind a data set; each makes its encoder once."""
    context = source.context
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    context.raise_original_map_exception = True  # `_said_plainly` looks for it
    return source.map_batches(
        encoder,
        fn_constructor_args=[embed_model],
        fn_constructor_kwargs=dict(settings),
        batch_size=at_once,
        compute=import_ray().data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )


def _run(encoded: Any, writers: list[Any], report: SyncReport, on_progress: Progress | None) -> None:
    """Let it flow, and count what comes out at the end: a line a document."""
    done = encoded.map_batches(
        deliver,
        fn_kwargs={"writers": writers},
        batch_size=None,  # a block as it comes, so that nothing waits for others before it is on disk
        compute=import_ray().data.TaskPoolStrategy(size=len(writers)),
        num_cpus=_DELIVERING_CPUS,
    )
    for batch in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        for line in batch.to_pylist():
            _count(line, report)
        if on_progress:
            on_progress(report)


def _count(line: Mapping[str, Any], report: SyncReport) -> None:
    if line["outcome"] == "failed":
        report.failed.append(Refusal(Path(line["name"]), line["reason"]))
    else:
        setattr(report, line["outcome"], getattr(report, line["outcome"]) + 1)
    report.chunks += line["chunks"]
    report.files_done += 1
    report.bytes_done += line["size"]


def _delete(plan: ShardedPlan, writers: list[Any]) -> int:
    """Take out what is gone from the files, all shards at once."""
    gone: list[list[str]] = [[] for _ in writers]
    for document_id in plan.whole.gone:
        gone[plan.shards.of(document_id)].append(document_id)
    import_ray().get([writer.delete.remote(ids) for writer, ids in zip(writers, gone, strict=True) if ids])
    return len(plan.whole.gone)


def _finish(writers: list[Any]) -> int:
    """Let each writer finish its shard, and say how many nodes there are in all."""
    return sum(import_ray().get([writer.finish.remote() for writer in writers]))


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Raise an error of this package that was raised in another process as it was raised there."""
    ray = import_ray()
    try:
        yield
    except ray.exceptions.RayError as problem:
        cause: Any = problem
        while cause is not None and not isinstance(cause, KoRerankError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is None:
            raise
        raise cause from problem
