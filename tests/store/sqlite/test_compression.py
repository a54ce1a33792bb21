import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from llama_index_ko_rerank.store.sqlite.rows import compress_row, decompress_row, to_columns, to_rows

JSON = st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3).map(json.dumps)


@given(node_id=st.text(), ref_doc_id=st.none() | st.text(), metadata=JSON, text=st.text(), body=JSON)
def test_what_was_compressed_comes_back(node_id, ref_doc_id, metadata, text, body):
    compressed = compress_row(node_id, ref_doc_id, metadata, text=text, body=body)
    assert decompress_row(node_id, ref_doc_id, metadata, compressed) == (text, body)


def test_null_characters_in_a_text_come_back():
    compressed = compress_row("n", None, "{}", text="\0가\0\0", body="{}")
    assert decompress_row("n", None, "{}", compressed) == ("\0가\0\0", "{}")


def test_bytes_that_this_format_wrote_once_are_read_for_ever():
    written = bytes.fromhex("ab86c9e619e209c85a86b753e7bcda30f5cddc190aafbb97bc5eb60600")
    expected = ("한강의 다리", '{"id_": "n1", "class_name": "TextNode"}')
    assert decompress_row("n1", "문서", '{"쪽": 3}', written) == expected


@pytest.mark.parametrize("damage", [lambda it: b"", lambda it: it[:-1], lambda it: it + b"x", lambda it: b"\xff" + it])
def test_bytes_of_something_else_are_refused(damage):
    compressed = compress_row("n", None, "{}", text="한강의 다리", body="{}")
    with pytest.raises(ValueError, match=r"."):
        decompress_row("n", None, "{}", damage(compressed))


def test_what_llama_index_repeats_in_a_node_costs_little():
    metadata = {"법": "민법", "조": "제750조", "제목": "불법행위의 내용"}
    source = RelatedNodeInfo(node_id="민법/제750조", metadata=metadata, hash="0" * 64)
    node = TextNode(text="고의로 남에게 손해를 준 사람은 갚는다.", metadata=metadata)
    node.relationships = {NodeRelationship.SOURCE: source}
    (row,) = to_rows([node])
    compressed = to_columns(row)[4]
    assert len(compressed) < 0.25 * len((row.body + row.text).encode())
