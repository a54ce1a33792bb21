"""What an answer says of its sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

from llama_index_ko_rerank.text.normalize import normalize

_TITLE_KEYS = ("title", "file_name")
_LONGEST_TITLE = 80
_LONGEST_OPENING = 30
_UNTITLED = "제목 없음"


def source_title(node: BaseNode) -> str:
    """Return what a source is called, in one line: its title, its file name, or how its text begins.

    The first of the metadata ``title`` and ``file_name`` that is not blank; otherwise the first 30 characters of the
    text. What is longer (80 characters in a title) ends in an ellipsis.

    Raises:
        InvalidText: The title holds lone surrogates.
    """
    for key in _TITLE_KEYS:
        title = _one_line(str(node.metadata.get(key) or ""), _LONGEST_TITLE)
        if title:
            return title
    return _one_line(node.get_content(metadata_mode=MetadataMode.NONE), _LONGEST_OPENING) or _UNTITLED


def source_records(nodes: Sequence[NodeWithScore]) -> list[dict[str, Any]]:
    """Describe numbered sources in JSON types: number from 1, node id, title and score."""
    return [
        {
            "number": number,
            "node_id": found.node.node_id,
            "title": source_title(found.node),
            "score": None if found.score is None else float(found.score),
        }
        for number, found in enumerate(nodes, start=1)
    ]


def distinct_titles(nodes: Sequence[NodeWithScore], most: int) -> list[str]:
    """Return the titles of the first nodes in their order, each once, `most` at most."""
    return list(dict.fromkeys(source_title(found.node) for found in nodes))[:most]


def _one_line(text: str, longest: int) -> str:
    line = " ".join(normalize(text).split())
    return line if len(line) <= longest else f"{line[:longest].rstrip()}…"
