import asyncio
import json
import pickle
import sqlite3
import threading
import zlib

import numpy as np
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from llama_index_ko_rerank.errors import (
    DimensionMismatch,
    DuplicateNodeId,
    IndexNotFound,
    InvalidNode,
    InvalidSetting,
    InvalidText,
    InvalidVector,
    ModelMismatch,
    StoreError,
    UnsupportedQuery,
)
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.settings import IndexSettings


def test_what_was_added_is_found_by_cosine(store, make_node, search):
    assert store.add([make_node("동", (1, 0)), make_node("북", (0, 2)), make_node("북동", (3, 4))]) == [
        "동",
        "북",
        "북동",
    ]
    assert search(store, (5, 0)) == [("동", 1.0), ("북동", pytest.approx(0.6)), ("북", 0.0)]


def test_found_nodes_come_back_equal_and_without_their_vector(store, make_node):
    node = make_node("n1", text="한강의 다리", document="문서", metadata={"쪽": 3})
    store.add([node])
    found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=1)).nodes
    assert found == [node.model_copy(update={"embedding": None})]
    assert node.embedding == [1.0, 0.0]


def test_similarities_are_plain_floats(store, make_node):
    store.add([make_node("n1")])
    result = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0]))
    assert type(result.similarities[0]) is float
    json.dumps(result.similarities)


def test_equal_similarities_keep_the_order_of_addition(store, make_node, search):
    store.add([make_node(f"n{number:02d}", (0.3, 0.7)) for number in range(60)])
    assert [node_id for node_id, _ in search(store, (1, 1), top_k=7)] == [f"n{number:02d}" for number in range(7)]


def test_an_empty_index_finds_nothing(store, search):
    assert search(store, (1, 0)) == []
    assert store.get_nodes() == []
    assert store.count == store.generation == 0


def test_top_k_larger_than_the_index_finds_all(store, make_node, search):
    store.add([make_node("a"), make_node("b")])
    assert len(search(store, (1, 0), top_k=10**9)) == 2


def test_adding_an_id_again_replaces_the_node_and_counts_as_newest(store, make_node, search):
    store.add([make_node("a"), make_node("b")])
    store.add([make_node("a", (0, 1), text="새 글")])
    assert [node.node_id for node in store.nodes()] == ["b", "a"]
    assert search(store, (0, 1), top_k=1) == [("a", 1.0)]
    assert store.get_nodes(["a"])[0].text == "새 글"
    assert store.count == 2


def test_delete_takes_all_nodes_of_a_document_and_no_others(store, make_node, search):
    store.add(
        [make_node("a1", document="가"), make_node("a2", document="가"), make_node("b1", document="나"), make_node("c")]
    )
    assert len(search(store, (1, 0))) == 4
    store.delete("가")
    store.delete("없는 문서")
    assert [node_id for node_id, _ in search(store, (1, 0))] == ["b1", "c"]


def test_delete_nodes_takes_these_and_leaves_unknown_ids_aside(store, make_node, search):
    store.add([make_node("a"), make_node("b"), make_node("c")])
    store.delete_nodes(["c", "a", "없는 것"])
    store.delete_nodes([])
    assert [node_id for node_id, _ in search(store, (1, 0))] == ["b"]


def test_many_documents_are_deleted_in_one_transaction(store, make_node, search):
    store.add([make_node(f"n{number}", document=f"문서 {number % 4}") for number in range(12)])
    assert store.delete_documents(["문서 0", "문서 3", "없는 문서"]) == 6
    assert store.generation == 2
    assert {node.ref_doc_id for node in store.nodes()} == {"문서 1", "문서 2"}
    assert store.delete_documents([]) == 0
    with pytest.raises(InvalidSetting, match="list of strings"):
        store.delete_documents("문서 1")
    assert store.count == 6


def test_delete_nodes_with_no_ids_does_not_delete_everything(store, make_node):
    store.add([make_node("a")])
    with pytest.raises(InvalidSetting, match="clear"):
        store.delete_nodes()
    assert store.count == 1


def test_after_clear_vectors_of_another_length_may_come(store, make_node, search):
    store.add([make_node("a")])
    assert search(store, (1, 0))
    store.clear()
    assert search(store, (1, 0)) == []
    store.add([make_node("b", (1, 0, 0))])
    assert search(store, (1, 0, 0)) == [("b", 1.0)]


def test_get_nodes_keeps_the_order_asked_for(store, make_node):
    store.add([make_node("a"), make_node("b"), make_node("c")])
    assert [node.node_id for node in store.get_nodes(["c", "없는 것", "a"])] == ["c", "a"]
    assert [node.node_id for node in store.get_nodes()] == ["a", "b", "c"]
    assert store.get_nodes([]) == []


def test_the_generation_moves_with_every_change_and_only_then(store, make_node):
    assert store.generation == 0
    store.add([make_node("a"), make_node("b", document="문서")])
    assert store.generation == 1
    store.delete_nodes(["없는 것"])
    store.add([])
    store.persist()
    assert store.generation == 1
    store.delete("문서")
    assert store.generation == 2


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        ({"node_ids": ["c", "a", "없는 것"]}, ["a", "c"]),
        ({"doc_ids": ["나"]}, ["b", "c"]),
        ({"node_ids": ["a", "b"], "doc_ids": ["나"]}, ["b"]),
        ({"node_ids": ["없는 것"]}, []),
        ({"node_ids": [], "doc_ids": []}, ["a", "b", "c"]),
    ],
)
def test_a_search_may_be_restricted_to_nodes_and_documents(store, make_node, search, restriction, expected):
    store.add([make_node("a", document="가"), make_node("b", document="나"), make_node("c", document="나")])
    assert [node_id for node_id, _ in search(store, (1, 0), **restriction)] == expected


@pytest.mark.parametrize("mode", [mode for mode in VectorStoreQueryMode if mode != VectorStoreQueryMode.DEFAULT])
def test_modes_that_it_lacks_are_refused_by_name(store, mode):
    with pytest.raises(UnsupportedQuery, match=f"'{mode.value}'"):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], mode=mode))


@pytest.mark.parametrize("option", [{"alpha": 0.5}, {"output_fields": ["text"]}, {"mmr_threshold": 0.0}])
def test_options_of_other_modes_are_refused_by_name(store, option):
    with pytest.raises(UnsupportedQuery, match=next(iter(option))):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], **option))


@pytest.mark.parametrize("top_k", [0, -1, True, 2.5, None])
def test_top_k_below_one_is_refused(store, top_k):
    with pytest.raises(InvalidSetting, match="similarity_top_k"):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=top_k))


@pytest.mark.parametrize("vector", [None, [], [0.0, 0.0], [float("nan"), 1.0]])
def test_a_query_without_a_direction_is_refused_even_by_an_empty_index(store, vector):
    with pytest.raises(InvalidVector, match="the query"):
        store.query(VectorStoreQuery(query_embedding=vector))


def test_a_query_of_another_length_is_refused(store, make_node, search):
    store.add([make_node("a")])
    with pytest.raises(DimensionMismatch, match="holds 2-d vectors, and the query has 3-d"):
        search(store, (1, 0, 0))


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"vector": None}, InvalidVector),
        ({"vector": (0, 0)}, InvalidVector),
        ({"vector": (float("inf"), 0)}, InvalidVector),
        ({"vector": (1, 0, 0)}, DimensionMismatch),
        ({"text": "\ud800"}, InvalidText),
        ({"metadata": {"날짜": {1, 2}}}, InvalidNode),
        ({"node_id": "a"}, DuplicateNodeId),
    ],
)
def test_one_bad_node_keeps_the_whole_call_out(store, make_node, second, error):
    store.add([make_node("old")])
    second = {"node_id": "b"} | second
    with pytest.raises(error):
        store.add([make_node("a"), make_node(**second)])
    assert [node.node_id for node in store.nodes()] == ["old"]
    assert store.generation == 1


def test_options_without_effect_are_refused(store, make_node):
    for call in (
        lambda: store.add([make_node("a")], batch=2),
        lambda: store.delete("문서", soft=True),
        lambda: store.delete_nodes(["a"], soft=True),
        lambda: store.query(VectorStoreQuery(query_embedding=[1.0, 0.0]), efsearch=10),
    ):
        with pytest.raises(InvalidSetting, match="takes no option"):
            call()


@pytest.mark.parametrize("ids", ["a", [1], ["\ud800"]])
def test_ids_that_no_node_can_have_are_refused(store, make_node, ids):
    store.add([make_node("a")])
    for call in (store.get_nodes, store.delete_nodes):
        with pytest.raises((InvalidSetting, InvalidText)):
            call(ids)
    with pytest.raises((InvalidSetting, InvalidText)):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], node_ids=ids))


def test_all_is_there_after_reopening_with_no_persist_and_no_close(folder, make_node, search):
    left_open = DurableFaissVectorStore(folder)
    left_open.add([make_node("a"), make_node("b", (0, 1))])
    left_open.delete_nodes(["a"])
    with DurableFaissVectorStore(folder, create=False) as again:
        assert search(again, (0, 1)) == [("b", 1.0)]
    left_open.close()


def test_two_stores_on_one_folder_see_each_other(folder, make_node, search):
    with DurableFaissVectorStore(folder) as one, DurableFaissVectorStore(folder) as two:
        one.add([make_node("a", document="가")])
        assert search(two, (1, 0)) == [("a", 1.0)]
        two.add([make_node("b", (0, 1)), make_node("a", (0, 1), document="나")])
        assert search(one, (0, 1)) == [("b", 1.0), ("a", 1.0)]
        one.delete("나")
        assert search(two, (0, 1)) == [("b", 1.0)]
        two.clear()
        assert search(one, (0, 1)) == []
        one.add([make_node("c")])
        two.persist()
        assert search(two, (1, 0)) == [("c", 1.0)]


def test_an_open_that_may_not_create_needs_an_index(tmp_path):
    with pytest.raises(IndexNotFound):
        DurableFaissVectorStore(tmp_path / "없음", create=False)


def test_another_model_is_refused_and_both_are_named(folder, make_node):
    with DurableFaissVectorStore(folder, embedding_identity={"model_name": "가-모형", "pooling": "cls"}) as store:
        store.add([make_node("a")])
    with pytest.raises(ModelMismatch, match=r"'가-모형'.*'나-모형'.*pooling: 'cls' against 'mean'.*overwrite=True"):
        DurableFaissVectorStore(folder, embedding_identity={"model_name": "나-모형", "pooling": "mean"})
    for same_or_unknown in ({"pooling": "cls", "model_name": "가-모형"}, None):
        DurableFaissVectorStore(folder, embedding_identity=same_or_unknown).close()


def test_unknown_settings_are_refused_with_the_nearest(tmp_path):
    with pytest.raises(InvalidSetting, match="did you mean 'embedding_identity'"):
        DurableFaissVectorStore(tmp_path, embeding_identity={"a": 1})
    with pytest.raises(InvalidSetting, match="stores_text=False"):
        DurableFaissVectorStore(tmp_path, stores_text=False)


def test_a_closed_store_says_so_and_may_be_closed_again(folder, make_node):
    store = DurableFaissVectorStore(folder)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.add([make_node("a")])


def test_from_dict_of_to_dict_opens_the_same_index(folder, make_node):
    with DurableFaissVectorStore(folder, embedding_identity={"model_name": "m"}) as store:
        store.add([make_node("a")])
        content = json.loads(json.dumps(store.to_dict()))
        with DurableFaissVectorStore.from_dict(content) as again:
            assert [node.node_id for node in again.nodes()] == ["a"]
            assert again.embedding_identity == {"model_name": "m"}
            assert again.to_dict() == store.to_dict()


def test_a_pickled_store_opens_its_folder_again(store, make_node):
    store.add([make_node("a")])
    with pickle.loads(pickle.dumps(store)) as again:  # noqa: S301  # our own bytes
        assert again.count == 1


def test_it_is_what_llama_index_takes_for_a_vector_store(store):
    assert isinstance(store, BasePydanticVectorStore)
    assert (store.stores_text, store.is_embedding_query, store.flat_metadata) == (True, True, False)
    assert store.client is not None


def test_storage_context_persist_leaves_the_index_in_its_folder(store, make_node, tmp_path):
    store.add([make_node("a")])
    StorageContext.from_defaults(vector_store=store).persist(tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").glob("default__vector_store.json"))
    assert store.count == 1


def test_llama_index_builds_on_it_from_documents(store, embed_model, make_node):
    nodes = [make_node(f"n{number}", None, text=text) for number, text in enumerate(["한강의 다리", "남산의 탑"])]
    VectorStoreIndex(nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embed_model)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embed_model)
    assert index.as_retriever(similarity_top_k=1).retrieve("남산 탑")[0].node_id == "n1"


def test_the_asynchronous_methods_do_the_same_and_leave_the_loop_free(store, make_node):
    async def run():
        assert await store.async_add([make_node("a", document="가"), make_node("b"), make_node("c")]) == ["a", "b", "c"]
        await store.adelete("가")
        await store.adelete_nodes(["b"])
        result = await store.aquery(VectorStoreQuery(query_embedding=[1.0, 0.0]))
        nodes = await store.aget_nodes(["c"])
        await store.aclear()
        return result.ids, [node.node_id for node in nodes]

    assert asyncio.run(run()) == (["c"], ["c"])
    assert store.count == 0


def test_a_slow_search_does_not_hold_up_the_event_loop(store, make_node):
    store.add([make_node("a")])
    ticks = []

    async def run():
        with store.client.transaction():
            searching = asyncio.create_task(store.aquery(VectorStoreQuery(query_embedding=[1.0, 0.0])))
            while not searching.done():
                ticks.append(1)
                await asyncio.sleep(0)
            return (await searching).ids

    assert asyncio.run(run()) == ["a"]
    assert ticks


def test_threads_that_add_delete_and_search_lose_nothing_and_mix_nothing_up(store, make_node):
    problems = []

    def vector(name):
        return np.random.default_rng(zlib.crc32(name.encode())).normal(size=8).tolist()

    def work(worker):
        try:
            for step in range(12):
                name = f"{worker}-{step}"
                store.add([make_node(name, vector(name), document=f"문서 {name}")])
                found = store.query(VectorStoreQuery(query_embedding=vector(name), similarity_top_k=1))
                assert found.ids == [name]
                assert found.similarities[0] == pytest.approx(1.0)
                if step % 3 == 0:
                    store.delete(f"문서 {name}")
                    found = store.query(VectorStoreQuery(query_embedding=vector(name), similarity_top_k=50))
                    assert name not in found.ids
        except Exception as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not problems
    expected = {f"{worker}-{step}" for worker in range(4) for step in range(12) if step % 3}
    assert {node.node_id for node in store.nodes()} == expected
    assert store.count == len(expected)


def test_vectors_may_be_kept_in_half_the_room(folder, make_node, search):
    directions = np.random.default_rng(3).normal(size=(200, 64))
    with DurableFaissVectorStore(folder, vector_dtype="float16") as store:
        store.add([make_node(f"n{number}", vector) for number, vector in enumerate(directions)])
        assert search(store, directions[7], top_k=1) == [("n7", pytest.approx(1.0, abs=1e-6))]
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        expected = unit @ unit[7]
        for node_id, similarity in search(store, directions[7], top_k=50):
            assert similarity == pytest.approx(expected[int(node_id[1:])], abs=3e-4)
    with sqlite3.connect(folder / "nodes.sqlite3") as connection:
        assert connection.execute("SELECT DISTINCT LENGTH(vector) FROM vectors").fetchall() == [(128,)]
    with pytest.raises(InvalidSetting, match="keeps vectors as float16 and not float32"):
        DurableFaissVectorStore(folder, vector_dtype="float32")
    with DurableFaissVectorStore(folder) as store:
        assert store.count == 200
    with pytest.raises(InvalidSetting, match="'float8'"):
        DurableFaissVectorStore(folder, vector_dtype="float8")


def test_settings_of_the_faiss_index_are_recorded_and_may_be_changed(folder, make_node, search):
    with DurableFaissVectorStore(folder, index_settings={"kind": "ivf", "ivf_lists": 2}) as store:
        store.add([make_node(f"n{number}", (1.0, number)) for number in range(30)])
        content = json.loads(json.dumps(store.to_dict()))
        with DurableFaissVectorStore.from_dict(content) as again:
            assert again.index_settings == IndexSettings(kind="ivf", ivf_lists=2)
    with DurableFaissVectorStore(folder) as store, store.client.read() as reader:
        assert reader.manifest.index_settings == IndexSettings(kind="ivf", ivf_lists=2)
    with DurableFaissVectorStore(folder, index_settings=IndexSettings(kind="ivf", ivf_lists=3)) as store:
        assert store.generation == 1
        assert search(store, (1.0, 3.0), top_k=1) == [("n3", pytest.approx(1.0))]
    with DurableFaissVectorStore(folder) as store, store.client.read() as reader:
        assert reader.manifest.index_settings == IndexSettings(kind="ivf", ivf_lists=3)


def test_index_settings_that_do_not_exist_are_refused_before_a_folder_is_made(folder):
    with pytest.raises(InvalidSetting, match="did you mean 'ivf_lists'"):
        DurableFaissVectorStore(folder, index_settings={"ivf_list": 8})
    with pytest.raises(InvalidSetting, match="no index kind 'hnsw'; known: auto, flat, ivf"):
        DurableFaissVectorStore(folder, index_settings={"kind": "hnsw"})
    assert not folder.exists()


def test_an_approximate_index_that_began_with_one_node_finds_what_came_later(folder, make_node, search):
    directions = np.random.default_rng(4).normal(size=(1200, 16))
    with DurableFaissVectorStore(folder, index_settings=IndexSettings(kind="ivf")) as store:
        have = 0
        for upto in (1, 3, 40, 400, 1200):
            store.add([make_node(f"n{number}", directions[number]) for number in range(have, upto)])
            have = upto
            found = [search(store, directions[number], top_k=1)[0][0] for number in range(0, upto, 7)]
            assert found == [f"n{number}" for number in range(0, upto, 7)]
        store.delete_nodes([f"n{number}" for number in range(1200)])
        assert search(store, directions[0]) == []
        store.add([make_node("again", directions[0])])
        assert search(store, directions[0], top_k=3) == [("again", pytest.approx(1.0))]
