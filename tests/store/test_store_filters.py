import asyncio
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from llama_index_ko_rerank.errors import InvalidFilter, InvalidSetting, UnsupportedQuery
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.filters import matches
from llama_index_ko_rerank.store.settings import IndexSettings

KINDS = ["flat", "ivf"]


def where(*conditions, join=FilterCondition.AND):
    parts = [
        one if isinstance(one, MetadataFilters) else MetadataFilter(key=one[0], operator=one[1], value=one[2])
        for one in conditions
    ]
    return MetadataFilters(filters=parts, condition=join)


IN_2020 = where(("연도", "==", 2020))


@pytest.fixture
def library(store, make_node):
    store.add(
        [
            make_node("a", (1, 0), document="가", metadata={"연도": 2019, "갈래": ["시", "산문"], "제목": "봄"}),
            make_node("b", (1, 0.1), document="가", metadata={"연도": 2020, "갈래": ["시"], "제목": ""}),
            make_node("c", (1, 0.2), document="나", metadata={"연도": 2020.0, "갈래": [], "제목": "여름밤"}),
            make_node("d", (1, 0.3), document="다", metadata={"제목": "Summer"}),
        ]
    )
    return store


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (IN_2020, ["b", "c"]),
        (where(("연도", "!=", 2020)), ["a", "d"]),
        (where(("연도", "<", 2020)), ["a"]),
        (where(("연도", "in", [2019, 2021])), ["a"]),
        (where(("연도", "nin", [2019, 2021])), ["b", "c", "d"]),
        (where(("갈래", "contains", "시")), ["a", "b"]),
        (where(("갈래", "any", ["산문", "소설"])), ["a"]),
        (where(("갈래", "all", ["산문", "시"])), ["a"]),
        (where(("갈래", "is_empty", None)), ["c", "d"]),
        (where(("제목", "text_match", "여름")), ["c"]),
        (where(("제목", "text_match_insensitive", "SUM")), ["d"]),
        (where(("ref_doc_id", "==", "가")), ["a", "b"]),
        (where(("연도", "==", 2019), ("제목", "==", "Summer"), join=FilterCondition.OR), ["a", "d"]),
        (where(("연도", "==", 2019), ("제목", "==", "Summer"), join=FilterCondition.NOT), ["b", "c"]),
        (where(IN_2020, where(("제목", "is_empty", None), join=FilterCondition.NOT)), ["c"]),
        (where(("없는 열쇠", "==", 1)), []),
    ],
)
def test_search_get_and_delete_leave_the_same_nodes(library, search, filters, expected):
    for _ in range(2):
        assert [node_id for node_id, _ in search(library, (1, 0), filters=filters)] == expected
    assert [node.node_id for node in library.get_nodes(filters=filters)] == expected
    library.delete_nodes(filters=filters)
    assert [node.node_id for node in library.nodes()] == [one for one in "abcd" if one not in expected]
    assert search(library, (1, 0), filters=filters) == []


def test_ids_and_filters_hold_together(library, search):
    assert [one for one, _ in search(library, (1, 0), filters=IN_2020, node_ids=["a", "b"])] == ["b"]
    assert [one for one, _ in search(library, (1, 0), filters=IN_2020, doc_ids=["나", "다"])] == ["c"]
    assert [one for one, _ in search(library, (1, 0), filters=IN_2020, node_ids=[], doc_ids=[])] == ["b", "c"]
    assert [node.node_id for node in library.get_nodes(["c", "a", "없는 것", "b"], filters=IN_2020)] == ["c", "b"]
    assert library.get_nodes([], filters=IN_2020) == []
    library.delete_nodes(["a", "b"], filters=IN_2020)
    assert [node.node_id for node in library.nodes()] == ["a", "c", "d"]


def test_a_filter_without_conditions_is_none(library, search):
    empty = MetadataFilters(filters=[])
    assert len(search(library, (1, 0), filters=empty)) == len(library.get_nodes(filters=empty)) == 4
    with pytest.raises(InvalidSetting, match="clear"):
        library.delete_nodes(filters=empty)
    assert library.count == 4


def test_nodes_that_come_and_go_are_filtered_by_what_they_are_now(library, make_node, search):
    assert len(search(library, (1, 0), filters=IN_2020)) == 2
    library.add([make_node("e", (1, 0.4), metadata={"연도": 2020}), make_node("b", (1, 0.5), metadata={"연도": 1999})])
    library.delete("나")
    assert [one for one, _ in search(library, (1, 0), filters=IN_2020)] == ["e"]
    library.clear()
    assert search(library, (1, 0), filters=IN_2020) == []
    library.add([make_node("f", (1, 0), metadata={"연도": 2020})])
    assert [one for one, _ in search(library, (1, 0), filters=IN_2020)] == ["f"]


def test_values_that_come_again_and_again_are_not_kept_for_ever(store, make_node, search):
    for round_ in range(30):
        store.add([make_node(f"n{number}", metadata={"판": round_}) for number in range(60)])
        assert len(search(store, (1, 0), top_k=99, filters=where(("판", "==", round_)))) == 60
    (column,) = store._folder._metadata._columns.values()
    assert len(column.row_ids) <= 2 * 60 + 1024


def test_texts_are_found_in_either_unicode_form(store, make_node, search):
    composed, decomposed = "보고서", unicodedata.normalize("NFD", "보고서")
    store.add([make_node("a", metadata={"파일": composed}), make_node("b", metadata={"파일": decomposed})])
    for value in (composed, decomposed):
        for filters in (where(("파일", "==", value)), where(("파일", "in", ["다른 것", value]))):
            assert [one for one, _ in search(store, (1, 0), filters=filters)] == ["a", "b"]
            assert [node.node_id for node in store.get_nodes(filters=filters)] == ["a", "b"]
    assert search(store, (1, 0), filters=where(("파일", "!=", composed))) == []
    assert search(store, (1, 0), filters=where(("파일", "in", []))) == []


def test_another_store_sees_the_same(library, folder, make_node, search):
    with DurableFaissVectorStore(folder) as other:
        assert len(search(other, (1, 0), filters=IN_2020)) == 2
        library.add([make_node("e", metadata={"연도": 2020})])
        assert [one for one, _ in search(other, (1, 0), filters=IN_2020)] == ["e", "b", "c"]


def test_values_that_cannot_be_compared_are_an_error_that_writes_nothing(library, make_node, search):
    library.add([make_node("e", metadata={"연도": "이천이십"})])
    later = where(("연도", ">", 2000))
    for call in (
        lambda: search(library, (1, 0), filters=later),
        lambda: library.get_nodes(filters=later),
        lambda: library.delete_nodes(filters=later),
    ):
        with pytest.raises(InvalidFilter, match=r"'연도' > 2000.*이천이십.*str"):
            call()
    assert library.count == 5


def test_values_of_nodes_that_are_not_meant_are_no_error(library, make_node, search):
    library.add([make_node("e", metadata={"연도": "이천이십"})])
    later = where(("연도", ">", 2000))
    assert [one for one, _ in search(library, (1, 0), filters=later, node_ids=["a", "d"])] == ["a"]
    with pytest.raises(InvalidFilter):
        search(library, (1, 0), filters=later)
    library.delete_nodes(["e"])
    assert [one for one, _ in search(library, (1, 0), filters=later)] == ["a", "b", "c"]


def test_filters_that_do_not_exist_are_refused_even_by_an_empty_index(store, search):
    unknown = MetadataFilters(filters=[MetadataFilter.model_construct(key="x", value=1, operator="nearly")])
    for call in (
        lambda: search(store, (1, 0), filters=unknown),
        lambda: store.get_nodes(filters=unknown),
        lambda: store.delete_nodes(filters=unknown),
    ):
        with pytest.raises(UnsupportedQuery, match="nearly"):
            call()
    with pytest.raises(InvalidFilter, match="a list"):
        search(store, (1, 0), filters=where(("x", "in", "가")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_filtered_search_returns_top_k_whatever_the_index(folder, make_node, search, kind):
    directions = np.random.default_rng(2).normal(size=(1500, 16))
    with DurableFaissVectorStore(folder, index_settings=IndexSettings(kind=kind)) as store:
        store.add([make_node(f"n{one}", directions[one], metadata={"칸": one % 97}) for one in range(1500)])
        found = search(store, directions[0], top_k=15, filters=where(("칸", "==", 5)))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    order = [int(one) for one in np.argsort(-(unit @ unit[0])) if one % 97 == 5]
    assert [node_id for node_id, _ in found] == [f"n{one}" for one in order[:15]]


VALUES = st.sampled_from(["가", "가나", "나", 1, 2, 2.5, True]) | st.lists(st.sampled_from("가나"), max_size=2)
CONDITIONS = st.one_of(
    st.tuples(st.sampled_from("xy"), st.sampled_from(["==", "!=", "contains"]), st.sampled_from(["가", 2, 2.5])),
    st.tuples(st.sampled_from("xy"), st.sampled_from([">", "<="]), st.sampled_from([1, 2.5])),
    st.tuples(st.sampled_from("xy"), st.sampled_from(["in", "nin", "any", "all"]), st.just(["가", "나"])),
    st.tuples(st.sampled_from("xy"), st.just("text_match"), st.just("가")),
    st.tuples(st.sampled_from("xy"), st.just("is_empty"), st.none()),
)


@settings(max_examples=20, deadline=None)
@given(
    metadata=st.lists(st.dictionaries(st.sampled_from("xy"), VALUES), min_size=1, max_size=8),
    queries=st.lists(
        st.builds(
            lambda parts, join: where(*parts, join=join),
            st.lists(CONDITIONS, min_size=1, max_size=2),
            st.sampled_from(FilterCondition),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_filtered_searches_agree_with_simple_vector_store(tmp_path_factory, metadata, queries):
    nodes = [
        TextNode(
            id_=f"n{place}",
            text="글",
            metadata=values,
            embedding=[1.0, place / 10],
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="문서")},
        )
        for place, values in enumerate(metadata)
    ]
    simple = SimpleVectorStore()
    simple.add(nodes)
    with DurableFaissVectorStore(tmp_path_factory.mktemp("filters")) as store:
        store.add(nodes)
        for filters in queries:
            query = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=9, filters=filters)
            try:
                expected = simple.query(query).ids
            except TypeError:
                with pytest.raises(InvalidFilter):
                    store.query(query)
            else:
                assert store.query(query).ids == expected
                assert expected == [one.node_id for one in nodes if matches(filters, one.metadata)]


def test_the_asynchronous_methods_take_filters_too(library):
    async def run():
        query = VectorStoreQuery(query_embedding=[1.0, 0.0], filters=IN_2020, similarity_top_k=9)
        found = (await library.aquery(query)).ids
        fetched = [node.node_id for node in await library.aget_nodes(filters=IN_2020)]
        await library.adelete_nodes(filters=IN_2020)
        return found, fetched

    assert asyncio.run(run()) == (["b", "c"], ["b", "c"])
    assert library.count == 2


def test_every_operator_that_llama_index_has_is_known():
    values = {"in": ["x"], "nin": ["x"], "any": ["x"], "all": ["x"], "is_empty": None}
    for operator in FilterOperator:
        matches(where(("열쇠", operator, values.get(operator.value, "x"))), {})
