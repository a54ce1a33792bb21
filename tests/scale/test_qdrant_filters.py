import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient

from llama_index_ko_rerank.errors import InvalidFilter, UnsupportedQuery
from llama_index_ko_rerank.scale.qdrant import build_qdrant_index
from llama_index_ko_rerank.scale.qdrant.filters import restriction
from llama_index_ko_rerank.store.filters import compile_filters, matches

OP = FilterOperator
METADATA = [
    {"연도": 2024, "부서": "인사팀", "태그": ["급여", "휴가"]},
    {"연도": 2024.0, "부서": "Sales Team", "태그": [], "a.b[0]": "점"},
    {"연도": True, "부서": "", "태그": ["휴가", 3]},
    {"연도": 1, "부서": "총무팀"},
    {"부서": None, "연도": -0.5, "태그": "휴가와 급여"},
    {"연도": "2024", "부서": "가" * 400, "태그": {"급여": 1}},
    {"연도": [2024], "부서": "e\u0301cole", "doc_id": "own"},
    {},
]
NUMBERS = st.sampled_from([2024, 2024.0, 1, -0.5, 0])
TEXTS = st.sampled_from(["2024", "인사팀", "팀", "", "휴가", "급여", "가" * 400])
SCALARS = st.one_of(NUMBERS, TEXTS)
LISTS = st.one_of(st.lists(TEXTS, max_size=3), st.lists(st.sampled_from([2024, 1, 0]), max_size=3))
KEYS = st.sampled_from(["연도", "부서", "태그", "없는 키"])


@pytest.fixture(scope="module")
def nodes():
    return [
        TextNode(
            id_=str(place),
            text="글",
            embedding=[1.0, float(place)],
            metadata=metadata,
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc {place % 3}")},
        )
        for place, metadata in enumerate(METADATA)
    ]


@pytest.fixture(scope="module")
def store(nodes):
    client = QdrantClient(":memory:")
    return build_qdrant_index(nodes, client, "filters", embed_model=MockEmbedding(2)).vector_store


def found(store, filters):
    return [node.node_id for node in sorted(store.get_nodes(filters=filters), key=lambda node: node.node_id)]


def one(key, operator, value):
    return MetadataFilter(key=key, operator=operator, value=value)


def all_of(*parts, condition=FilterCondition.AND):
    return MetadataFilters(filters=list(parts), condition=condition)


def holds(part, node):
    """Do as `matches`, but a value that does not fit the metadata is no error: Qdrant does not find the node."""
    if isinstance(part, MetadataFilter) and part.operator is OP.ANY:
        return any(holds(one(part.key, OP.CONTAINS, item), node) for item in part.value)
    if isinstance(part, MetadataFilter):
        try:
            return matches(all_of(part), node.metadata, ref_doc_id=node.ref_doc_id)
        except InvalidFilter:
            return False
    truths = [holds(inner, node) for inner in part.filters]
    if part.condition is FilterCondition.AND:
        return all(truths)
    return any(truths) if part.condition is FilterCondition.OR else not any(truths)


def expected(nodes, filters):
    return [node.node_id for node in nodes if holds(filters, node)]


SINGLE = st.one_of(
    st.builds(one, KEYS, st.sampled_from([OP.EQ, OP.NE, OP.CONTAINS]), SCALARS),
    st.builds(one, KEYS, st.sampled_from([OP.EQ, OP.NE]), LISTS),
    st.builds(one, KEYS, st.sampled_from([OP.GT, OP.GTE, OP.LT, OP.LTE]), st.sampled_from([-0.5, 0, 1, 2024, 2023.5])),
    st.builds(one, KEYS, st.sampled_from([OP.IN, OP.NIN, OP.ANY, OP.ALL]), LISTS),
    st.builds(one, KEYS, st.sampled_from([OP.TEXT_MATCH, OP.TEXT_MATCH_INSENSITIVE]), st.sampled_from(["팀", "TEAM"])),
    st.builds(one, KEYS, st.just(OP.IS_EMPTY), st.none()),
)
GROUPS = st.builds(
    lambda parts, condition: MetadataFilters(filters=parts, condition=condition),
    st.lists(SINGLE, min_size=1, max_size=3),
    st.sampled_from(FilterCondition),
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_filters_find_what_they_find_in_our_own_store(store, nodes, data):
    filters = data.draw(GROUPS)
    if data.draw(st.booleans()):
        filters = all_of(filters, data.draw(GROUPS), condition=data.draw(st.sampled_from(FilterCondition)))
    assert found(store, filters) == expected(nodes, filters)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (one("연도", OP.EQ, 2024), ["0", "1"]),
        (one("연도", OP.EQ, 1), ["2", "3"]),
        (one("연도", OP.GTE, 2000), ["0", "1"]),
        (one("부서", OP.TEXT_MATCH_INSENSITIVE, "TEAM"), ["1"]),
        (one("부서", OP.EQ, "école"), ["6"]),
        (one("부서", OP.EQ, "가" * 400), ["5"]),
        (one("부서", OP.IS_EMPTY, None), ["2", "4", "7"]),
        (one("태그", OP.ANY, ["급여"]), ["0", "4", "5"]),
        (one("태그", OP.ALL, ["급여", "휴가"]), ["0", "4"]),
        (one("a.b[0]", OP.TEXT_MATCH, "점"), ["1"]),
        (one("doc_id", OP.EQ, "doc 0"), ["0", "3"]),
        (one("doc_id", OP.EQ, "own"), ["6"]),
        (one("연도", OP.IN, []), []),
    ],
)
def test_each_operator_by_hand(store, nodes, filters, ids):
    assert found(store, all_of(filters)) == ids == expected(nodes, all_of(filters))


def test_ids_documents_and_filters_hold_together(store):
    year = compile_filters(all_of(one("연도", OP.EQ, 2024)))
    selected = restriction(year, node_ids=["0", "1", "3"], ref_doc_ids=["doc 0"])
    assert len(list(store.collection.payloads(selected))) == 1
    assert restriction(None, node_ids=[], ref_doc_ids=None) is None


def test_texts_in_order_and_keys_with_a_quote_are_refused_with_a_way_out():
    with pytest.raises(UnsupportedQuery, match=r"'시행일'.*20240131"):
        restriction(compile_filters(all_of(one("시행일", OP.GTE, "2024-01-31"))))
    with pytest.raises(UnsupportedQuery, match="double quotes"):
        restriction(compile_filters(all_of(one('키"', OP.LT, 3))))
