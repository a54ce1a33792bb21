import numpy as np
import pytest

from llama_index_ko_rerank.rerank.ltr.features import evidence
from llama_index_ko_rerank.rerank.ltr.matching import AnswerType, answer_type
from llama_index_ko_rerank.text.tokenizers import TAG_NAMES, MorphemeTokenizer

YEAR, PEOPLE = 50, 60
NUMBER, NAME, NOUN = (TAG_NAMES.index(tag) for tag in ("SN", "NNP", "NNG"))


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("도서관은 언제 지어졌나요?", AnswerType("date")),
        ("도서관은 몇 년에 지어졌나요?", AnswerType("date", "년")),
        ("관장은 누구인가요?", AnswerType("person")),
        ("책은 어디에 반납하나요?", AnswerType("place")),
        ("회원은 몇 명인가요?", AnswerType("number", "명")),
        ("도서관의 이름은 무엇인가요?", AnswerType()),
    ],
)
def test_a_question_says_what_kind_of_answer_it_asks_for(question, wanted):
    assert answer_type(MorphemeTokenizer().analyse_query(question)) == wanted


def counted(tokens, *, lengths, centres=None, unit=None, asked=None):
    """Count evidence in passages given as (id, tag) pairs end to end."""
    sizes = np.array(lengths)
    return evidence(
        np.array([token for token, _ in tokens], np.int64),
        np.array([tag for _, tag in tokens], np.uint8),
        np.zeros(len(tokens), bool) if asked is None else np.array(asked),
        starts=np.cumsum(sizes) - sizes,
        lengths=sizes,
        centres=np.zeros(len(sizes), np.int64) if centres is None else np.array(centres),
        date_units=np.array([YEAR]),
        unit=unit,
    )


def test_numbers_dates_units_and_names_are_told_apart():
    tokens = [(1, NUMBER), (YEAR, NOUN), (2, NUMBER), (PEOPLE, NOUN), (3, NAME), (4, NAME)]
    found = counted(tokens, lengths=[6], unit=PEOPLE, asked=[False] * 5 + [True])
    assert {name: values.tolist() for name, values in found.items()} == {
        "dates": [1],
        "names": [1],
        "numbers": [2],
        "units": [1],
        "units_anywhere": [1],
    }


def test_a_number_at_the_end_of_a_passage_has_no_unit_from_the_next():
    found = counted([(1, NUMBER), (PEOPLE, NOUN)], lengths=[1, 1], unit=PEOPLE)
    assert found["units_anywhere"].tolist() == [0, 0]
    assert found["numbers"].tolist() == [1, 0]


def test_only_what_is_near_the_best_match_counts():
    tokens = [(PEOPLE, NOUN)] * 100
    tokens[87], tokens[88], tokens[20] = (1, NUMBER), (1, NUMBER), (1, NUMBER)
    assert counted(tokens, lengths=[100], centres=[60])["numbers"].tolist() == [1]  # 48 up to 88
    assert counted(tokens, lengths=[100], centres=[61])["numbers"].tolist() == [2]


def test_empty_passages_hold_no_evidence():
    found = counted([(1, NUMBER)], lengths=[0, 1, 0])
    assert found["numbers"].tolist() == [0, 1, 0]
