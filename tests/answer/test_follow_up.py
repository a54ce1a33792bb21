from __future__ import annotations

import pytest

from llama_index_ko_rerank.answer.follow_up import complete_question
from llama_index_ko_rerank.errors import InvalidText


@pytest.mark.parametrize(
    ("question", "complete"),
    [
        ("그건 언제 지었나요?", "경복궁 위치 그건 언제 지었나요?"),
        ("왜요?", "경복궁 위치 왜요?"),
        ("이유는?", "경복궁 위치 이유는?"),
        ("그럼 입장료는 얼마인가요?", "경복궁 위치 그럼 입장료는 얼마인가요?"),
        ("거기 주차장이 있나요?", "경복궁 위치 거기 주차장이 있나요?"),
        ("그 경복궁은 누가 지었나요?", "위치 그 경복궁은 누가 지었나요?"),
        ("창덕궁은 누가 지었나요?", "창덕궁은 누가 지었나요?"),
        ("그림은 누가 그렸나요?", "그림은 누가 그렸나요?"),
        ("이순신은 누구인가요?", "이순신은 누구인가요?"),
    ],
)
def test_a_question_that_leaves_its_topic_open_gets_that_of_the_one_before(question, complete):
    assert complete_question(question, ["경복궁의 위치는 어디인가요?"]) == complete


def test_the_topic_is_handed_on_from_question_to_question():
    earlier = ["경복궁은 어디에 있나요?", "그건 언제 지었나요?", "왜요?"]
    assert complete_question("누가요?", earlier) == "경복궁 누가요?"
    assert complete_question("누가요?", [*earlier, "남대문은요?"]) == "남대문 누가요?"


def test_a_first_question_and_one_with_nothing_before_it_are_asked_as_they_are():
    assert complete_question("그건 언제 지었나요?") == "그건 언제 지었나요?"
    assert complete_question("그건 언제 지었나요?", ["왜요?"]) == "그건 언제 지었나요?"
    assert complete_question("???", ["!!!"]) == "???"


def test_only_the_last_five_questions_are_looked_at():
    assert complete_question("누가요?", ["경복궁은요?", *["왜요?"] * 5]) == "누가요?"


def test_lone_surrogates_are_refused():
    with pytest.raises(InvalidText):
        complete_question("한\ud800", ["경복궁은요?"])
