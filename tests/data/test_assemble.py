import pytest

from llama_index_ko_rerank.data.dataset import Entry, Passage, Question, assemble
from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData


def entry(context, question="", question_id="", **fields):
    return Entry(
        "here", context, question=question, question_id=question_id, split=fields.pop("split", "train"), **fields
    )


def test_passages_keep_the_order_of_their_first_appearance():
    dataset = assemble("x", "train", [entry("나"), entry("가"), entry("나"), entry("다")])
    assert [(passage.id, passage.text) for passage in dataset.passages] == [
        ("p00000", "나"),
        ("p00001", "가"),
        ("p00002", "다"),
    ]


def test_one_context_under_two_titles_is_one_passage_with_the_first_title_that_is_given():
    entries = [entry("가"), entry("가", title="첫째"), entry("가", title="둘째")]
    assert assemble("x", "train", entries).passages == (Passage("p00000", "가", "첫째"),)


def test_only_the_questions_of_the_split_are_kept_and_every_passage_is():
    entries = [entry("가", "첫째?", "a"), entry("나", "둘째?", "b", split="validation")]
    for split, ids in (("train", ["a"]), ("validation", ["b"]), ("all", ["a", "b"])):
        dataset = assemble("x", split, entries)
        assert [question.id for question in dataset.questions] == ids
        assert len(dataset.passages) == 2
        assert dataset.split == split


def test_one_question_on_several_rows_has_several_passages_and_all_their_answers():
    entries = [
        entry("가", "무엇?", "a", answers=("ㄱ",)),
        entry("나", "무엇?", "a", answers=("ㄴ", "ㄱ")),
        entry("가", "무엇?", "a"),
    ]
    dataset = assemble("x", "train", entries)
    assert dataset.questions == (Question("a", "무엇?", ("p00000", "p00001"), ("ㄱ", "ㄴ")),)
    assert [pair.context for pair in dataset.pairs()] == ["가", "나"]


def test_one_id_for_two_questions_is_an_error_even_across_splits():
    entries = [
        Entry("line 1", "가", question="하나?", question_id="a", split="train"),
        Entry("line 2", "가", question="둘?", question_id="a", split="test"),
    ]
    with pytest.raises(
        MalformedData, match=r"line 2, field 'guid': 'a' stands for another question already \(first at line 1\)"
    ):
        assemble("x", "train", entries, id_field="guid")


def test_one_id_for_two_passages_is_an_error():
    entries = [entry("가", passage_id="a"), entry("나", passage_id="a")]
    with pytest.raises(MalformedData, match="'a' stands for another passage already"):
        assemble("x", "train", entries)


def test_made_up_passage_ids_avoid_the_ones_that_come_later_in_the_file():
    entries = [
        entry("가", "무엇?", "a"),
        entry("나", passage_id="p00000"),
        entry("다", passage_id="p00002"),
        entry("라"),
    ]
    dataset = assemble("x", "train", entries)
    assert [passage.id for passage in dataset.passages] == ["p00001", "p00000", "p00002", "p00003"]
    assert dataset.questions[0].passage_ids == ("p00001",)


def test_a_passage_has_its_own_id_also_where_a_question_names_it_first():
    dataset = assemble(
        "x", "train", [entry("가", "무엇?", "a"), entry("가", passage_id="own"), entry("가", passage_id="later")]
    )
    assert dataset.passages == (Passage("own", "가"),)
    assert dataset.questions[0].passage_ids == ("own",)


def test_no_rows_are_an_empty_corpus():
    with pytest.raises(EmptyCorpus, match="x holds nothing"):
        assemble("x", "train", [])


def test_questions_left_out_are_counted_in_the_log(caplog):
    with caplog.at_level("INFO"):
        assemble("x", "train", [entry("가", is_impossible=True), entry("가", "무엇?", "a")])
    assert "1 questions; 1 passages of 2 rows; 1 impossible questions left out" in caplog.text
