"""Lexical search that follows a vector index."""

from __future__ import annotations

import hashlib
import logging

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.incremental import LexicalIndexStatus, inspect_index, update_index
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
        retriever = KoreanBM25Retriever.from_index(index, snapshot=folder, analyzers=("bigrams",))
    assert "made with other settings" in caplog.text
    assert ids(retriever, "진단서") == ["c"]


def test_a_following_retriever_is_changed_only_through_its_index(index):
    retriever = KoreanBM25Retriever.from_index(index)
    with pytest.raises(InvalidSetting, match="follows the index"):
        retriever.add([TextNode(text="새 글")])
    with pytest.raises(InvalidSetting, match="follows the index"):
        retriever.delete(["a"])


def order(retriever, question="연차 출장비 병가 진단서 영수증"):
    return [(found.node.node_id, found.score) for found in retriever.retrieve(question)]


def spoil(folder, damage):
    (arrays,) = folder.glob("lexical-*.safetensors")
    manifest = folder / "lexical.json"
    if damage == "arrays cut":
        arrays.write_bytes(arrays.read_bytes()[:-9])
    elif damage == "arrays changed":
        content = bytearray(arrays.read_bytes())
        content[-1] ^= 1
        arrays.write_bytes(content)
    elif damage == "arrays gone":
        arrays.unlink()
    elif damage == "manifest cut":
        manifest.write_bytes(manifest.read_bytes()[:-9])
    elif damage == "manifest changed":
        text = manifest.read_text(encoding="utf-8")
        assert '"연차' in text
        manifest.write_text(text.replace('"연차', '"차연', 1), encoding="utf-8")
    else:
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace('"a", "b"', '"b", "a"', 1), encoding="utf-8")


DAMAGES = ["arrays cut", "arrays changed", "arrays gone", "manifest cut", "manifest changed", "hashes of others"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_part_of_a_spoiled_snapshot_is_trusted_and_it_is_made_again(index, tmp_path, damage, caplog):
    folder = tmp_path / "lexical"
    KoreanBM25Retriever.from_index(index, snapshot=folder)
    spoil(folder, damage)
    assert inspect_index(index.vector_store, folder).state == "damaged"
    with caplog.at_level(logging.WARNING):
        retriever = KoreanBM25Retriever.from_index(index, snapshot=folder)
    assert "tokenised again" in caplog.text
    assert order(retriever) == order(KoreanBM25Retriever.from_index(index))
    assert inspect_index(index.vector_store, folder) == LexicalIndexStatus("current", 0, 0)


def test_what_a_snapshot_lacks_and_has_too_much_is_counted(index, tmp_path):
    folder = tmp_path / "lexical"
    assert inspect_index(index.vector_store, folder) == LexicalIndexStatus("missing", 3, 0)
    update_index(index.vector_store, folder)
    assert inspect_index(index.vector_store, folder) == LexicalIndexStatus("current", 0, 0)
    index.insert_nodes([TextNode(id_="d", text="주차장은 지하에 있다."), TextNode(id_="a", text="연차는 없어졌다.")])
    index.vector_store.delete_nodes(["b"])
    assert inspect_index(index.vector_store, folder) == LexicalIndexStatus("stale", 2, 2)


def test_a_refreshed_snapshot_is_what_opening_would_have_made(index, tmp_path):
    folder = tmp_path / "lexical"
    assert update_index(index.vector_store, folder) == 3
    assert update_index(index.vector_store, folder) == 0
    index.insert_nodes(
        [TextNode(id_="d", text="진단서는 병원에서 받는다."), TextNode(id_="a", text="연차는 없어졌다.")]
    )
    index.vector_store.delete_nodes(["b"])
    assert update_index(index.vector_store, folder) == 2
    resumed = KoreanBM25Retriever.from_index(index, snapshot=folder)
    assert order(resumed) == order(KoreanBM25Retriever.from_index(index))
    assert resumed.lexical_index.ids == [node.node_id for node in index.vector_store.nodes()]


def test_refreshing_goes_in_batches_and_tells_how_far_it_is(index, tmp_path, monkeypatch):
    monkeypatch.setattr("llama_index_ko_rerank.retrieve.incremental._BATCH", 2)
    index.insert_nodes([TextNode(id_=f"n{number}", text=f"{number}번 글이다.") for number in range(4)])
    seen = []
    update_index(index.vector_store, tmp_path / "lexical", on_progress=lambda *done: seen.append(done))
    assert seen == [(2, 7), (4, 7), (6, 7)]
    resumed = KoreanBM25Retriever.from_index(index, snapshot=tmp_path / "lexical")
    assert order(resumed) == order(KoreanBM25Retriever.from_index(index))


def test_a_snapshot_of_other_analyzers_is_outdated_and_not_damaged(index, tmp_path):
    KoreanBM25Retriever.from_index(index, snapshot=tmp_path, analyzers=("bigrams",))
    state = inspect_index(index.vector_store, tmp_path)
    assert (state.state, state.to_tokenise) == ("outdated", 3)
    assert "with other settings" in state.reason


def test_a_snapshot_that_cannot_be_written_is_said_and_search_goes_on(index, tmp_path, caplog):
    (tmp_path / "lexical").write_text("a file in the way", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        retriever = KoreanBM25Retriever.from_index(index, snapshot=tmp_path / "lexical")
    assert "could not be written" in caplog.text
    assert ids(retriever, "진단서") == ["c"]


def test_a_snapshot_from_another_index_is_compared_node_by_node(index, tmp_path):
    other = build_index(
        [TextNode(id_="a", text="전혀 다른 글이다."), TextNode(id_="b", text=TEXTS["b"])],
        tmp_path / "other",
        embed_model=HashedEmbedding(),
    )
    KoreanBM25Retriever.from_index(other, snapshot=tmp_path / "lexical")
    retriever = KoreanBM25Retriever.from_index(index, snapshot=tmp_path / "lexical")
    assert sorted(order(retriever)) == sorted(order(KoreanBM25Retriever.from_index(index)))
    assert ids(retriever, "전혀 다른") == []
