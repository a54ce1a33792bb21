"""Nodes as the payloads of Qdrant's points, and back; what would not come back the same is refused."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llama_index.core.schema import BaseNode

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.filters import SOURCE_KEYS, in_nfc
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, read_metadata, to_node

NODE = "node"
DOCUMENT = "document"
FACTS = "facts"
NUMBERS = "numbers"
TEXTS = "texts"
LOWER = "lower"

_NAMESPACE = uuid.UUID("6f1c2c52-5b0a-5d0e-9a43-0d0f5f3a7c11")
_LONGEST_FACT = 200


def point_id(node_id: str) -> str:
    """Name the point of a node: Qdrant takes only numbers and UUIDs, so it is a UUID made of the node's id."""
    return str(uuid.uuid5(_NAMESPACE, node_id))


def fact(*parts: Any) -> str:
    """Write what is true of a node as one text, by which Qdrant finds it: a key alone, or with its value.

    Equal numbers are written alike, and texts in NFC, so that two facts are equal where Python's values are. A long
    one is written as its hash.

    >>> fact("연도", 2024.0), fact("연도", 2024)
    ('["연도",2024]', '["연도",2024]')
    """
    key, *values = parts
    text = json.dumps([key, *map(_plain, values)], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return (
        text if len(text) <= _LONGEST_FACT else "blake2b:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    )


def to_payload(row: NodeRow) -> dict[str, Any]:
    """Turn the row of a node (see `to_rows`) into the payload of its point.

    A payload is the node itself with a checksum (``node``), the id of its document, and its metadata in the forms that
    the filters ask for: ``facts`` for equality and membership, all in one field so that one index of Qdrant serves
    every key, ``numbers`` for ranges, and ``texts`` and ``lower`` for parts of texts.
    """
    metadata = {key: value for key, value in read_metadata(row.node_id, row.metadata).items() if value is not None}
    if row.ref_doc_id is not None:
        metadata = dict.fromkeys(SOURCE_KEYS, row.ref_doc_id) | metadata
    payload: dict[str, Any] = {NODE: asdict(row), FACTS: [], NUMBERS: {}, TEXTS: {}, LOWER: {}}
    if row.ref_doc_id is not None:
        payload[DOCUMENT] = row.ref_doc_id
    for key, value in metadata.items():
        payload[FACTS] += _facts(key, value)
        if isinstance(value, int | float):
            payload[NUMBERS][key] = _plain(value)
        elif isinstance(value, str):
            text = in_nfc(value)
            payload[TEXTS][key] = text
            if text.lower() != text:
                payload[LOWER][key] = text.lower()
    return payload


def from_payload(payload: Mapping[str, Any] | None) -> BaseNode:
    """Turn a payload into its node, without a vector.

    Raises:
        DamagedIndex: It is not what was written.
    """
    try:
        return to_node(NodeRow(**(payload or {})[NODE]))
    except (KeyError, TypeError) as problem:
        raise DamagedIndex(f"a point of the collection holds no node that this package wrote ({problem})") from problem


def _facts(key: str, value: Any) -> list[str]:
    items = value if isinstance(value, list | dict) else ()
    emptiness = [fact(key, "empty", True)] if value in ("", [], {}) and not isinstance(value, dict) else []
    return [fact(key), fact(key, value), *emptiness, *(fact(key, "holds", item) for item in items)]


def _plain(value: Any) -> Any:
    """Write numbers that are equal in Python alike: True as 1, 2.0 as 2."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return in_nfc(value)
