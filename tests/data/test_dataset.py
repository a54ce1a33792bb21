import pytest

from llama_index_ko_rerank.data import Passage, Question, RetrievalDataset, TrainingPair
from llama_index_ko_rerank.data.dataset import PassageCollector, require_rows
from llama_index_ko_rerank.errors import EmptyCorpus

RAIN, SNOW = Passage("p0", "비가 온다", "날씨"), Passage("p1", "눈이 온다")
DATASET = RetrievalDataset(
    "x", "train", (RAIN, SNOW), (Question("a", "무엇?", ("p1", "p0")), Question("b", "비는?", ("p0",)))
)


def test_pairs_follow_the_questions_and_each_of_their_passages():
    assert DATASET.pairs() == [
        TrainingPair("무엇?", "눈이 온다", ""),
        TrainingPair("무엇?", "비가 온다", "날씨"),
        TrainingPair("비는?", "비가 온다", "날씨"),
    ]


def test_other_questions_go_over_the_same_collection():
    held_out = DATASET.with_questions([DATASET.questions[1]], "held out")
    assert (held_out.passages, held_out.questions, held_out.split) == (
        DATASET.passages,
        DATASET.questions[1:],
        "held out",
    )
    assert DATASET.with_questions([]).split == "train"
    assert len(DATASET.questions) == 2


def test_a_collector_compares_texts_after_nfc():
    collector = PassageCollector()
    first = collector.add("한글", title="\u1112\u1161\u11ab")
    assert collector.add("\u1112\u1161\u11ab글") == first
    assert collector.passages == (Passage("p00000", "한글", "한"),)


def test_a_collector_keeps_the_first_id_and_makes_none_that_is_reserved():
    collector = PassageCollector(reserved=["p00000"])
    assert [collector.add("가"), collector.add("나", passage_id="p00000"), collector.add("나", passage_id="z")] == [
        "p00001",
        "p00000",
        "p00000",
    ]


def test_rows_that_are_needed_and_missing_are_an_empty_corpus():
    with pytest.raises(EmptyCorpus, match="the split holds nothing to work on"):
        require_rows([], "the split")
    require_rows([1], "the split")
