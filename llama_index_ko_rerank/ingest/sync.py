"""Synchronisation of an index with files: a plan of what has changed, and its execution, document by document."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.utils import embed_nodes
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, IndexNotFound, UnreadableDocument
from llama_index_ko_rerank.ingest.chunking import DOCUMENT_ERRORS, Chunked, Chunker, SourceRecord, read_records
from llama_index_ko_rerank.ingest.documents import (
    FoundDocuments,
    FoundFile,
    Kind,
    SkippedFile,
    find_documents,
    kind_of,
    read_payload,
)
from llama_index_ko_rerank.store.index import prepare_target
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.settings import IndexSettings

DEFAULT_MAX_MB = 50
_NODES_AT_ONCE = 64
_SLICE = 1024
_READ_AHEAD = 2


@dataclass(frozen=True, slots=True)
class FileToIngest:
    """A file to read.

    Attributes:
        document_id: The id that its document has in the index: its path as seen from the index's folder.
        file: Where it is.
        kind: What reads it.
        record: How it came into the index the last time; None where it never did.
    """

    document_id: str
    file: FoundFile
    kind: Kind
    record: SourceRecord | None


@dataclass(slots=True)
class SyncPlan:
    """Plan for `run_sync`; nothing was changed yet.

    Attributes:
        folder: The folder of the index.
        exists: Whether there is an index in it that is gone on with.
        chunk_tokens: How the index splits.
        max_bytes: The largest file that is read.
        to_read: New files, and files whose bytes or whose way into the index have changed.
        unchanged: Number of files that are in the index as they are.
        deleted: Ids of documents in the index whose files are gone from the folders.
        refused: What is not read, and why.
        hidden: Number of hidden files and folders passed over.
        internal_symlinks: Number of links to other files of the folders passed over.
        unsupported_suffixes: Number of files of other suffixes passed over.
    """

    folder: Path
    exists: bool
    chunk_tokens: int | None
    max_bytes: int
    to_read: list[FileToIngest] = field(default_factory=list)
    unchanged: int = 0
    deleted: list[str] = field(default_factory=list)
    refused: list[SkippedFile] = field(default_factory=list)
    hidden: int = 0
    internal_symlinks: int = 0
    unsupported_suffixes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class SyncReport:
    """Progress or result of `run_sync`.

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
    failed: list[SkippedFile] = field(default_factory=list)
    chunks: int = 0
    files_done: int = 0
    bytes_done: int = 0
    seconds: float = 0.0


def plan_sync(
    folder: str | Path,
    sources: Sequence[str | Path],
    *,
    embed_model: BaseEmbedding,
    leave_out: str | Path | None = None,
    max_mb: int = DEFAULT_MAX_MB,
    prune: bool = False,
    reset: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> SyncPlan:
    """Compare files with what an index remembers of them.

    A file is unchanged where its bytes are, and where it would be read, split and embedded as it was. A document is
    gone where its file is no more in one of the folders named now; documents from elsewhere are left alone, and so are
    those whose file is there and is refused.

    Args:
        folder: Of the index, which need not be there.
        sources: Files, and folders that are searched with all that is below them.
        embed_model: The model of the index.
        leave_out: A folder that is not searched: the collection that the index belongs to.
        max_mb: The largest file that is read, in millions of bytes.
        prune: Take a source that is missing or empty for one whose documents were all deleted.
        reset: Compare with an empty index.
        on_progress: Called with the number of known files that were compared, and how many there are.

    Raises:
        DatasetUnavailable: A source is missing, and `prune` is False.
        EmptyCorpus: No source holds a document, or one that had some holds none any more and `prune` is False.
        ModelMismatch: The index was built with another model.
        MissingExtra: A library is not installed that reads one of the files.
        DamagedIndex, StoreError: The index cannot be read.
    """
    check_sources(sources, prune=prune)
    path = Path(folder).expanduser().absolute()
    records: dict[str, SourceRecord] = {}
    exists, chunk_tokens = False, None
    if not reset:
        exists, chunk_tokens, records = _remembered(path, embed_model)
    plan = SyncPlan(path, exists, chunk_tokens, max_mb * 1_000_000)
    roots = dict.fromkeys(Path(source).expanduser() for source in sources)
    found = {root: _find(root, plan, leave_out) for root in roots}
    _note_deleted(plan, found, records, prune=prune)
    files = {file.path: file for documents in reversed(found.values()) for file in documents.files}
    if not files and not plan.refused and not plan.deleted:
        raise EmptyCorpus(f"no document is in {', '.join(map(str, sources))}; {_passed_over(plan)}")
    for file in sorted(files.values(), key=lambda file: file.path):
        kind = kind_of(file.path)
        assert kind is not None  # others are not found
        document_id = _document_id(file.path, path)
        plan.to_read.append(FileToIngest(document_id, file, kind, records.get(document_id)))
    for kind in {planned.kind for planned in plan.to_read}:
        kind.check_installed()
    _drop_unchanged(plan, Chunker(embed_model, chunk_tokens=chunk_tokens), on_progress)
    return plan


def check_sources(sources: Sequence[str | Path], *, prune: bool = False) -> None:
    """Refuse sources that are not there, before anything is loaded.

    Raises:
        DatasetUnavailable: A source is missing, and `prune` is False.
    """
    for source in sources:
        if not prune and not Path(source).expanduser().exists():
            raise DatasetUnavailable(
                f"there is no file or folder {str(source)!r}; where it was deleted, --prune takes what was indexed of "
                "it out of the index"
            )


def create_empty_index(folder: str | Path, *, embed_model: BaseEmbedding, overwrite: bool = False) -> None:
    """Make an empty index for `run_sync` to fill.

    Raises:
        IndexExists: There is one, and ``overwrite`` is False.
        StoreError: The folder cannot be written.
    """
    path = Path(folder).expanduser().absolute()
    prepare_target(path, overwrite=overwrite)
    index = IndexFolder(path, mode="rebuild", embedding_identity=None)
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
        report.deleted = _delete(index, plan.deleted)
        writer = _Writer(index, embed_model, report, on_progress)
        for planned, outcome in _read_all(plan, embed_model):
            writer.take(planned, outcome)
        writer.flush()
        index.write_snapshot()
    report.seconds = time.perf_counter() - started
    return report


def _remembered(folder: Path, embed_model: BaseEmbedding) -> tuple[bool, int | None, dict[str, SourceRecord]]:
    """Read what an index that is there was made of, and how it splits."""
    try:
        index = IndexFolder(folder, mode="open", embedding_identity=embedding_identity(embed_model))
    except IndexNotFound:
        return False, None, {}
    try:
        with index.read() as reader:
            records = {record.document_id: record for record in read_records(reader)}
            return True, reader.manifest.settings.get("chunk_tokens"), records
    finally:
        index.close()


def _find(root: Path, plan: SyncPlan, leave_out: str | Path | None) -> FoundDocuments:
    if not root.exists():
        return FoundDocuments()
    documents = find_documents(root, max_bytes=plan.max_bytes, leave_out=Path(leave_out or plan.folder))
    plan.refused += [skipped for skipped in documents.refused if skipped not in plan.refused]
    plan.hidden += documents.hidden
    plan.internal_symlinks += documents.internal_symlinks
    plan.unsupported_suffixes += documents.unsupported_suffixes
    return documents


def _note_deleted(plan: SyncPlan, found: Mapping[Path, FoundDocuments], records: Iterable[str], *, prune: bool) -> None:
    """Find the documents whose files are no more where they were."""
    paths = {document_id: _file_of(document_id, plan.folder) for document_id in records}
    present = {file.path for documents in found.values() for file in documents.files}
    refused = [skipped.path for skipped in plan.refused]
    gone = set()
    for root, documents in found.items():
        here = root.resolve()
        below = {document_id for document_id, path in paths.items() if path.is_relative_to(here)}
        if below and not prune and not documents.files and not documents.refused:
            raise EmptyCorpus(
                f"{str(root)!r} holds no document, and {len(below)} of it are in the index; where they were deleted, "
                "--prune takes them out of the index"
            )
        gone |= {each for each in below if paths[each] not in present and not _is_in(paths[each], refused)}
    plan.deleted = sorted(gone)


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _drop_unchanged(plan: SyncPlan, chunker: Chunker, on_progress: Callable[[int, int], None] | None) -> None:
    known = sum(planned.record is not None for planned in plan.to_read)
    compared, to_read = 0, []
    for planned in plan.to_read:
        if planned.record is not None:
            compared += 1
            if on_progress:
                on_progress(compared, known)
        if planned.record is None or not _is_unchanged(planned.record, planned, plan, chunker):
            to_read.append(planned)
    plan.unchanged = len(plan.to_read) - len(to_read)
    plan.to_read = to_read


def _is_unchanged(record: SourceRecord, planned: FileToIngest, plan: SyncPlan, chunker: Chunker) -> bool:
    if record.recipe != chunker.recipe(planned.kind, planned.file):
        return False
    try:
        payload = read_payload(planned.file.path, max_bytes=plan.max_bytes)
    except UnreadableDocument:
        return False  # it is read once more, and then reported
    return hashlib.sha256(payload).hexdigest() == record.file_sha256


def _document_id(file: Path, folder: Path) -> str:
    """Name a file by its path from the index's folder, so that both may be moved together."""
    return Path(os.path.relpath(file, folder.resolve())).as_posix()


def _file_of(document_id: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder.resolve() / document_id))


def _passed_over(plan: SyncPlan) -> str:
    others = sum(plan.unsupported_suffixes.values())
    return f"{plan.hidden} hidden ones and {others} of other kinds were passed over"


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
        return chunker.chunk_file(
            planned.file, document_id=planned.document_id, record=planned.record, max_bytes=max_bytes
        )
    except DOCUMENT_ERRORS as error:
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
                except DOCUMENT_ERRORS as error:
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
        except DOCUMENT_ERRORS:
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
        self._report.failed.append(SkippedFile(planned.file.path, reason))
        self._done(planned)

    def _done(self, planned: FileToIngest) -> None:
        self._report.files_done += 1
        self._report.bytes_done += planned.file.size
        if self._on_progress:
            self._on_progress(self._report)


def _with_vector(node: TextNode, vector: list[float]) -> TextNode:
    return node.model_copy(update={"embedding": vector})
