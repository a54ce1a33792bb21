"""The parts of a pipeline on Ray Data: encoders in front, writers behind, and a line a document at the end."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, KoRerankError
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.ingest.documents import SkippedFile
from llama_index_ko_rerank.ingest.sync import SyncReport
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.sqlite.rows import NodeRow

Outcome = Literal["added", "changed", "unchanged", "failed"]
Batch = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A document on its way to its shard; one row of the pipeline.

    Attributes:
        shard: Where it belongs.
        document_id: Its id.
        name: What a report calls it: a file's path, or the id.
        outcome: ``added`` or ``changed`` where it is to be written; what became of it otherwise.
        reason: Why it failed.
        size: Bytes of its file, or characters of the passage.
        chunks: How many nodes it has.
        rows: Its `NodeRow`s as JSON.
        vectors: Their unit vectors, float32, one after the other.
    """

    shard: int
    document_id: str
    name: str
    outcome: Outcome
    reason: str = ""
    size: int = 0
    chunks: int = 0
    rows: str = "[]"
    vectors: bytes = b""


def read_rows(encoded: str) -> list[NodeRow]:
    """Turn the rows of an `Encoded` document into rows of the table."""
    return [NodeRow(*fields) for fields in json.loads(encoded)]


def columns(documents: Sequence[Encoded]) -> dict[str, list[Any]]:
    """Turn documents into a batch of the pipeline."""
    return {name: [getattr(document, name) for document in documents] for name in Encoded.__slots__}


def rows_as_json(rows: Sequence[NodeRow]) -> str:
    """Turn rows of the table into those of an `Encoded` document."""
    return json.dumps([astuple(row) for row in rows], ensure_ascii=False)


REPORTED = ("name", "outcome", "reason", "size", "chunks")
OF_SHARDS = ("document_id", "rows", "vectors")


def write_batch(batch: Batch, writers: Sequence[Any], handed: Sequence[str] = OF_SHARDS) -> dict[str, list[Any]]:
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


def configure_dataset(source: Any) -> Any:
    """Set a data set to small blocks, no bars, and errors that `reraise_package_errors` finds."""
    source.context.enable_progress_bars = False
    source.context.target_max_block_size = _BLOCK_BYTES
    source.context.raise_original_map_exception = True
    return source


def encode(
    source: Any, encoder: type, embed_model: BaseEmbedding, settings: Mapping[str, Any], *, workers: int, at_once: int
) -> Any:
    """Put the workers behind a data set; each makes its encoder once."""
    return configure_dataset(source).map_batches(
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
        write_batch,
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


@contextmanager
def ray_session(address: str | None, workers: int | None) -> Iterator[int]:
    """Connect to Ray, and say how many workers there are to be.

    A process that is connected already stays so. Beside the workers one processor is kept for reading and handing on,
    which take little.

    Args:
        address: Of a running cluster: ``auto`` or ``HOST:PORT``; this machine has to be one of its nodes. Where None, a
            cluster of this machine is started and ended.
        workers: How many processes embed; one a processor where None, of a cluster one less.

    Raises:
        InvalidSetting: There are to be no workers, or no cluster answers at the address.
    """
    if workers is not None and workers < 1:
        raise InvalidSetting(f"workers must be 1 or more, not {workers}")
    ray = require_ray()
    is_mine = not ray.is_initialized()
    if is_mine and address is None:
        workers = workers or os.cpu_count() or 1
        ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    elif is_mine:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as problem:
            raise InvalidSetting(f"no Ray cluster answers at {address!r}: {problem}") from problem
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    finally:
        if is_mine:
            ray.shutdown()


class ShardWriter:
    """Writes one shard. It is the only one to do so, and Ray starts it again where its process dies.

    What `write` was given when it died is given to it again: either nothing of it is in the table, or all of it, and
    then it takes its own place.
    """

    def __init__(self, folder: str, embedding_identity: Mapping[str, Any]) -> None:
        """Open the index of the shard."""
        self._index = IndexFolder(Path(folder), mode="open", embedding_identity=embedding_identity)

    def write(self, documents: Sequence[tuple[str, str, bytes]]) -> int:
        """Put documents in the place of what the shard holds of them, in one transaction.

        Args:
            documents: Id, rows and vectors of each, as in `Encoded`.

        Returns:
            How many nodes were written.
        """
        rows = [row for _, encoded, _ in documents for row in read_rows(encoded)]
        with self._index.transaction() as writer:
            writer.delete_documents([document_id for document_id, _, _ in documents])
            if rows:
                vectors = np.frombuffer(b"".join(part for _, _, part in documents), np.float32)
                writer.upsert(rows, vectors.reshape(len(rows), -1))
        return len(rows)

    def delete(self, document_ids: Sequence[str]) -> None:
        """Take documents out, in one transaction."""
        with self._index.transaction() as writer:
            writer.delete_documents(document_ids)

    def content_hashes(self, node_ids: Sequence[str]) -> dict[str, str]:
        """Give the content hash of each of the nodes that the shard holds."""
        return {row.node_id: row.content_hash for row in self._index.rows(node_ids, None)} if node_ids else {}

    def finish(self) -> int:
        """Write a snapshot, where the kind of index has one, and say how many nodes there are."""
        self._index.write_snapshot()
        with self._index.read() as view:
            return view.manifest.node_count
