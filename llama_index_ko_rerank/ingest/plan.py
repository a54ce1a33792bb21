"""What indexing would do: which files are new, which have changed, which are gone."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, IndexNotFound, UnreadableDocument
from llama_index_ko_rerank.ingest.chunking import Chunker
from llama_index_ko_rerank.ingest.documents import (
    FoundDocuments,
    FoundFile,
    Kind,
    Refusal,
    find_documents,
    kind_of,
    read_payload,
)
from llama_index_ko_rerank.ingest.records import SourceRecord, read_records
from llama_index_ko_rerank.store.index_folder import IndexFolder

DEFAULT_MAX_MB = 50


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
    """What `run_sync` will do; nothing was changed yet.

    Attributes:
        folder: The folder of the index.
        exists: Whether there is an index in it that is gone on with.
        chunk_tokens: How the index splits.
        max_bytes: The largest file that is read.
        to_read: New files, and files whose bytes or whose way into the index have changed.
        unchanged: How many files are in the index as they are.
        gone: Ids of documents in the index whose files are gone from the folders.
        refused: What is not read, and why.
        hidden: How many hidden files and folders were passed over.
        internal_symlinks: How many links to other files of the folders were passed over.
        unsupported_suffixes: How many files of other suffixes were passed over.
    """

    folder: Path
    exists: bool
    chunk_tokens: int | None
    max_bytes: int
    to_read: list[FileToIngest] = field(default_factory=list)
    unchanged: int = 0
    gone: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    hidden: int = 0
    internal_symlinks: int = 0
    unsupported_suffixes: Counter[str] = field(default_factory=Counter)


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
        DatasetUnavailable: A source is missing, and `prune` was not said.
        EmptyCorpus: No source holds a document, or one that had some holds none any more and `prune` was not said.
        ModelMismatch: The index was built with another model.
        MissingExtra: A library is not installed that reads one of the files.
        DamagedIndex, StoreError: The index cannot be read.
    """
    check_sources(sources, prune=prune)
    place = Path(folder).expanduser().absolute()
    records: dict[str, SourceRecord] = {}
    exists, chunk_tokens = False, None
    if not reset:
        exists, chunk_tokens, records = _remembered(place, embed_model)
    plan = SyncPlan(place, exists, chunk_tokens, max_mb * 1_000_000)
    roots = dict.fromkeys(Path(source).expanduser() for source in sources)
    found = {root: _find(root, plan, leave_out) for root in roots}
    _note_gone(plan, found, records, prune=prune)
    files = {file.path: file for documents in reversed(found.values()) for file in documents.files}
    if not files and not plan.refused and not plan.gone:
        raise EmptyCorpus(f"no document is in {', '.join(map(str, sources))}; {_passed_over(plan)}")
    for file in sorted(files.values(), key=lambda file: file.path):
        kind = kind_of(file.path)
        assert kind is not None  # others are not found
        document_id = _document_id(file.path, place)
        plan.to_read.append(FileToIngest(document_id, file, kind, records.get(document_id)))
    for kind in {planned.kind for planned in plan.to_read}:
        kind.check_installed()
    _drop_unchanged(plan, Chunker(embed_model, chunk_tokens=chunk_tokens), on_progress)
    return plan


def check_sources(sources: Sequence[str | Path], *, prune: bool = False) -> None:
    """Refuse sources that are not there, before anything is loaded.

    Raises:
        DatasetUnavailable: A source is missing, and `prune` was not said.
    """
    for source in sources:
        if not prune and not Path(source).expanduser().exists():
            raise DatasetUnavailable(
                f"there is no file or folder {str(source)!r}; where it was deleted, --prune takes what was indexed of "
                "it out of the index"
            )


def _remembered(place: Path, embed_model: BaseEmbedding) -> tuple[bool, int | None, dict[str, SourceRecord]]:
    """Read what an index that is there was made of, and how it splits."""
    try:
        index = IndexFolder(place, mode="open", embedding_identity=embedding_identity(embed_model))
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
    plan.refused += [refusal for refusal in documents.refused if refusal not in plan.refused]
    plan.hidden += documents.hidden
    plan.internal_symlinks += documents.internal_symlinks
    plan.unsupported_suffixes += documents.unsupported_suffixes
    return documents


def _note_gone(plan: SyncPlan, found: Mapping[Path, FoundDocuments], records: Iterable[str], *, prune: bool) -> None:
    """Find the documents whose files are no more where they were."""
    places = {document_id: _file_of(document_id, plan.folder) for document_id in records}
    present = {file.path for documents in found.values() for file in documents.files}
    refused = [refusal.path for refusal in plan.refused]
    gone = set()
    for root, documents in found.items():
        here = root.resolve()
        below = {document_id for document_id, path in places.items() if path.is_relative_to(here)}
        if below and not prune and not documents.files and not documents.refused:
            raise EmptyCorpus(
                f"{str(root)!r} holds no document, and {len(below)} of it are in the index; where they were deleted, "
                "--prune takes them out of the index"
            )
        gone |= {each for each in below if places[each] not in present and not _is_in(places[each], refused)}
    plan.gone = sorted(gone)


def _is_in(path: Path, places: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


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
        return False  # it is read once more, and then told
    return hashlib.sha256(payload).hexdigest() == record.file_sha256


def _document_id(file: Path, folder: Path) -> str:
    """Name a file by its path from the index's folder, so that both may be moved together."""
    return Path(os.path.relpath(file, folder.resolve())).as_posix()


def _file_of(document_id: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder.resolve() / document_id))


def _passed_over(plan: SyncPlan) -> str:
    others = sum(plan.unsupported_suffixes.values())
    return f"{plan.hidden} hidden ones and {others} of other kinds were passed over"
