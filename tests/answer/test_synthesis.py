from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_ko_rerank.answer.synthesis import distinct_titles, source_records, source_title
from llama_index_ko_rerank.errors import InvalidText


def test_a_title_comes_before_a_file_name_and_a_file_name_before_the_text():
    assert source_title(TextNode(text="본문", metadata={"title": "휴가", "file_name": "a.md"})) == "휴가"
    assert source_title(TextNode(text="본문", metadata={"title": " ", "file_name": "a.md"})) == "a.md"
    assert source_title(TextNode(text="본문", metadata={"title": None})) == "본문"
    assert source_title(TextNode(text=" \n", metadata={})) == "제목 없음"


def test_a_title_is_one_line_of_bounded_length_in_one_form():
    assert source_title(TextNode(text="첫 줄\n\n 둘째  줄")) == "첫 줄 둘째 줄"
    assert source_title(TextNode(text="가" * 31)) == "가" * 30 + "…"
    assert source_title(TextNode(text="가" * 30)) == "가" * 30
    assert source_title(TextNode(text="", metadata={"title": "나" * 90})) == "나" * 80 + "…"
    assert source_title(TextNode(text="", metadata={"title": unicodedata.normalize("NFD", "휴가")})) == "휴가"
    assert source_title(TextNode(text="", metadata={"title": 2024})) == "2024"


def test_a_title_with_lone_surrogates_is_refused():
    with pytest.raises(InvalidText):
        source_title(TextNode(text="본문", metadata={"title": "한\ud800"}))


def test_records_are_json_and_count_from_one():
    nodes = [
        NodeWithScore(node=TextNode(id_="a", text="본문"), score=np.float32(0.5)),
        NodeWithScore(node=TextNode(id_="b", text="다른 본문")),
    ]
    assert json.loads(json.dumps(source_records(nodes))) == [
        {"number": 1, "node_id": "a", "title": "본문", "score": 0.5},
        {"number": 2, "node_id": "b", "title": "다른 본문", "score": None},
    ]


def test_titles_are_named_once_in_the_order_of_the_nodes():
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("나", "가", "나", "다")]
    assert distinct_titles(nodes, limit=2) == ["나", "가"]
