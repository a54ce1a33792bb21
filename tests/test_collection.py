"""`Collection`: one folder from creation to answers, and what it says of bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode

from llama_index_ko_rerank import Collection, KoreanEmbedding
from llama_index_ko_rerank import collection as collection_module
from llama_index_ko_rerank.collection import CollectionSettings, index_folder, lexical_folder, read_settings
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.errors import (
    DamagedIndex,
    DatasetUnavailable,
    EmptyCorpus,
    IndexExists,
    IndexNotFound,
    InvalidSetting,
    ModelMismatch,
    ModelNotFound,
)
from llama_index_ko_rerank.scale.ray.ingestion import make_shards
from llama_index_ko_rerank.store.sharded import Shards
from tests.bigram_embedding import BigramEmbedding
from tests.corpora.cli import RULES

LEAVE, SICK, TRIP, PASSWORD = RULES
QUESTION = "병가를 내려면 무엇을 내야 하나요?"


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "문서"
    folder.mkdir()
    for number, text in enumerate((LEAVE, SICK, TRIP)):
        (folder / f"규정{number}.md").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def collection(files, tmp_path):
    with Collection.create(tmp_path / "모음") as opened:
        opened.sync_files([files])
        yield opened


def found(collection, question=QUESTION):
    return [hit.node.get_content() for hit in collection.retriever().retrieve(question)]


def test_files_are_synced_and_found(collection):
    assert collection.count == 3
    assert found(collection)[0] == SICK
    again = collection.sync_files([collection.folder.parent / "문서"])
    assert (again.added, again.changed, again.unchanged, again.deleted) == (0, 0, 3, 0)


def test_a_search_follows_files_that_change_while_the_collection_is_open(collection, files):
    assert PASSWORD not in found(collection, "비밀번호는 언제 바꾸나요?")
    (files / "새 글.md").write_text(PASSWORD, encoding="utf-8")
    (files / "규정2.md").unlink()
    report = collection.sync_files([files])
    assert (report.added, report.deleted) == (1, 1)
    assert found(collection, "비밀번호는 언제 바꾸나요?")[0] == PASSWORD
    assert TRIP not in found(collection, "출장비는 언제까지 청구하나요?")


def test_a_reopened_collection_finds_the_same(collection):
    before = [(hit.node.node_id, hit.score) for hit in collection.retriever().retrieve(QUESTION)]
    with Collection.open(collection.folder) as again:
        assert [(hit.node.node_id, hit.score) for hit in again.retriever().retrieve(QUESTION)] == before


def test_a_moved_collection_opens_with_the_model_inside_it(files, static_model, tmp_path):
    folder = tmp_path / "before"
    folder.mkdir()
    model = static_model.rename(folder / "model")
    with Collection.create(folder, embed_model=model) as made:
        made.sync_files([files])
    moved = folder.rename(tmp_path / "after")
    assert json.loads((moved / "ko-rerank.json").read_text(encoding="utf-8"))["embed_model"] == "model"
    with Collection.open(moved) as again:
        assert found(again)[0] == SICK


def test_a_query_engine_copies_sentences_or_asks_an_llm(collection):
    response = collection.query_engine(sentences=1).query(QUESTION)
    assert "진단서" in str(response)
    assert response.source_nodes[0].node.get_content() == SICK
    written = collection.query_engine(llm=MockLLM(), top_n=1, rerank=False).query(QUESTION)
    assert SICK in str(written)  # MockLLM echoes its prompt
    assert len(written.source_nodes) == 1


def test_a_chat_engine_remembers_the_conversation(collection):
    chat = collection.chat_engine(sentences=1)
    assert "진단서" in str(chat.chat(QUESTION))
    assert chat.chat_history[0].content == QUESTION
    assert SICK in str(collection.chat_engine(llm=MockLLM()).chat(QUESTION))


def test_nodes_are_added_and_documents_deleted(collection):
    collection.add_nodes([TextNode(id_="새", text=PASSWORD)])
    assert found(collection, "비밀번호는 언제 바꾸나요?")[0] == PASSWORD
    document = collection.retriever().retrieve(QUESTION)[0].node.ref_doc_id
    collection.delete(document)
    assert SICK not in found(collection)
    collection.delete("없는 문서")
    assert collection.count == 3


def test_a_refresh_leaves_nothing_to_tokenise(collection):
    assert collection.doctor().lexical.state == "missing"
    assert collection.refresh() == 3
    assert collection.refresh() == 0
    assert collection.doctor().lexical.state == "current"


def test_the_doctor_reports_and_repairs_a_damaged_lexical_index(collection):
    collection.refresh()
    (arrays,) = lexical_folder(collection.folder).glob("*.safetensors")
    arrays.write_bytes(arrays.read_bytes()[:-9])
    (problem,) = collection.doctor().problems
    assert "truncated or changed" in problem
    repaired = collection.doctor(repair=True)
    assert repaired.problems == ()
    assert "3 passages were tokenised" in repaired.repairs[-1]


def test_a_data_set_is_indexed_as_a_whole_and_once(tmp_path):
    with Collection.create(tmp_path) as collection:
        dataset = load_dataset("sample")
        assert collection.index_dataset(dataset) == len(dataset.passages)
        with pytest.raises(IndexExists):
            collection.index_dataset(dataset)
        assert collection.index_dataset("sample", overwrite=True) == len(dataset.passages)


def test_shards_open_the_same_way(tmp_path):
    nodes = dataset_nodes(load_dataset("sample"))
    with Collection.create(tmp_path / "하나") as one:
        one.add_nodes(nodes)
        make_shards(Shards(tmp_path / "여럿", 2), embed_model=one.embed_model)
        Collection.open_or_create(tmp_path / "여럿").save_settings(one.settings)
        with Collection.open(tmp_path / "여럿") as many:
            many.add_nodes(nodes)
            assert many.count == one.count
            question = load_dataset("sample").questions[0].text
            assert [hit.node.node_id for hit in many.retriever().retrieve(question)] == [
                hit.node.node_id for hit in one.retriever().retrieve(question)
            ]
            many.add_nodes([TextNode(id_="새", text="무지개 풍차는 새벽에만 돈다.")])
            assert found(many, "무지개 풍차는 언제 도나요?")[0].startswith("무지개 풍차")
            assert many.doctor().problems == ()
            with pytest.raises(InvalidSetting, match="--engine ray"):
                many.sync_files([tmp_path])


class CountingEmbedding(KoreanEmbedding):
    """The real embedding, which counts how often it is loaded."""

    loaded: ClassVar[int] = 0

    def __init__(self, *arguments, **settings):
        type(self).loaded += 1
        super().__init__(*arguments, **settings)


def test_the_embedding_is_loaded_once(files, tmp_path, monkeypatch):
    monkeypatch.setattr(collection_module, "KoreanEmbedding", CountingEmbedding)
    with Collection.open_or_create(tmp_path / "모음") as collection:
        assert CountingEmbedding.loaded == 0
        collection.sync_files([files])
        collection.refresh()
        collection.query_engine().query(QUESTION)
        collection.chat_engine().chat(QUESTION)
        collection.doctor()
        assert CountingEmbedding.loaded == 1


def test_an_embedding_object_has_to_be_given_again(files, tmp_path):
    with Collection.create(tmp_path / "모음", embed_model=BigramEmbedding()) as collection:
        collection.sync_files([files])
    with Collection.open(tmp_path / "모음") as without, pytest.raises(ModelNotFound, match="embed_model="):
        without.retriever()
    with Collection.open(tmp_path / "모음", embed_model=BigramEmbedding()) as again:
        assert found(again)[0] == SICK


def test_settings_are_kept_and_fitted_parts_stay(collection, files):
    fitted = replace(collection.settings, weights={"lexical": 0.7, "dense": 0.3}, ranker=None)
    collection.save_settings(fitted)
    assert read_settings(collection.folder) == fitted
    assert collection.reranker() is None
    assert collection.retriever().weights == {"lexical": 0.7, "dense": 0.3}
    with Collection.open_or_create(collection.folder) as again:
        again.sync_files([files])
    assert read_settings(collection.folder) == fitted


def test_nothing_is_written_before_the_first_change(files, tmp_path):
    described = Collection.open_or_create(tmp_path / "모음")
    assert len(described.plan_files([files]).to_read) == 3
    assert not (tmp_path / "모음").exists()
    with pytest.raises(DatasetUnavailable):
        described.sync_files([tmp_path / "없음"])
    assert not (tmp_path / "모음").exists()


def test_an_overwrite_that_finds_nothing_leaves_the_old_index(collection, tmp_path):
    (tmp_path / "빈 폴더").mkdir()
    with pytest.raises(EmptyCorpus):
        Collection.open_or_create(collection.folder, overwrite=True).sync_files([tmp_path / "빈 폴더"])
    assert found(Collection.open(collection.folder))[0] == SICK


def test_a_folder_that_is_no_collection_says_how_to_make_one(tmp_path):
    with pytest.raises(IndexNotFound, match="ko-rerank index"):
        Collection.open(tmp_path)


def test_a_collection_that_exists_is_not_created_again(collection):
    with pytest.raises(IndexExists, match=r"Collection\.open"):
        Collection.create(collection.folder)
    assert collection.count == 3
    with Collection.create(collection.folder, overwrite=True) as empty:
        assert empty.count == 0


def test_a_file_is_no_folder_of_a_collection(tmp_path):
    (tmp_path / "글.txt").write_text("글", encoding="utf-8")
    with pytest.raises(InvalidSetting, match="is a file"):
        Collection.create(tmp_path / "글.txt")


def test_another_model_than_the_index_was_built_with_is_refused(collection, static_model):
    collection.save_settings(CollectionSettings(str(static_model)))
    with Collection.open(collection.folder) as other, pytest.raises(ModelMismatch):
        other.retriever()
    (problem,) = Collection.open(collection.folder).doctor().problems
    assert "this collection" in problem


@pytest.mark.parametrize("content", ["{", "[]", '{"embed_model": "ko-static"}'])
def test_damaged_settings_are_named(collection, content):
    (collection.folder / "ko-rerank.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedIndex, match=r"ko-rerank\.json"):
        Collection.open(collection.folder)


def test_a_damaged_table_is_named_when_it_is_first_used(collection):
    collection.close()
    for file in index_folder(collection.folder).glob("nodes.sqlite3*"):
        file.write_bytes(b"no database at all" * 1000)
    with pytest.raises(DamagedIndex):
        Collection.open(collection.folder).retriever()
