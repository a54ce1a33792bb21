"""What flows through a pipeline on Ray. Every process reads this file, so that it imports nothing that loads slowly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

from numpy.typing import NDArray

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
