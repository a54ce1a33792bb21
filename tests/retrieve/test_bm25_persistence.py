import errno
import json
import os

import pytest
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, InvalidText, ModelMismatch
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.persistence import with_checksum

QUESTIONS = ["연차 신청", "하루 전에", "바다거북"]


@pytest.fixture
def folder(tmp_path, nodes):
    path = tmp_path / "한글 폴더" / "색인"
    KoreanBM25Retriever.from_nodes(nodes).persist(path)
    return path


def test_what_was_persisted_answers_as_before(tmp_path, nodes):
    path = tmp_path / "한글 폴더"
    retriever = KoreanBM25Retriever.from_nodes(nodes, user_words=[("모두의책", "NNP")])
    retriever.persist(path)
    loaded = KoreanBM25Retriever.from_persist_dir(str(path))
    assert len(loaded) == len(retriever)
    for question in QUESTIONS:
        assert loaded.retrieve(question) == retriever.retrieve(question)


def test_how_many_and_which_nodes_is_said_on_loading(tmp_path):
    kept = [TextNode(text=f"연차 {team}", id_=team, metadata={"team": team}) for team in ("총무", "개발", "영업")]
    KoreanBM25Retriever.from_nodes(kept).persist(tmp_path)
    only = MetadataFilters(filters=[MetadataFilter(key="team", value="영업")])
    assert len(KoreanBM25Retriever.from_persist_dir(tmp_path, similarity_top_k=2).retrieve("연차")) == 2
    assert [
        found.node.node_id for found in KoreanBM25Retriever.from_persist_dir(tmp_path, filters=only).retrieve("연차")
    ] == ["영업"]


def test_nodes_of_every_kind_come_back_as_they_were(tmp_path):
    parent = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc")}
    kept = [
        TextNode(text="첫 줄\u2028둘째 줄\x85셋째\n넷째", id_="lines", metadata={"제목": "줄"}, relationships=parent),
        Document(text="연차 문서", id_="document", metadata={"쪽": 3}),
        IndexNode(text="연차 색인", id_="index", index_id="elsewhere"),
        ImageNode(text="연차 그림", id_="image", image_url="https://example.org/연차.png"),
    ]
    KoreanBM25Retriever.from_nodes(kept).persist(tmp_path)
    loaded = KoreanBM25Retriever.from_persist_dir(tmp_path)
    found = {result.node.node_id: result.node for result in loaded.retrieve("연차 줄")}
    assert found == {node.node_id: node for node in kept}
    assert [type(found[node.node_id]) for node in kept] == [type(node) for node in kept]
    assert [found[node.node_id].hash for node in kept] == [node.hash for node in kept]


def test_the_way_metadata_are_searched_is_kept(tmp_path):
    node = TextNode(text="사흘 전에 신청한다", id_="n", metadata={"title": "연차 규정"})
    KoreanBM25Retriever.from_nodes([node], metadata_mode=MetadataMode.NONE).persist(tmp_path)
    loaded = KoreanBM25Retriever.from_persist_dir(tmp_path)
    loaded.add([TextNode(text="이레 안에 청구한다", id_="m", metadata={"title": "연차 규정"})])
    assert loaded.retrieve("연차 규정") == []


def test_an_emptied_retriever_can_be_persisted_and_filled_again(tmp_path, nodes):
    retriever = KoreanBM25Retriever.from_nodes(nodes)
    retriever.delete([node.node_id for node in nodes])
    retriever.persist(tmp_path)
    loaded = KoreanBM25Retriever.from_persist_dir(tmp_path)
    assert len(loaded) == 0
    loaded.add(nodes)
    assert loaded.retrieve("연차")[0].node.node_id == "leave"


def test_persisting_again_replaces_the_old_state(folder, make_nodes):
    retriever = KoreanBM25Retriever.from_persist_dir(folder)
    retriever.delete(["leave"])
    retriever.add(make_nodes({"gym": "헬스장은 밤에 닫는다"}))
    retriever.persist(folder)
    loaded = KoreanBM25Retriever.from_persist_dir(folder)
    assert loaded.lexical_index.ids == ["trip", "room", "meal", "laptop", "parking", "gym"]
    assert len(list(folder.iterdir())) == 3


def test_files_keep_hangul_readable(folder):
    (nodes_file,) = folder.glob("nodes-*.jsonl")
    assert "연차는 사흘 전에" in nodes_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("failing", range(1, 8))
def test_a_full_disk_at_any_moment_leaves_the_old_state_or_the_new_one(folder, make_nodes, monkeypatch, failing):
    calls = []
    real = os.fsync

    def fill_up(descriptor):
        calls.append(descriptor)
        if len(calls) >= failing:
            raise OSError(errno.ENOSPC, "no space left on device")
        real(descriptor)

    changed = KoreanBM25Retriever.from_persist_dir(folder)
    old = list(changed.lexical_index.ids)
    changed.delete(["trip"])
    changed.add(make_nodes({"leave2": "연차는 이제 하루 전에 알린다"}))
    monkeypatch.setattr(os, "fsync", fill_up)
    if failing <= 6:
        with pytest.raises(OSError, match="no space left"):
            changed.persist(folder)
    else:
        changed.persist(folder)
    loaded = KoreanBM25Retriever.from_persist_dir(folder)
    assert loaded.lexical_index.ids in (old, changed.lexical_index.ids)
    assert [result.node.node_id for result in loaded.retrieve("청구")] == (
        ["trip"] if loaded.lexical_index.ids == old else []
    )
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize("damage", ["truncate", "change", "remove"])
@pytest.mark.parametrize("name", ["nodes-*.jsonl", "lexical-*.safetensors"])
def test_a_damaged_file_is_told(folder, name, damage):
    (path,) = folder.glob(name)
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "truncate" else content[:-9] + b"123456789")
    with pytest.raises(DamagedIndex, match="rebuild the index"):
        KoreanBM25Retriever.from_persist_dir(folder)


@pytest.mark.parametrize("change", [{"metadata_mode": "everything"}, {"nodes": None}, {}], ids=str)
def test_a_manifest_that_does_not_know_its_nodes_is_told(folder, change):
    path = folder / "lexical.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["sha256"]
    manifest["extra"] = {**manifest["extra"], **change} if change else {}
    path.write_bytes(with_checksum(manifest))
    with pytest.raises(DamagedIndex, match="rebuild the index"):
        KoreanBM25Retriever.from_persist_dir(folder)


def test_a_folder_without_an_index_is_told(tmp_path):
    with pytest.raises(IndexNotFound):
        KoreanBM25Retriever.from_persist_dir(tmp_path)


@pytest.mark.parametrize("field", ["user_words", "identity"])
def test_an_index_made_by_another_tokenizer_is_refused(folder, field):
    path = folder / "lexical.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["sha256"]
    manifest[field] = {"user_words": [["모두의책", "NNP"]], "identity": {"morphemes": "other"}}[field]
    path.write_bytes(with_checksum(manifest))
    with pytest.raises(ModelMismatch):
        KoreanBM25Retriever.from_persist_dir(folder)


def test_metadata_that_no_file_can_hold_are_refused_and_the_old_state_stays(folder):
    node = TextNode(text="헬스장", id_="gym", metadata={"memo": "\ud800"}, excluded_embed_metadata_keys=["memo"])
    retriever = KoreanBM25Retriever.from_persist_dir(folder)
    retriever.add([node])
    with pytest.raises(InvalidText, match="'gym'"):
        retriever.persist(folder)
    assert len(KoreanBM25Retriever.from_persist_dir(folder)) == 6
