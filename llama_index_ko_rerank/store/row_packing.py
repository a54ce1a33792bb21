"""The long parts of a row as few bytes: text and body together, deflated against what the row says already."""

from __future__ import annotations

import zlib

_RAW = -15
_LEVEL = 6
# What a row shares with these costs next to nothing: words that stand in most Korean texts, which make short ones a
# tenth smaller, and a body as most nodes have it. A part of the file format.
_TYPICAL = (
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


def pack(node_id: str, ref_doc_id: str | None, metadata: str, *, text: str, body: str) -> bytes:
    r"""Deflate the text and the body of a node.

    The first three are kept in plain beside the result and serve as its dictionary: LlamaIndex repeats a node's id, its
    document's id and its metadata in the body.

    >>> packed = pack("n1", None, "{}", text="한강", body='{"id_": "n1"}')
    >>> unpack("n1", None, "{}", packed)
    ('한강', '{"id_": "n1"}')
    """
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, zdict=_dictionary(node_id, ref_doc_id, metadata))
    return press.compress(f"{body}\0{text}".encode()) + press.flush()


def unpack(node_id: str, ref_doc_id: str | None, metadata: str, packed: bytes) -> tuple[str, str]:
    """Give back the text and the body that `pack` was given.

    Raises:
        ValueError: The bytes are not what `pack` made, as far as can be seen.
    """
    press = zlib.decompressobj(_RAW, zdict=_dictionary(node_id, ref_doc_id, metadata))
    try:
        whole = (press.decompress(packed) + press.flush()).decode()
    except zlib.error as problem:
        raise ValueError(str(problem)) from problem
    if not press.eof or press.unused_data:
        raise ValueError("it is cut short, or something follows it")
    # A body is JSON, in which a null character is always written as an escape.
    body, _, text = whole.partition("\0")
    return text, body


def _dictionary(node_id: str, ref_doc_id: str | None, metadata: str) -> bytes:
    return "\0".join((_TYPICAL, metadata, ref_doc_id or "", node_id)).encode()
