import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.data.dataset import Passage, Question, RetrievalDataset, TrainingPair
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, SplitLeak
from llama_index_ko_rerank.train.data.rows import QuestionRows, read_rows
from llama_index_ko_rerank.train.data.splits import split_rows
from tests.corpora.training import notice_board, sentence_pairs


def _rows(*pairs):
    return QuestionRows(
        "hand", tuple(TrainingPair(question, context, "") for question, context in pairs), tuple(dict(pairs).values())
    )


def test_a_tenth_of_the_contexts_is_held_out_with_all_their_questions():
    training, held = split_rows(read_rows(notice_board()), None, seed=42)

    assert len(held.contexts) == 2  # of 16
    assert len(held.pairs) == 4
    assert not set(held.contexts) & set(training.contexts)
    assert len(training.pairs) + len(held.pairs) == 32


def test_the_seed_decides_what_is_held_out():
    rows = read_rows(notice_board())

    assert split_rows(rows, None, seed=1) == split_rows(rows, None, seed=1)
    assert len({split_rows(rows, None, seed=seed)[1].contexts for seed in range(8)}) > 1


def test_contexts_that_share_a_question_are_held_out_together():
    shared = [("언제 여나요?", "시장은 여섯 시에 연다"), ("언제 여나요?", "극장은 일곱 시에 연다")]
    others = [(f"{n}번은 무엇인가요?", f"{n}번은 물이다") for n in range(30)]

    for seed in range(20):
        training, held = split_rows(_rows(*shared, *others), None, seed=seed)
        assert not {pair.question for pair in training.pairs} & {pair.question for pair in held.pairs}


def test_rows_that_all_hang_together_cannot_be_split():
    with pytest.raises(EmptyCorpus, match="pass validation data"):
        split_rows(_rows(*(("언제?", f"{n}번") for n in range(12))), None, seed=0)


def test_a_context_in_both_parts_is_found_whatever_its_id_and_unicode_form():
    training = notice_board()
    passage = training.passages[3]
    leak = Passage("other-id", unicodedata.normalize("NFD", passage.text) + " ")
    validation = RetrievalDataset("late", "validation", (leak,), (Question("q", "언제?", ("other-id",)),))

    with pytest.raises(SplitLeak, match=r"1 contexts of the validation data 'late validation'.*박물관"):
        split_rows(read_rows(training), read_rows(validation), seed=0)


def test_a_passage_that_only_stands_in_both_collections_is_no_leak():
    everything = notice_board()
    training = everything.with_questions(everything.questions[:20])
    validation = everything.with_questions(everything.questions[20:], split="validation")

    assert split_rows(read_rows(training), read_rows(validation), seed=0)[1].name == "notices validation"


def test_a_sentence_pair_in_the_other_order_is_a_leak():
    training, validation = sentence_pairs(), sentence_pairs(split="validation")
    turned = tuple(type(pair)(pair.sentence2, pair.sentence1, pair.label) for pair in validation.pairs[:2])

    with pytest.raises(SplitLeak, match="2 sentence pairs"):
        split_rows(read_rows(training), read_rows(type(validation)("turned", "validation", turned)), seed=0)


def test_two_kinds_of_data_cannot_validate_each_other():
    with pytest.raises(InvalidSetting, match=r"hold contexts and the validation data .* sentence pairs"):
        split_rows(read_rows(notice_board()), read_rows(sentence_pairs()), seed=0)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=20, max_size=80, unique=True),
    st.integers(0, 1000),
)
def test_nothing_is_lost_and_nothing_is_shared(links, seed):
    rows = _rows(*((f"질문 {question}", f"글 {context}") for question, context in links))
    try:
        training, held = split_rows(rows, None, seed=seed)
    except EmptyCorpus:
        return

    assert sorted((*training.pairs, *held.pairs)) == sorted(rows.pairs)
    assert not set(training.contexts) & set(held.contexts)
    assert not {pair.question for pair in training.pairs} & {pair.question for pair in held.pairs}
    assert len(held.contexts) <= max(1, round(0.1 * len(rows.contexts)))
