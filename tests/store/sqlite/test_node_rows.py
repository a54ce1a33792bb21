from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)

from llama_index_ko_rerank.errors import DamagedIndex, DuplicateNodeId, InvalidNode, InvalidText
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, to_node, to_rows

NODES = {
    "text": TextNode(
        text="서울의 한강\x00\u0007",
        metadata={"제목": "한강", "쪽": 3, "비율": 0.5, "태그": ["강", None, True], "안": {"깊이": 2}},
        excluded_embed_metadata_keys=["쪽"],
        start_char_idx=3,
        end_char_idx=9,
        text_template="{content} ({metadata_str})",
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="문서", metadata={"제목": "한강"}),
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
        },
    ),
    "decomposed": TextNode(text="\u1112\u1161\u11ab\u1100\u1173\u11af"),
    "index": IndexNode(text="가리키는 글", index_id="표 1"),
    "image": ImageNode(text="", image="aGVsbG8=", image_path="/tmp/그림.png"),
    "multimodal": Node(text_resource=MediaResource(text="글"), image_resource=MediaResource(path=Path("그림.png"))),
    "document": Document(text="문서의 글", metadata={"쪽": 1}),
    "empty document": Document(text=""),
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES.keys())
def test_every_kind_of_node_comes_back_equal(node):
    (row,) = to_rows([node])
    assert to_node(row) == node
    assert type(to_node(row)) is type(node)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(text=st.text(), metadata=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_text_and_any_json_metadata_come_back_equal(text, metadata):
    node = TextNode(text=text, metadata=metadata)
    assert to_node(to_rows([node])[0]) == node


def test_the_embedding_is_left_out_and_the_caller_keeps_it():
    node = TextNode(text="글", embedding=[1.0, 2.0])
    (row,) = to_rows([node])
    assert to_node(row).embedding is None
    assert node.embedding == [1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (date(2024, 1, 1), "date"),
        ({1, 2}, "set"),
        ((1, 2), "tuple"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (b"bytes", "bytes"),
        (object(), "object"),
        ({1: "one"}, "key 1"),
    ],
)
def test_metadata_that_json_would_change_is_refused_with_its_place(value, said):
    with pytest.raises(InvalidNode, match=rf"metadata of node 'n1'\['날짜'\]\[0\].*{said}"):
        to_rows([TextNode(id_="n1", text="글", metadata={"날짜": [value]})])


@pytest.mark.parametrize(
    "node",
    [
        TextNode(text="한\ud800글"),
        TextNode(text="글", metadata={"제목": "\udfff"}),
        TextNode(text="글", metadata={"\udfff": "제목"}),
        TextNode(id_="\ud800", text="글"),
        TextNode(text="글", relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="\ud800")}),
    ],
)
def test_lone_surrogates_are_refused_wherever_they_are(node):
    with pytest.raises(InvalidText):
        to_rows([node])


class NoteNode(TextNode):
    note: str = "나의 것"


@pytest.mark.parametrize(
    "node",
    [
        NoteNode(text="글"),
        TextNode(id_="", text="글"),
        IndexNode(text="글", index_id="1", obj={"a": 1}),
        Node(text_resource=MediaResource(text="글"), image_resource=MediaResource(data=b"bytes")),
        TextNode(
            text="글", relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d", metadata={"a": (1, 2)})}
        ),
    ],
    ids=["subclass", "empty id", "object", "binary data", "metadata of a related node"],
)
def test_a_node_that_would_come_back_different_is_refused(node):
    with pytest.raises(InvalidNode):
        to_rows([node])


def test_something_that_is_no_node_is_refused():
    with pytest.raises(InvalidNode, match="not str"):
        to_rows(["그냥 글"])


def test_one_id_twice_is_refused():
    with pytest.raises(DuplicateNodeId, match="'n1'"):
        to_rows([TextNode(id_="n1", text="가"), TextNode(id_="n2", text="나"), TextNode(id_="n1", text="다")])


@pytest.mark.parametrize("field", ["node_id", "ref_doc_id", "kind", "text", "metadata", "body"])
def test_a_row_that_was_overwritten_is_damage(field):
    (row,) = to_rows([TextNode(id_="n1", text="글")])
    with pytest.raises(DamagedIndex, match="not what was written"):
        to_node(replace(row, **{field: "다른 글"}))


def test_a_row_of_an_unknown_layout_is_damage():
    with pytest.raises(DamagedIndex, match="cannot be read"):
        to_node(NodeRow.of("n1", None, "FutureNode", "글", "{}", "{}"))


def test_where_one_field_ends_and_the_next_begins_counts():
    assert NodeRow.of("a", "b", "", "", "", "").content_hash != NodeRow.of("ab", "", "", "", "", "").content_hash
    assert NodeRow.of("a", None, "", "", "", "").content_hash != NodeRow.of("a", "", "", "", "", "").content_hash
