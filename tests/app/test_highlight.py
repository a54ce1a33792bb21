from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.app.highlight import EXCERPT_LENGTH, Marks, excerpt_span, find_marks, segments
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer

SICK = "직원은 병가를 60일까지 쓸 수 있다. 나흘 넘게 쉬면 진단서를 내야 한다."


@st.composite
def marked_texts(draw):
    text = draw(st.text("가나 .\n<", max_size=40))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    ends = sorted(draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True))) if text else []
    return text, Marks(tuple(pairs), tuple(ends) if ends else None)


@given(marked_texts())
def test_the_segments_together_are_the_text_and_each_is_marked_as_it_is(case):
    text, marks = case
    found = segments(text, marks)
    assert "".join(segment.text for segment in found) == text
    place = 0
    for segment in found:
        inside = range(place, place + len(segment.text))
        assert {any(a <= at < b for a, b in marks.words) for at in inside} == {segment.matched}
        assert {bool(marks.best and marks.best[0] <= at < marks.best[1]) for at in inside} == {segment.best}
        place += len(segment.text)


@given(marked_texts(), st.data())
def test_a_stretch_is_cut_as_the_whole_is(case, data):
    text, marks = case
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert "".join(segment.text for segment in segments(text, marks, (start, end))) == text[start:end]


def test_words_are_found_in_their_inflected_forms_and_the_best_sentence_has_most_of_them():
    words = MorphemeTokenizer().query_tokens("쉬었을 때 진단서가 필요해?")
    (marks,) = find_marks([SICK], words)
    assert [SICK[start:end] for start, end in marks.words if SICK[start:end] == "진단서"]
    assert SICK[marks.best[0] : marks.best[1]] == "나흘 넘게 쉬면 진단서를 내야 한다."


def test_a_passage_without_a_word_of_the_question_has_no_marks():
    assert find_marks(["물나래호는 하루 네 번 떠난다."], ["병가"]) == [Marks((), None)]
    assert find_marks([""], ["병가"]) == [Marks((), None)]


@pytest.mark.parametrize("best", [None, (0, 10), (900, 940), (1990, 2000)])
def test_an_excerpt_of_a_long_text_holds_the_best_sentence(best):
    text = "가나다 라마바 " * 250
    start, end = excerpt_span(text, best)
    assert 0 < end - start <= EXCERPT_LENGTH
    if best:
        assert start <= best[0] < end
