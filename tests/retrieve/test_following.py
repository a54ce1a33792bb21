"""Lexical search that follows a vector index."""

from __future__ import annotations

import hashlib
import logging

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.store import build_index, open_index

TEXTS = {
    "a": "연차휴가는 열다섯 날이다.",
    "b": "출장비는 영수증과 함께 청구한다.",
    "c": "병가는 진단서를 내야 쓸 수 있다.",
}


class HashedEmbedding(BaseEmbedding):
    """Texts of equal content get equal vectors, others others."""

    def _get_text_embedding(self, text):
        return [byte / 255 + 0.01 for byte in hashlib.sha256(text.encode()).digest()[:8]]

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.fixture
def index(tmp_path):
    nodes = [TextNode(id_=name, text=text) for name, text in TEXTS.items()]
    return build_index(nodes, tmp_path / "index", embed_model=HashedEmbedding())


def ids(retriever, question):
    return [found.node.node_id for found in retriever.retrieve(question)]


def test_what_is_added_to_the_index_is_found_and_what_is_deleted_is_gone(index):
    retriever = KoreanBM25Retriever.from_index(index)
    assert ids(retriever, "진단서") == ["c"]
    index.insert_nodes([TextNode(id_="d", text="진단서는 병원에서 받는다. 진단서!")])
    index.vector_store.delete_nodes(["c"])
    assert ids(retriever, "진단서") == ["d"]


def test_a_replaced_node_is_found_by_its_new_words_only(index):
    retriever = KoreanBM25Retriever.from_index(index)
    index.insert_nodes([TextNode(id_="c", text="조퇴는 팀장에게 알린다.")])
    assert ids(retriever, "진단서") == []
    assert ids(retriever, "조퇴") == ["c"]


def test_changes_by_another_opening_are_seen(index, tmp_path):
    retriever = KoreanBM25Retriever.from_index(index)
    other = open_index(tmp_path / "index", embed_model=HashedEmbedding())
    other.insert_nodes([TextNode(id_="e", text="구내식당은 열두 시에 연다.")])
    assert ids(retriever, "구내식당") == ["e"]


def test_a_snapshot_saves_tokenising_again(index, tmp_path, monkeypatch):
    KoreanBM25Retriever.from_index(index, snapshot=tmp_path / "lexical")
    index.insert_nodes([TextNode(id_="d", text="주차장은 지하에 있다.")])
    analysed = []
    original = KoreanBM25Retriever._add

    def spy(self, nodes, on_progress=None):
        analysed.extend(node.node_id for node in nodes)
        original(self, nodes, on_progress)

    monkeypatch.setattr(KoreanBM25Retriever, "_add", spy)
    resumed = KoreanBM25Retriever.from_index(index, snapshot=tmp_path / "lexical")
    assert analysed == ["d"]
    for question in ("진단서", "주차장", "영수증"):
        assert ids(resumed, question) == ids(KoreanBM25Retriever.from_index(index), question)


def test_a_damaged_snapshot_is_made_again_and_said(index, tmp_path, caplog):
    folder = tmp_path / "lexical"
    KoreanBM25Retriever.from_index(index, snapshot=folder)
    (arrays,) = folder.glob("lexical-*.safetensors")
    arrays.write_bytes(arrays.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert ids(KoreanBM25Retriever.from_index(index, snapshot=folder), "진단서") == ["c"]
    assert "tokenised again" in caplog.text
    caplog.clear()
    KoreanBM25Retriever.from_index(index, snapshot=folder)
    assert "tokenised again" not in caplog.text


def test_a_snapshot_of_other_settings_is_not_used(index, tmp_path, caplog):
    folder = tmp_path / "lexical"
    KoreanBM25Retriever.from_index(index, snapshot=folder)
    with caplog.at_level(logging.WARNING):
        retriever = KoreanBM25Retriever.from_index(index, snapshot=folder, view="bigrams")
    assert "made otherwise" in caplog.text
    assert ids(retriever, "진단서") == ["c"]


def test_a_following_retriever_is_changed_only_through_its_index(index):
    retriever = KoreanBM25Retriever.from_index(index)
    with pytest.raises(InvalidSetting, match="follows the index"):
        retriever.add([TextNode(text="새 글")])
    with pytest.raises(InvalidSetting, match="follows the index"):
        retriever.delete(["a"])
