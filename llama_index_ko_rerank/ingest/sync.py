"""Bringing an index up to date with files: only what changed is split and embedded, and every document is whole."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.utils import embed_nodes
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import InvalidNode, InvalidText, InvalidVector, UnreadableDocument, UnsuitableModel
from llama_index_ko_rerank.ingest.chunking import Chunked, Chunker
from llama_index_ko_rerank.ingest.documents import Refusal, read_document, read_payload
from llama_index_ko_rerank.ingest.plan import FileToIngest, SyncPlan
from llama_index_ko_rerank.ingest.records import SourceRecord
from llama_index_ko_rerank.store.index import prepare_target
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.settings import IndexSettings

_NODES_AT_ONCE = 64
_SLICE = 1024
_READ_AHEAD = 2
_OF_ONE_DOCUMENT = (UnreadableDocument, InvalidNode, InvalidText, InvalidVector, UnsuitableModel)


@dataclass(slots=True)
class SyncReport:
    """What `run_sync` has done so far, or in the end.

    Attributes:
        added: How many documents are new in the index.
        changed: How many were replaced by what their files hold now.
        unchanged: How many were left as they are.
        deleted: How many were taken out because their files are gone.
        failed: What was not read, with the reasons; what was indexed of it before stays in the index.
        chunks: How many nodes were embedded and written.
        files_done: How many of the files to read are done, the failed ones among them.
        bytes_done: How many bytes these have.
        seconds: How long it took.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: list[Refusal] = field(default_factory=list)
    chunks: int = 0
    files_done: int = 0
    bytes_done: int = 0
    seconds: float = 0.0


def create_empty_index(folder: str | Path, *, embed_model: BaseEmbedding, overwrite: bool = False) -> None:
    """Make an empty index for `run_sync` to fill.

    Raises:
        IndexExists: There is one, and ``overwrite`` is False.
        StoreError: The folder cannot be written.
    """
    place = Path(folder).expanduser().absolute()
    prepare_target(place, overwrite=overwrite)
    index = IndexFolder(place, mode="rebuild", embedding_identity=None)
    with closing(index), index.transaction():
        index.reset(
            embedding_identity=embedding_identity(embed_model),
            settings={"chunk_tokens": None},
            vector_dtype="float32",
            index_settings=IndexSettings(),
        )


def run_sync(
    plan: SyncPlan, *, embed_model: BaseEmbedding, on_progress: Callable[[SyncReport], None] | None = None
) -> SyncReport:
    """Carry a plan out.

    The new nodes of a document take the place of the old ones in one transaction, which small documents share: where
    the run is interrupted, be it by ``kill -9``, every document is as it was before or as it is now, what was reported
    to `on_progress` is on disk, and the next run does what is left. Files are read and split in threads of their own
    while others are embedded; a bounded number is in memory at a time. The same files give the same nodes, ids and
    vectors, whatever the index held before.

    A file that cannot be read does not stop the run.

    Args:
        plan: From `plan_sync`, for an index that is there.
        embed_model: The model that the plan was made for. Where it has a method ``token_count``, that may be called
            from any thread; a model without one is not used from two threads at once.
        on_progress: Called after every file.

    Raises:
        ModelMismatch: The index was rebuilt with another model since it was planned.
        IndexBusy, IndexReadOnly, DiskFull, StoreError: The index cannot be written; what was done is safe.
    """
    started = time.perf_counter()
    report = SyncReport(unchanged=plan.unchanged, failed=list(plan.refused))
    index = IndexFolder(plan.folder, mode="open", embedding_identity=embedding_identity(embed_model))
    with closing(index):
        report.deleted = _delete(index, plan.gone)
        writer = _Writer(index, embed_model, report, on_progress)
        for planned, outcome in _read_all(plan, embed_model):
            writer.take(planned, outcome)
        writer.flush()
        index.write_snapshot()
    report.seconds = time.perf_counter() - started
    return report


def _delete(index: IndexFolder, document_ids: Sequence[str]) -> int:
    if document_ids:
        with index.transaction() as writer:
            writer.delete_documents(document_ids)
    return len(document_ids)


_Outcome = Chunked | str | None
"""The nodes of a file, or why it could not be read, or None where its text is what was indexed before."""


def _read_all(plan: SyncPlan, embed_model: BaseEmbedding) -> Iterator[tuple[FileToIngest, _Outcome]]:
    """Read and split the files in their order, some of them ahead."""
    chunker = Chunker(embed_model, chunk_tokens=plan.chunk_tokens)
    read = partial(_read, chunker=chunker, max_bytes=plan.max_bytes)
    if not callable(getattr(embed_model, "token_count", None)):
        yield from ((planned, read(planned)) for planned in plan.to_read)
        return
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reading")
    waiting: deque[tuple[FileToIngest, Future[_Outcome]]] = deque()
    try:
        for planned in plan.to_read:
            waiting.append((planned, pool.submit(read, planned)))
            if len(waiting) > workers * _READ_AHEAD:
                first, outcome = waiting.popleft()
                yield first, outcome.result()
        yield from ((planned, outcome.result()) for planned, outcome in waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _read(planned: FileToIngest, *, chunker: Chunker, max_bytes: int) -> _Outcome:
    try:
        payload = read_payload(planned.file.path, max_bytes=max_bytes)
        text = read_document(planned.kind, payload)
        recipe = chunker.recipe(planned.kind, planned.file)
        content = chunker.content_sha256(recipe, text)
        if planned.record is not None and planned.record.content_sha256 == content:
            return None
        file_sha256 = hashlib.sha256(payload).hexdigest()
        record = SourceRecord(planned.document_id, file_sha256, recipe, content, chunks=0)
        return chunker.chunked(planned.file, text, record)
    except _OF_ONE_DOCUMENT as error:
        return str(error)


class _Writer:
    """Embeds and writes documents a few at a time."""

    def __init__(
        self,
        index: IndexFolder,
        embed_model: BaseEmbedding,
        report: SyncReport,
        on_progress: Callable[[SyncReport], None] | None,
    ) -> None:
        self._index = index
        self._embed_model = embed_model
        self._report = report
        self._on_progress = on_progress
        self._waiting: list[tuple[FileToIngest, Chunked]] = []

    def take(self, planned: FileToIngest, outcome: _Outcome) -> None:
        """Note a file that needs no writing, and write those that wait where they are enough."""
        if isinstance(outcome, Chunked):
            self._waiting.append((planned, outcome))
            if sum(len(chunked.nodes) for _, chunked in self._waiting) >= _NODES_AT_ONCE:
                self.flush()
        elif outcome is None:
            self._report.unchanged += 1
            self._done(planned)
        else:
            self._fail(planned, outcome)

    def flush(self) -> None:
        """Embed and write what waits, synced to disk once; a document that fails spoils no other."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        vectors = self._vectors([node for _, chunked in waiting for node in chunked.nodes])
        reasons: list[str] = []
        with self._index.transaction():
            for _, chunked in waiting:
                try:
                    self._write(chunked, vectors)
                    reasons.append("")
                except _OF_ONE_DOCUMENT as error:
                    reasons.append(str(error))
        for (planned, chunked), reason in zip(waiting, reasons, strict=True):
            if reason:
                self._fail(planned, reason)
                continue
            self._report.chunks += len(chunked.nodes)
            self._report.changed += planned.record is not None
            self._report.added += planned.record is None
            self._done(planned)

    def _vectors(self, nodes: list[TextNode]) -> dict[str, list[float]]:
        """Embed nodes together; none where they are many, or where one of them has no vector: then one by one."""
        if not nodes or len(nodes) > _SLICE:
            return {}
        try:
            return embed_nodes(nodes, self._embed_model)
        except _OF_ONE_DOCUMENT:
            return {}

    def _write(self, chunked: Chunked, vectors: dict[str, list[float]]) -> None:
        """Put a document in the place of what was indexed of it before, a slice in memory at a time."""
        with self._index.transaction() as writer:
            writer.delete_documents([chunked.record.document_id])
            for start in range(0, len(chunked.nodes), _SLICE):
                some = chunked.nodes[start : start + _SLICE]
                known = vectors or embed_nodes(some, self._embed_model)
                self._index.add([_with_vector(node, known[node.node_id]) for node in some])

    def _fail(self, planned: FileToIngest, reason: str) -> None:
        self._report.failed.append(Refusal(planned.file.path, reason))
        self._done(planned)

    def _done(self, planned: FileToIngest) -> None:
        self._report.files_done += 1
        self._report.bytes_done += planned.file.size
        if self._on_progress:
            self._on_progress(self._report)


def _with_vector(node: TextNode, vector: list[float]) -> TextNode:
    return node.model_copy(update={"embedding": vector})
