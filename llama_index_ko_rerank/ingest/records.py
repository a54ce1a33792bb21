"""What an index remembers of the files that it was made from: it is written on the nodes of each file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.schema import NodeRelationship, ObjectType, RelatedNodeInfo

from llama_index_ko_rerank.store.sqlite.reader import TableReader
from llama_index_ko_rerank.store.sqlite.rows import NodeRow

_MARK = "ko_rerank_source"


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
