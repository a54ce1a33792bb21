"""Chunks of files: the same file always gives the same nodes with the same ids, which record where they come from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeRelationship, ObjectType, RelatedNodeInfo, TextNode

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import InvalidNode, InvalidText, InvalidVector, UnreadableDocument, UnsuitableModel
from llama_index_ko_rerank.ingest.documents import (
    DocumentText,
    FoundFile,
    Kind,
    Section,
    kind_of,
    read_document,
    read_payload,
)
from llama_index_ko_rerank.store.sqlite.reader import TableReader
from llama_index_ko_rerank.store.sqlite.rows import NodeRow
from llama_index_ko_rerank.text.kiwi import kiwi_version
from llama_index_ko_rerank.text.splitter import KoreanSentenceSplitter, make_splitter

DOCUMENT_ERRORS = (UnreadableDocument, InvalidNode, InvalidText, InvalidVector, UnsuitableModel)
"""Errors that concern one document, which is reported while the others go on."""

_MARK = "ko_rerank_source"
_FORMAT = 1
_BETWEEN_HEADINGS = " > "
_NOT_EMBEDDED = ["source", "title", "page"]
_NOT_FOR_AN_LLM = ["source", "page"]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """How a document came into the index.

    Attributes:
        document_id: The id of the document, which its nodes refer to.
        file_sha256: Of the file's bytes, in hexadecimal.
        recipe: A digest of all that makes nodes of a file: reader, splitter, model, and the name below its folder.
        content_sha256: Of the text that was read, and of the recipe.
        chunks: How many nodes it gave.
    """

    document_id: str
    file_sha256: str
    recipe: str
    content_sha256: str
    chunks: int

    def as_relationship(self) -> dict[NodeRelationship, Any]:
        """Return what a node of the document says of its source."""
        mark = {"file_sha256": self.file_sha256, "recipe": self.recipe, "chunks": self.chunks}
        source = RelatedNodeInfo(
            node_id=self.document_id,
            node_type=ObjectType.DOCUMENT,
            metadata={_MARK: mark},
            hash=self.content_sha256,
        )
        return {NodeRelationship.SOURCE: source}


@dataclass(frozen=True, slots=True)
class Chunked:
    """Nodes of a document, not embedded yet, with its record."""

    record: SourceRecord
    nodes: list[TextNode]


class Chunker:
    """Chunker of files, for one embedding model and one number of tokens.

    A node's metadata say where it comes from: ``source`` (the file's path below the folder that was named), ``title``,
    and where they are known ``headings`` and ``page``. Only the headings are embedded and searched with the text, for
    they are text of the document; the title and the headings are shown to an LLM.
    """

    def __init__(self, embed_model: BaseEmbedding, *, chunk_tokens: int | None) -> None:
        self._splitter: KoreanSentenceSplitter = make_splitter(embed_model, chunk_tokens=chunk_tokens)
        identity = embedding_identity(embed_model)
        # A model's folder may be renamed, as `identity_differences` knows; its fingerprint stays.
        model = {key: value for key, value in identity.items() if key != "name" or not identity.get("fingerprint")}
        self._settings = [
            _FORMAT,
            model,
            self._splitter.chunk_size,
            self._splitter.chunk_overlap,
            kiwi_version(),
        ]

    def chunk_file(
        self, file: FoundFile, *, document_id: str, record: SourceRecord | None, max_bytes: int
    ) -> Chunked | None:
        """Read and split a file; None where its text is what the record says was indexed before.

        Raises:
            UnreadableDocument: It cannot be read, is damaged, protected, blank or too large.
            InvalidText: Its text holds lone surrogates.
        """
        kind = kind_of(file.path)
        assert kind is not None  # others are not found
        payload = read_payload(file.path, max_bytes=max_bytes)
        text = read_document(kind, payload)
        recipe = self.recipe(kind, file)
        content_sha256 = self.content_sha256(recipe, text)
        if record is not None and record.content_sha256 == content_sha256:
            return None
        file_sha256 = hashlib.sha256(payload).hexdigest()
        return self.chunked(file, text, SourceRecord(document_id, file_sha256, recipe, content_sha256, chunks=0))

    def recipe(self, kind: Kind, file: FoundFile) -> str:
        """Return a digest of all that makes nodes of this file, except its content."""
        return _digest([*self._settings, kind.identity, file.name])

    def content_sha256(self, recipe: str, text: DocumentText) -> str:
        """Return a digest of what was read and of the recipe; equal ones give equal nodes."""
        return _digest([recipe, asdict(text)])

    def chunked(self, file: FoundFile, text: DocumentText, record: SourceRecord) -> Chunked:
        """Split a document; the number of its chunks is put into the record.

        Node ids are ``<document id>:<number>``, numbered through all sections.
        """
        parts: list[tuple[str, dict[str, Any]]] = []
        for section in text.sections:
            metadata = _metadata(file, text.title, section)
            embedded = metadata.get("headings", "")
            parts += [(chunk, metadata) for chunk in self._splitter.split_text_metadata_aware(section.text, embedded)]
        whole = replace(record, chunks=len(parts))
        nodes = [
            TextNode(
                id_=f"{record.document_id}:{number}",
                text=chunk,
                metadata=dict(metadata),
                excluded_embed_metadata_keys=_NOT_EMBEDDED,
                excluded_llm_metadata_keys=_NOT_FOR_AN_LLM,
                metadata_template="{value}",
                relationships=whole.as_relationship(),
            )
            for number, (chunk, metadata) in enumerate(parts)
        ]
        return Chunked(whole, nodes)


def read_records(reader: TableReader) -> Iterator[SourceRecord]:
    """Yield the record of every document that came from a file and of which every node is there.

    A document that has lost nodes has no record, so that it is indexed again; nodes from elsewhere have none either.
    """
    first_rows: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for row_id, document_id, _ in reader.metadata_after(0):
        if document_id is not None:
            first_rows.setdefault(document_id, row_id)
            counts[document_id] += 1
    for row_id in first_rows.values():
        (row,) = reader.rows([row_id])
        record = _record(row)
        if record is not None and counts[record.document_id] == record.chunks:
            yield record


def _record(row: NodeRow) -> SourceRecord | None:
    source: Mapping[str, Any] = json.loads(row.body).get("relationships", {}).get(NodeRelationship.SOURCE.value) or {}
    mark = (source.get("metadata") or {}).get(_MARK)
    if not mark:
        return None
    return SourceRecord(
        document_id=source["node_id"],
        file_sha256=mark["file_sha256"],
        recipe=mark["recipe"],
        content_sha256=source["hash"],
        chunks=mark["chunks"],
    )


def _metadata(file: FoundFile, title: str | None, section: Section) -> dict[str, Any]:
    metadata: dict[str, Any] = {"source": file.name, "title": title or file.path.name}
    if section.headings:
        metadata["headings"] = _BETWEEN_HEADINGS.join(section.headings)
    if section.page is not None:
        metadata["page"] = section.page
    return metadata


def _digest(value: list[Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
