import unicodedata

import pytest

from llama_index_ko_rerank.data.dataset import PairDataset, Passage, Question, RetrievalDataset, SentencePair
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidText, MalformedData
from llama_index_ko_rerank.train.data.rows import QuestionRows, check_trainable, read_rows
from tests.corpora.training import notice_board


def _dataset(*rows):
    passages = tuple(Passage(f"p{i}", context) for i, (_, context) in enumerate(rows))
    questions = tuple(Question(f"q{i}", question, (f"p{i}",)) for i, (question, _) in enumerate(rows))
    return RetrievalDataset("hand", "train", passages, questions)


def test_texts_are_normalised_and_trimmed():
    rows = read_rows(_dataset((unicodedata.normalize("NFD", " 언제?"), "아침\u200b ６시 ")))

    assert rows.pairs[0][:2] == ("언제?", "아침 6시")


def test_two_passages_that_are_one_text_once_normalised_are_one_in_the_collection():
    rows = read_rows(_dataset(("언제?", "아침 ６시"), ("몇 시?", "아침 6시")))

    assert rows.collection == ("아침 6시",)
    assert rows.contexts == ("아침 6시",)


def test_a_question_asked_twice_is_answered_by_both_contexts():
    rows = read_rows(_dataset(("언제?", "아침"), ("언제?", "저녁")))

    assert rows.answers() == {"언제?": frozenset({"아침", "저녁"})}


def test_an_invisible_row_is_refused_with_its_number_and_field():
    with pytest.raises(MalformedData, match=r"1 of 2 rows are empty.*row 2, field 'context'"):
        read_rows(_dataset(("언제?", "아침"), ("어디?", "\u200b \u200b")))


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidText):
        read_rows(_dataset(("언제\ud800?", "아침")))


def test_no_rows_are_refused():
    with pytest.raises(EmptyCorpus):
        read_rows(_dataset())


@pytest.mark.parametrize("label", [-0.1, 1.01, 3, float("nan")])
def test_a_label_outside_0_to_1_is_refused(label):
    dataset = PairDataset("hand", "train", (SentencePair("가", "나", 0.5), SentencePair("다", "라", label)))

    with pytest.raises(MalformedData, match="row 2 has the label"):
        read_rows(dataset)


def test_nine_contexts_are_too_few_to_learn_from():
    rows = read_rows(_dataset(*((f"{n}번은?", f"{n}번이다") for n in range(9))))

    with pytest.raises(EmptyCorpus, match="9 distinct contexts; training needs at least 10"):
        check_trainable(rows)


def test_one_question_for_everything_teaches_nothing():
    rows = read_rows(_dataset(*(("무엇?", f"{n}번이다") for n in range(12))))

    with pytest.raises(EmptyCorpus, match="all questions are one text"):
        check_trainable(rows)


def test_labels_of_one_kind_teach_nothing():
    rows = read_rows(PairDataset("hand", "train", tuple(SentencePair(f"{n}", f"{n}번", 1) for n in range(12))))

    with pytest.raises(MalformedData, match="every label is 1"):
        check_trainable(rows)


def test_copies_of_one_pair_do_not_count_as_many():
    rows = read_rows(PairDataset("hand", "train", tuple(SentencePair("가", "나", n % 2) for n in range(40))))

    with pytest.raises(EmptyCorpus, match="1 distinct sentence pairs"):
        check_trainable(rows)


def test_the_notice_board_is_enough():
    rows = read_rows(notice_board())

    check_trainable(rows)

    assert isinstance(rows, QuestionRows)
    assert len(rows.pairs) == 32
