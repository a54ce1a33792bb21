"""The parts of a pipeline on Ray Data: encoders in front, writers behind, and a line a document at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.errors import KoRerankError
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.ingest.documents import SkippedFile
from llama_index_ko_rerank.ingest.sync import SyncReport

if TYPE_CHECKING:
    from llama_index_ko_rerank.scale.ray.rows import Batch


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


Progress = Callable[[SyncReport], None]

PASSAGES_AT_ONCE = 1024
_BLOCK_BYTES = 8 * 2**20
_DELIVERING_CPUS = 0.25


@contextmanager
def started_writers(kind: type, arguments: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    """Start writers on this machine, and end them.

    Inside the block an error of this package that was raised in another process is raised as it was raised there.

    Args:
        kind: The class of a writer; Ray makes it again, with the same arguments, where its process dies.
        arguments: Those of each writer.
    """
    ray = require_ray()
    here = ray.get_runtime_context().get_node_id()
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=here, soft=False)
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=place)(kind)
    handles = [remote.remote(*each) for each in arguments]
    try:
        with reraise_package_errors():
            yield handles
    finally:
        for handle in handles:
            ray.kill(handle)


def quietly(source: Any) -> Any:
    """Set a data set to small blocks, no bars, and errors that `reraise_package_errors` finds."""
    source.context.enable_progress_bars = False
    source.context.target_max_block_size = _BLOCK_BYTES
    source.context.raise_original_map_exception = True
    return source


def encode(
    source: Any, encoder: type, embed_model: BaseEmbedding, settings: Mapping[str, Any], *, workers: int, at_once: int
) -> Any:
    """Put the workers behind a data set; each makes its encoder once."""
    return quietly(source).map_batches(
        encoder,
        fn_constructor_args=[embed_model],
        fn_constructor_kwargs=dict(settings),
        batch_size=at_once,
        compute=require_ray().data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )


def run(
    encoded: Any,
    writers: Sequence[Any],
    report: SyncReport,
    on_progress: Progress | None,
    *,
    handed: Sequence[str] = OF_SHARDS,
) -> None:
    """Let it flow, and count what comes out at the end: a line a document.

    Args:
        encoded: What the encoders make.
        writers: Handles, see `started_writers`.
        report: What is counted into.
        on_progress: Called after every few documents.
        handed: The columns that a writer gets.
    """
    done = encoded.map_batches(
        deliver,
        fn_kwargs={"writers": writers, "handed": handed},
        batch_size=None,  # a block as it comes, so that nothing waits for others before it is on disk
        compute=require_ray().data.TaskPoolStrategy(size=len(writers)),
        num_cpus=_DELIVERING_CPUS,
    )
    for batch in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        for line in batch.to_pylist():
            _count(line, report)
        if on_progress:
            on_progress(report)


def _count(line: Mapping[str, Any], report: SyncReport) -> None:
    if line["outcome"] == "failed":
        report.failed.append(SkippedFile(Path(line["name"]), line["reason"]))
    else:
        setattr(report, line["outcome"], getattr(report, line["outcome"]) + 1)
    report.chunks += line["chunks"]
    report.files_done += 1
    report.bytes_done += line["size"]


@contextmanager
def reraise_package_errors() -> Iterator[None]:
    """Raise an error of this package that was raised in another process as it was raised there."""
    ray = require_ray()
    try:
        yield
    except ray.exceptions.RayError as problem:
        cause: Any = problem
        while cause is not None and not isinstance(cause, KoRerankError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is None:
            raise
        raise cause from problem
