from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.answer.citation_guard import CitationCheck, without_citations


def checked(text, sources=3, cuts=()):
    check = CitationCheck(sources)
    places = [0, *sorted(cuts), len(text)]
    shown = "".join(check.feed(text[start:end]) for start, end in pairwise(places))
    return shown + check.finish(), check.cited, check.removed


@pytest.mark.parametrize(
    ("text", "shown", "cited", "removed"),
    [
        ("서울이다 [1].", "서울이다 [1].", [1], []),
        ("서울이다 [4].", "서울이다.", [], [4]),
        ("서울이다[0]", "서울이다", [], [0]),
        ("서울이다 [1, 3].", "서울이다 [1][3].", [1, 3], []),
        ("서울이다 [1,9,2].", "서울이다 [1][2].", [1, 2], [9]),
        ("서울이다 [1-3].", "서울이다 [1][2][3].", [1, 2, 3], []),
        ("서울이다 [2~5].", "서울이다 [2][3].", [2, 3], [4, 5]),
        ("서울이다 [1-900].", "서울이다 [1].", [1], [900]),
        ("서울이다 【2】 ［３］.", "서울이다 [2] [3].", [2, 3], []),
        ("서울이다 [자료 2].", "서울이다 [2].", [2], []),
        ("서울이다 [1][1][7].", "서울이다 [1][1].", [1], [7]),
        ("그는 [주]를 달고 [2024]년에 [a1]을 샀다", "그는 [주]를 달고 [2024]년에 [a1]을 샀다", [], []),
        ("끝나지 않은 [1", "끝나지 않은 [1", [], []),
        ("", "", [], []),
    ],
)
def test_citations_leave_in_one_form_and_only_where_their_source_was_given(text, shown, cited, removed):
    assert checked(text) == (shown, cited, removed)


@given(
    text=st.text(st.sampled_from("가 [1]39,-자료［】\n"), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
def test_how_an_answer_is_cut_into_pieces_changes_nothing(text, cuts):
    assert checked(text, cuts=[min(cut, len(text)) for cut in cuts]) == checked(text)


@given(st.text(st.sampled_from("가 [1]3957,-자료"), max_size=40), st.integers(0, 4))
def test_no_number_that_was_not_given_is_left(text, sources):
    shown, cited, removed = checked(text, sources)
    again = checked(shown, sources)
    assert set(cited) <= set(range(1, sources + 1))
    assert not set(removed) & set(cited)
    assert set(again[1]) >= set(cited)


def test_a_text_that_only_looks_like_a_citation_is_let_through_before_the_end():
    check = CitationCheck(3)
    assert check.feed("[" + "1" * 80) == "[" + "1" * 80


def test_citations_can_be_taken_out_of_a_text():
    assert without_citations("서울이다 [1][22], 부산이다 [자료 3].") == "서울이다, 부산이다."
