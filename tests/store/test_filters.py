import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from llama_index_ko_rerank.errors import InvalidFilter, InvalidText, UnsupportedQuery
from llama_index_ko_rerank.store.filters import compile_filters, matches

OP = FilterOperator


def one(key, operator, value=None):
    return MetadataFilter(key=key, operator=operator, value=value)


def all_of(*filters, condition=FilterCondition.AND):
    return MetadataFilters(filters=list(filters), condition=condition)


@pytest.mark.parametrize(
    ("operator", "value", "passing", "failing"),
    [
        (OP.EQ, "법률", ["법률"], ["법", "", 3, None, ["법률"]]),
        (OP.EQ, 3, [3, 3.0], [4, "3", None]),
        (OP.NE, "법률", ["법", 3, None], ["법률"]),
        (OP.GT, 3, [4, 3.5], [3, 2, None]),
        (OP.GTE, 3, [3, 4], [2, None]),
        (OP.LT, "2024-01-01", ["2023-12-31"], ["2024-01-01", None]),
        (OP.LTE, 3, [3, -1, True], [4, None]),
        (OP.IN, ["가", "나"], ["가"], ["다", None, 1]),
        (OP.IN, [], [], ["가", None]),
        (OP.NIN, ["가", "나"], ["다", 1, None], ["나"]),
        (OP.ANY, ["가", "나"], [["나", "다"], "가을"], [["다"], [], "봄", None]),
        (OP.ALL, ["가", "나"], [["나", "가"], "가나다"], [["가"], "가", None]),
        (OP.CONTAINS, "강", [["강", "산"], "한강"], [["한강"], [], "산", None]),
        (OP.CONTAINS, 3, [[1, 3]], [[1], []]),
        (OP.TEXT_MATCH, "API", ["REST API"], ["rest api", "", None]),
        (OP.TEXT_MATCH_INSENSITIVE, "Api", ["REST API"], ["REST", None]),
        (OP.IS_EMPTY, None, [None, "", []], [0, False, " ", [None]]),
    ],
)
def test_each_operator_means_what_simple_vector_store_means(operator, value, passing, failing):
    filters = all_of(one("열쇠", operator, value))
    for expected, found in [(True, passing), (False, failing)]:
        for metadata in ({"열쇠": item} for item in found):
            assert matches(filters, metadata) is expected, metadata
            assert build_metadata_filter_fn(lambda _, seen=metadata: seen, filters)("") is expected
    assert matches(filters, {"다른 열쇠": 1}) is (operator in (OP.NE, OP.NIN, OP.IS_EMPTY))


SCALARS = st.sampled_from(["", "가", "가나", "나", "A", "a"]) | st.integers(-1, 2) | st.sampled_from([0.5, 1.0])
FOUND = st.none() | st.booleans() | SCALARS | st.lists(SCALARS, max_size=3)
TEXT = st.sampled_from(["가", "나", "A", ""])
LISTS = st.lists(TEXT, max_size=3) | st.lists(st.integers(-1, 2), max_size=3)
SINGLE = st.one_of(
    st.builds(one, st.sampled_from("xy"), st.sampled_from([OP.EQ, OP.NE]), SCALARS | LISTS),
    st.builds(one, st.sampled_from("xy"), st.sampled_from([OP.GT, OP.GTE, OP.LT, OP.LTE, OP.CONTAINS]), SCALARS),
    st.builds(one, st.sampled_from("xy"), st.sampled_from([OP.IN, OP.NIN, OP.ANY, OP.ALL]), LISTS),
    st.builds(one, st.sampled_from("xy"), st.sampled_from([OP.TEXT_MATCH, OP.TEXT_MATCH_INSENSITIVE]), TEXT),
    st.builds(one, st.sampled_from("xy"), st.just(OP.IS_EMPTY), st.none()),
)


@settings(max_examples=400)
@given(
    singles=st.lists(SINGLE, max_size=3),
    condition=st.sampled_from(FilterCondition) | st.none(),
    metadata=st.dictionaries(st.sampled_from("xyz"), FOUND),
)
def test_any_flat_filter_gives_what_simple_vector_store_gives(singles, condition, metadata):
    filters = MetadataFilters(filters=singles, condition=condition)
    try:
        expected = build_metadata_filter_fn(lambda _: metadata, filters)("")
    except TypeError:
        with pytest.raises(InvalidFilter):
            matches(filters, metadata)
    else:
        assert matches(filters, metadata) is expected


NESTED = st.recursive(
    SINGLE,
    lambda inner: st.builds(
        lambda parts, condition: MetadataFilters(filters=parts, condition=condition),
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from(FilterCondition),
    ),
    max_leaves=6,
).filter(lambda part: isinstance(part, MetadataFilters))


def by_hand(part, metadata):
    """Take nested filters apart, and leave only single ones to LlamaIndex."""
    if isinstance(part, MetadataFilter):
        return build_metadata_filter_fn(lambda _: metadata, all_of(part))("")
    truths = [by_hand(inner, metadata) for inner in part.filters]
    if part.condition is FilterCondition.AND:
        return all(truths)
    return any(truths) if part.condition is FilterCondition.OR else not any(truths)


@settings(max_examples=300)
@given(filters=NESTED, metadata=st.dictionaries(st.sampled_from("xy"), st.sampled_from(["가", "가나", "", None])))
def test_nested_filters_join_what_single_ones_give(filters, metadata):
    try:
        expected = by_hand(filters, metadata)
    except TypeError:
        with pytest.raises(InvalidFilter):
            matches(filters, metadata)
    else:
        assert matches(filters, metadata) is expected


@pytest.mark.parametrize("condition", FilterCondition)
def test_filters_without_conditions_let_everything_pass(condition):
    empty = MetadataFilters(filters=[], condition=condition)
    for nothing in (None, empty, all_of(empty), all_of(all_of(empty), condition=FilterCondition.NOT)):
        assert compile_filters(nothing) is None
        assert matches(nothing, {})
    assert not matches(all_of(empty, one("x", OP.EQ, 1)), {})


@pytest.mark.parametrize(
    ("operator", "value", "needed"),
    [
        (OP.EQ, None, "is_empty"),
        (OP.NE, None, "is_empty"),
        (OP.GT, ["가"], "one text or number"),
        (OP.LTE, None, "one text or number"),
        (OP.IN, "가", "a list"),
        (OP.NIN, 3, "a list"),
        (OP.ANY, "가", "a list"),
        (OP.ALL, None, "a list"),
        (OP.CONTAINS, ["가"], "one text or number"),
        (OP.TEXT_MATCH, 3, "a text"),
        (OP.TEXT_MATCH_INSENSITIVE, ["가"], "a text"),
    ],
)
def test_a_value_that_its_operator_cannot_take_is_refused_before_any_metadata_are_seen(operator, value, needed):
    with pytest.raises(InvalidFilter, match=f"'열쇠'.*{needed}") as caught:
        compile_filters(all_of(one("열쇠", operator, value)))
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        (OP.GT, 3, "2024"),
        (OP.LT, "가", 3),
        (OP.GTE, 3, [4]),
        (OP.CONTAINS, 3, "3"),
        (OP.CONTAINS, "가", 3),
        (OP.ANY, ["가"], 3),
        (OP.TEXT_MATCH, "가", ["가"]),
        (OP.TEXT_MATCH_INSENSITIVE, "가", 3),
    ],
)
def test_metadata_that_cannot_be_compared_are_an_error_that_names_both(operator, value, found):
    with pytest.raises(InvalidFilter, match=rf"'열쇠' {operator.value} .*{type(found).__name__}"):
        matches(all_of(one("열쇠", operator, value)), {"열쇠": found})


def test_an_unknown_operator_and_an_unknown_way_of_joining_are_refused_by_name():
    with pytest.raises(UnsupportedQuery, match="'nearly'"):
        matches(all_of(MetadataFilter.model_construct(key="x", value=1, operator="nearly")), {})
    with pytest.raises(UnsupportedQuery, match="'xor'"):
        matches(MetadataFilters.model_construct(filters=[one("x", OP.EQ, 1)], condition="xor"), {})
    with pytest.raises(InvalidFilter, match="MetadataFilters, not dict"):
        matches({"x": 1}, {})


@pytest.mark.parametrize("bad", [one("\ud800", OP.EQ, 1), one("x", OP.EQ, "\ud800"), one("x", OP.IN, ["가", "\ud800"])])
def test_lone_surrogates_are_refused(bad):
    with pytest.raises(InvalidText):
        compile_filters(all_of(bad))


def test_strings_are_compared_in_nfc():
    composed = "보고서.pdf"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    for value, found in [(composed, decomposed), (decomposed, composed)]:
        assert matches(all_of(one("파일", OP.EQ, value)), {"파일": found})
        assert matches(all_of(one("파일", OP.IN, [value])), {"파일": found})
        assert matches(all_of(one("파일", OP.CONTAINS, value)), {"파일": ["다른 것", found]})
        assert matches(all_of(one("파일", OP.TEXT_MATCH, value[:-4])), {"파일": found})


@pytest.mark.parametrize("key", ["ref_doc_id", "doc_id", "document_id"])
def test_the_id_of_the_document_may_be_filtered_by_unless_the_metadata_have_that_key(key):
    filters = all_of(one(key, OP.EQ, "문서"))
    assert matches(filters, {}, ref_doc_id="문서")
    assert not matches(filters, {}, ref_doc_id="다른 문서")
    assert not matches(filters, {key: "나의 것"}, ref_doc_id="문서")
    assert not matches(filters, {})


def test_filters_stay_as_they_were():
    filters = all_of(one("x", OP.IN, ["가", "나"]), all_of(one("y", OP.EQ, 1), condition=FilterCondition.OR))
    before = json.dumps(filters.model_dump(mode="json"))
    matches(filters, {"x": "가", "y": 1})
    assert json.dumps(filters.model_dump(mode="json")) == before
