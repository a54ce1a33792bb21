"""The long parts of a row as few bytes: text and body together, deflated against what the row says already."""

from __future__ import annotations

import zlib

_RAW = -15
_LEVEL = 6
# A body as most nodes have it; what a row shares with it costs next to nothing. A part of the file format.
_TYPICAL = (
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
