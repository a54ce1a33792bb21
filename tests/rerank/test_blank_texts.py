import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidText
from llama_index_ko_rerank.rerank.nodes import BlankLast

texts_and_logits = st.lists(
    st.tuples(st.sampled_from(["가", "나 1", "!", "", " \n", "\u200b", "\ufeff\u3000"]), st.integers(-900, 3)),
    max_size=9,
)


def test_a_text_of_white_space_and_invisible_characters_is_blank():
    candidates = BlankLast(["", " \n\t", "\u200b\ufeff", "\x01", "\u3000", "가", "!", "①", "m²"])
    assert candidates.blank.tolist() == [True] * 5 + [False] * 4
    assert candidates.texts == ["가", "!", "①", "m²"]


def test_blank_texts_have_no_probability_and_one_less_than_the_lowest_logit():
    candidates = BlankLast(["", "가", "\u200b", "나"])
    ranked = candidates.rank(np.array([-3.0, 2.0]))
    assert [found.position for found in ranked] == [3, 1, 0, 2]
    assert [found.logit for found in ranked] == [2.0, -3.0, -4.0, -4.0]
    assert [found.probability for found in ranked[2:]] == [0.0, 0.0]


def test_only_blank_texts_have_the_logit_minus_one():
    assert BlankLast(["", " "]).rank(np.zeros(0)) == [(0, -1.0, 0.0), (1, -1.0, 0.0)]
    assert BlankLast([]).rank(np.zeros(0)) == []


def test_what_was_not_computed_exactly_is_neither_returned_nor_the_lowest():
    candidates = BlankLast(["가", "", "나", "다"])
    exact = np.array([True, False, True])
    ranked = candidates.rank(np.array([1.0, -9.0, 0.5]), exact=exact)
    assert [(found.position, found.logit) for found in ranked] == [(0, 1.0), (3, 0.5), (1, -0.5)]
    assert candidates.fill_exact(exact).tolist() == [True, True, False, True]


@given(texts_and_logits, st.none() | st.integers(1, 10))
def test_blank_texts_follow_all_others_even_where_a_probability_rounds_to_nought(drawn, top_n):
    candidates = BlankLast([text for text, _ in drawn])
    logits = np.array([float(logit) for (_, logit), blank in zip(drawn, candidates.blank, strict=True) if not blank])
    ranked = candidates.rank(logits)
    assert sorted(found.position for found in ranked) == list(range(len(drawn)))
    assert [bool(candidates.blank[found.position]) for found in ranked] == sorted(candidates.blank.tolist())
    keys = [(candidates.blank[found.position], -found.logit, found.position) for found in ranked]
    assert keys == sorted(keys)
    assert candidates.rank(logits, top_n=top_n) == ranked[:top_n]


def test_lone_surrogates_are_refused():
    with pytest.raises(InvalidText):
        BlankLast(["\ud800"])
