"""Rows of the table: made from nodes, compressed, and turned back into equal nodes."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    TextNode,
)

from llama_index_ko_rerank.errors import DamagedIndex, DuplicateNodeId, InvalidNode
from llama_index_ko_rerank.text.normalize import check_text

_RAW = -15
_LEVEL = 6
# What a row shares with these costs next to nothing: words that stand in most Korean texts, which make short ones a
# tenth smaller, and a body as most nodes have it. A part of the file format.
_DICTIONARY = (
    "있습니다. 없습니다. 합니다. 됩니다. 입니다. 하였다. 되었다. 이었다. 있었다. 라고 한다. "
    "할 수 있다. 하여야 한다. 하지 아니한다. 것을 말한다. 것으로 한다. 하지 아니하는 경우에는 "
    "다음 각 호의 어느 하나에 해당하는 에 대하여 에 관하여 에 따라 에 의하여 으로부터 으로써 까지 부터 에서는 에게 "
    "그러나 그리고 또한 따라서 때문에 위하여 통하여 대한 관한 의한 위한 같은 다른 모든 "
    "경우 사용 제공 설정 정보 내용 방법 필요 은 는 이 가 을 를 의 에 와 과 도 로 년 월 일 제1조 제2항 및 또는 등 "
    '"mimetype": "text/plain", "start_char_idx": null, "end_char_idx": null, '
    '"text_template": "{metadata_str}\\n\\n{content}", '
    '"excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "metadata_template": "{key}: {value}", '
    '"metadata_separator": "\\n", "class_name": "TextNode", "relationships": {"2": {"node_id": "", "node_type": "1", '
    '"metadata": {}, "hash": "", "class_name": "RelatedNodeInfo"}, "3": {"node_id": "", "node_type": "1", '
    '"1": {"node_id": "", "node_type": "4", "metadata": {}, "hash": "", "class_name": "RelatedNodeInfo"}}, "id_": "'
)


def compress_row(node_id: str, ref_doc_id: str | None, metadata: str, *, text: str, body: str) -> bytes:
    r"""Deflate the text and the body of a node.

    The first three are kept in plain beside the result and serve as its dictionary: LlamaIndex repeats a node's id, its
    document's id and its metadata in the body.

    >>> compressed = compress_row("n1", None, "{}", text="한강", body='{"id_": "n1"}')
    >>> decompress_row("n1", None, "{}", compressed)
    ('한강', '{"id_": "n1"}')
    """
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, zdict=_dictionary_of(node_id, ref_doc_id, metadata))
    return deflate.compress(f"{body}\0{text}".encode()) + deflate.flush()


def decompress_row(node_id: str, ref_doc_id: str | None, metadata: str, compressed: bytes) -> tuple[str, str]:
    """Give back the text and the body that `compress_row` was given.

    Raises:
        ValueError: The bytes are not what `compress_row` made, as far as can be seen.
    """
    inflate = zlib.decompressobj(_RAW, zdict=_dictionary_of(node_id, ref_doc_id, metadata))
    try:
        whole = (inflate.decompress(compressed) + inflate.flush()).decode()
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError("it is cut short, or something follows it")
    # A body is JSON, in which a null character is always written as an escape.
    body, _, text = whole.partition("\0")
    return text, body


def _dictionary_of(node_id: str, ref_doc_id: str | None, metadata: str) -> bytes:
    return "\0".join((_DICTIONARY, metadata, ref_doc_id or "", node_id)).encode()


_KINDS: dict[str, type[BaseNode]] = {
    kind.class_name(): kind for kind in (TextNode, ImageNode, IndexNode, Node, Document, ImageDocument)
}


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node without its vector.

    Attributes:
        node_id: LlamaIndex's id, not empty.
        ref_doc_id: The id of the document that it was cut from; None where it has none.
        kind: The LlamaIndex class, such as ``TextNode``.
        text: Its text.
        metadata: Its metadata as JSON.
        body: Everything else that the node holds, as JSON.
        content_hash: The sha256 of all that stands above in hexadecimal, so that damage is noticed.
    """

    node_id: str
    ref_doc_id: str | None
    kind: str
    text: str
    metadata: str
    body: str
    content_hash: str

    @classmethod
    def of(cls, node_id: str, ref_doc_id: str | None, kind: str, text: str, metadata: str, body: str) -> NodeRow:
        """Make a row, computing its last field."""
        checksum = _checksum(node_id, ref_doc_id, kind, text, metadata, body)
        return cls(node_id, ref_doc_id, kind, text, metadata, body, checksum)

    def is_intact(self) -> bool:
        """Say whether the row is what was written."""
        fields = (self.node_id, self.ref_doc_id, self.kind, self.text, self.metadata, self.body)
        return self.content_hash == _checksum(*fields)


def to_columns(row: NodeRow) -> tuple[str, str | None, str, str, bytes, bytes]:
    """Give what the table keeps of a row: id, document, kind, metadata, compressed text and body, content hash."""
    compressed = compress_row(row.node_id, row.ref_doc_id, row.metadata, text=row.text, body=row.body)
    return row.node_id, row.ref_doc_id, row.kind, row.metadata, compressed, bytes.fromhex(row.content_hash)


def from_columns(columns: Sequence[Any]) -> NodeRow:
    """Make the row that `to_columns` was given.

    Raises:
        DamagedIndex: The compressed text and body cannot be read.
    """
    node_id, ref_doc_id, kind, metadata, compressed, content_hash = columns
    try:
        text, body = decompress_row(node_id, ref_doc_id, metadata, compressed)
        return NodeRow(node_id, ref_doc_id, kind, text, metadata, body, content_hash.hex())
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(node_id) from error


def read_metadata(node_id: str, metadata: str) -> dict[str, Any]:
    """Read a row's metadata.

    Raises:
        DamagedIndex: They are no JSON object any more.
    """
    try:
        values = json.loads(metadata)
    except (ValueError, TypeError) as error:
        raise _damaged(node_id) from error
    if not isinstance(values, dict):
        raise _damaged(node_id)
    return values


def check_node(node: object) -> BaseNode:
    """Refuse what no table row can hold; cheap, so that it can go over a whole corpus before any is embedded.

    Raises:
        InvalidNode: It is no node, of an unknown kind, without an id, or its metadata is no JSON.
        InvalidText: Its text, id or metadata hold lone surrogates.
    """
    if not isinstance(node, BaseNode):
        raise InvalidNode(f"a LlamaIndex node or document is needed, not {type(node).__name__} ({str(node)[:40]!r})")
    if type(node) is not _KINDS.get(node.class_name()):
        raise InvalidNode(
            f"node {node.node_id!r} is a {type(node).__name__}, which would come back as something else; "
            f"pass one of {', '.join(_KINDS)}"
        )
    check_text(node.node_id, "a node id")
    if not node.node_id:
        raise InvalidNode("a node has an empty id; give every node one of its own")
    check_text(node.get_content(metadata_mode=MetadataMode.NONE), f"the text of node {node.node_id!r}")
    _check_json(node.metadata, f"metadata of node {node.node_id!r}")
    return node


def check_unique(nodes: Iterable[BaseNode]) -> None:
    """Refuse two nodes with one id.

    Raises:
        DuplicateNodeId: Naming the first id that repeats.
    """
    seen: set[str] = set()
    for node in nodes:
        if node.node_id in seen:
            raise DuplicateNodeId(f"node id {node.node_id!r} is given twice; every node needs an id of its own")
        seen.add(node.node_id)


def to_rows(nodes: Sequence[BaseNode]) -> list[NodeRow]:
    """Turn nodes into rows, having made sure that each row gives back an equal node.

    Raises:
        InvalidNode: A node would not come back as it was; the message says which part.
        InvalidText: Lone surrogates.
        DuplicateNodeId: An id is there twice.
    """
    rows = [_to_row(check_node(node)) for node in nodes]
    check_unique(nodes)
    return rows


def to_node(row: NodeRow) -> BaseNode:
    """Turn a row into the node that it was made from, without a vector.

    Raises:
        DamagedIndex: The row holds something else than what was written.
    """
    if not row.is_intact():
        raise _damaged(row.node_id)
    try:
        content: dict[str, Any] = json.loads(row.body)
        content["metadata"] = json.loads(row.metadata)
        if issubclass(_KINDS[row.kind], TextNode):
            content["text"] = row.text
        return _KINDS[row.kind].from_dict(content)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedIndex(f"the stored node {row.node_id!r} cannot be read: {error}") from error


def _to_row(node: BaseNode) -> NodeRow:
    left_out = {"embedding", "metadata", "text"} if isinstance(node, TextNode) else {"embedding", "metadata"}
    try:
        body = json.dumps(node.model_dump(mode="json", exclude=left_out), ensure_ascii=False, allow_nan=False)
        metadata = json.dumps(node.metadata, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidNode(f"node {node.node_id!r} cannot be written as JSON: {error}") from error
    check_text(body, f"node {node.node_id!r}")
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    row = NodeRow.of(node.node_id, node.ref_doc_id, node.class_name(), text, metadata, body)
    if to_node(row) != node.model_copy(update={"embedding": None}):
        raise InvalidNode(
            f"node {node.node_id!r} would not come back as it was: its relationships, its object or its binary "
            "data are no JSON; keep such data outside and refer to it by a path or an address"
        )
    return row


def _damaged(node_id: object) -> DamagedIndex:
    return DamagedIndex(f"the stored node {node_id!r} is not what was written; add it again or rebuild the index")


def _checksum(*fields: str | None) -> str:
    whole = hashlib.sha256()
    for field in fields:
        encoded = b"" if field is None else field.encode()
        whole.update(f"{-1 if field is None else len(encoded)}:".encode() + encoded)
    return whole.hexdigest()


def _check_json(value: object, where: str) -> None:
    """Refuse what JSON would change or cannot hold, naming where it stands.

    Integers, floats, True and False, None, strings, lists and dicts with string keys come back as they were.
    """
    if isinstance(value, str):
        check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidNode(f"{where} holds {value}, which JSON does not have; leave the key out or use None")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_json(item, f"{where}[{position}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidNode(f"{where} has the key {key!r}; JSON has only strings as keys")
            check_text(key, f"a key of {where}")
            _check_json(item, f"{where}[{key!r}]")
    elif value is not None and not isinstance(value, int):
        raise InvalidNode(
            f"{where} holds a {type(value).__name__}, which JSON does not have; "
            "write it as a string, a number or a list (a date by isoformat(), a tuple by list())"
        )
