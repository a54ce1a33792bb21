from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.answer.extracts import extract_sentences
from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from tests.corpora.answers import CANTEEN, LAPTOP, LEAVE, PARKING

SENTENCES = LEAVE.split(". ") + CANTEEN.split(". ")
TEXTS = st.lists(st.lists(st.sampled_from(SENTENCES), max_size=5).map(". ".join), max_size=4)


def test_the_sentence_that_answers_is_taken_as_it_stands():
    (extract,) = extract_sentences("점심은 몇 시부터 주나요?", [LEAVE, CANTEEN], sentences=1)
    assert extract.text == "점심은 오전 11시 30분부터 준다."
    assert extract.source == 2
    assert CANTEEN[extract.start : extract.end] == extract.text


@given(texts=TEXTS, question=st.sampled_from(SENTENCES), sentences=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_extracts_are_distinct_substrings_in_reading_order(texts, question, sentences):
    extracts = extract_sentences(question, texts, sentences=sentences)
    assert [texts[extract.source - 1][extract.start : extract.end] for extract in extracts] == [
        extract.text for extract in extracts
    ]
    assert [(e.source, e.start) for e in extracts] == sorted((e.source, e.start) for e in extracts)
    assert len({extract.text for extract in extracts}) == len(extracts) <= sentences
    assert bool(extracts) == any(text.strip() for text in texts)


def test_numbers_and_latin_words_are_matched_in_any_case():
    (extract,) = extract_sentences("thinkpad x1은 누가 쓰나요", [PARKING, LAPTOP], sentences=1)
    assert extract.text == "노트북은 ThinkPad X1을 준다."
    (extract,) = extract_sentences("15일은 무엇인가요", [PARKING, LEAVE], sentences=1)
    assert extract.text == "연차 휴가는 한 해에 15일이다."


def test_a_sentence_beside_a_matching_one_comes_before_a_distant_one():
    text = "회사는 산 아래에 있다. 건물은 세 채다. 연차 휴가는 넉넉하다. 한 해에 15일을 준다. 창문은 크다."
    extracts = extract_sentences("연차 휴가는 어떤가요", [text], sentences=3)
    assert [extract.text for extract in extracts] == [
        "건물은 세 채다.",
        "연차 휴가는 넉넉하다.",
        "한 해에 15일을 준다.",
    ]


def test_a_better_passage_wins_where_sentences_share_as_much():
    extracts = extract_sentences("도서관", ["도서관은 1층이다.", "도서관은 2층이다."], sentences=1)
    assert [extract.text for extract in extracts] == ["도서관은 1층이다."]


def test_a_sentence_of_two_overlapping_passages_counts_once_at_its_better_place():
    extracts = extract_sentences("휴가를 다음 해로 넘기나요", [CANTEEN, LEAVE, LEAVE], sentences=6)
    assert [extract.source for extract in extracts] == [1, 1, 1, 2, 2, 2]


def test_the_form_of_the_question_and_of_the_text_change_nothing_but_offsets():
    question = "점심은 몇 시부터 주나요?"
    decomposed = unicodedata.normalize("NFD", CANTEEN)
    (composed,) = extract_sentences(question, [CANTEEN], sentences=1)
    assert extract_sentences(unicodedata.normalize("NFD", question), [CANTEEN], sentences=1) == [composed]
    (extract,) = extract_sentences(question, [decomposed], sentences=1)
    assert decomposed[extract.start : extract.end] == extract.text
    assert unicodedata.normalize("NFC", extract.text) == composed.text


def test_a_scorer_takes_the_place_of_the_overlap():
    asked = []

    def prefer_short(question, sentences):
        asked.append((question, sentences))
        return np.array([-len(sentence) for sentence in sentences], np.float32)

    extracts = extract_sentences("점심은?", [LEAVE, CANTEEN], sentences=1, scorer=prefer_short)

    assert [extract.text for extract in extracts] == ["구내식당은 본관 지하에 있다."]
    assert extracts[0].score == -16.0
    assert isinstance(extracts[0].score, float)
    assert asked == [("점심은?", [f"{s.removesuffix('.')}." for s in [*LEAVE.split(". "), *CANTEEN.split(". ")]])]


def test_equal_scores_keep_the_reading_order():
    extracts = extract_sentences("점심은?", [LEAVE, CANTEEN], sentences=4, scorer=lambda _, sentences: [0.5] * 6)
    assert [extract.source for extract in extracts] == [1, 1, 1, 2]


@pytest.mark.parametrize("scores", [[1.0] * 5, [1.0] * 7, [1.0] * 5 + [float("nan")]])
def test_a_scorer_that_miscounts_or_gives_nan_is_refused(scores):
    with pytest.raises(InvalidSetting, match="the scorer returned"):
        extract_sentences("점심은?", [LEAVE, CANTEEN], scorer=lambda question, sentences: scores)


def test_blank_texts_give_nothing_and_the_scorer_is_not_asked():
    def refuse(question, sentences):
        raise AssertionError("asked")

    assert extract_sentences("점심은?", ["", " \n\t"], scorer=refuse) == []
    assert extract_sentences("점심은?", []) == []


def test_a_question_of_nothing_but_marks_takes_the_first_sentences_of_the_best_passage():
    extracts = extract_sentences("???", [LEAVE, CANTEEN], sentences=2)
    assert [extract.text for extract in extracts] == LEAVE.replace(". ", ".\n").splitlines()[:2]


@pytest.mark.parametrize("question", ["", " \n", "\u200b\ufeff"])
def test_a_blank_question_is_refused(question):
    with pytest.raises(BlankQuery):
        extract_sentences(question, [LEAVE])


def test_lone_surrogates_and_a_count_of_zero_are_refused():
    with pytest.raises(InvalidText):
        extract_sentences("점심은?", ["한\ud800글"])
    with pytest.raises(InvalidText):
        extract_sentences("한\ud800글", [LEAVE])
    with pytest.raises(InvalidSetting, match="sentences must be 1 or more, not 0"):
        extract_sentences("점심은?", [LEAVE], sentences=0)
