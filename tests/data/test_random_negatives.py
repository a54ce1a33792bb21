from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.data import TrainingPair, irrelevant_contexts
from llama_index_ko_rerank.errors import DataError, EmptyCorpus


def rows(*titles_and_contexts):
    return [
        TrainingPair(f"질문 {number}?", context, title) for number, (title, context) in enumerate(titles_and_contexts)
    ]


def may_stand_against(pair, other):
    same_title = pair.title != "" and pair.title == other.title
    return other.context != pair.context and not same_title


def test_every_context_is_of_another_title_and_another_text():
    pairs = rows(("날씨", "비"), ("날씨", "눈"), ("규정", "휴가"), ("출장", "비"))
    drawn = irrelevant_contexts(pairs, seed=42)
    assert drawn[0] == "휴가"
    assert drawn[1] in {"휴가", "비"}
    assert drawn[2] in {"비", "눈"}
    assert drawn[3] in {"눈", "휴가"}


def test_the_seed_decides_the_draw_and_the_rows_are_not_changed():
    pairs = rows(*((f"제목 {number % 7}", f"글 {number}") for number in range(50)))
    before = list(pairs)
    assert (
        irrelevant_contexts(pairs, seed=1) == irrelevant_contexts(pairs, seed=1) != irrelevant_contexts(pairs, seed=2)
    )
    assert pairs == before


def test_rows_are_drawn_alike():
    pairs = rows(("가", "글"), *[("나", "많은 글")] * 3, ("다", "적은 글"))
    counts = Counter(irrelevant_contexts(pairs, seed=seed)[0] for seed in range(2000))
    assert counts["많은 글"] == pytest.approx(1500, abs=100)


def test_rows_with_no_title_are_set_against_any_other_text():
    pairs = rows(("", "비"), ("", "비"), ("", "눈"))
    assert irrelevant_contexts(pairs, seed=0) == ["눈", "눈", "비"]


@pytest.mark.parametrize(
    "titles_and_contexts",
    [
        [("날씨", "비")],
        [("날씨", "비"), ("날씨", "눈")],
        [("날씨", "비"), ("규정", "비")],
        [("", "비"), ("", "비")],
        [("", "비"), ("규정", "비")],
        [("날씨", "비"), ("날씨", "눈"), ("규정", "비")],
    ],
)
def test_an_impossible_draw_names_the_question(titles_and_contexts):
    with pytest.raises(EmptyCorpus, match=r"no irrelevant context for the question '질문 0\?'") as caught:
        irrelevant_contexts(rows(*titles_and_contexts), seed=0)
    assert isinstance(caught.value, DataError)


def test_no_rows_need_no_contexts():
    assert irrelevant_contexts([], seed=0) == []


@given(
    st.lists(st.tuples(st.sampled_from(["", "가", "나", "다"]), st.sampled_from("abcd")), max_size=12),
    st.integers(0, 99),
)
def test_a_context_is_drawn_exactly_where_one_may_stand_against_every_row(drawn, seed):
    pairs = rows(*drawn)
    candidates = [{other.context for other in pairs if may_stand_against(pair, other)} for pair in pairs]
    if all(candidates):
        contexts = irrelevant_contexts(pairs, seed=seed)
        assert len(contexts) == len(pairs)
        assert all(context in own for context, own in zip(contexts, candidates, strict=True))
    else:
        with pytest.raises(EmptyCorpus):
            irrelevant_contexts(pairs, seed=seed)
