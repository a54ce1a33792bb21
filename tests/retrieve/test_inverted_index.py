import math

import bm25s
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings, InvertedIndex

token_lists = st.lists(st.sampled_from("가나다라마바사"), max_size=8)
collections = st.lists(token_lists, max_size=12)
questions = st.lists(st.sampled_from("가나다라마바사없"), max_size=6)


def built(documents, settings=None):
    postings = InvertedIndex(settings)
    postings.add(documents)
    return postings


def test_scores_and_idf_are_those_worked_by_hand():
    postings = built([["가", "나"], ["가"], ["다", "다"]], BM25Settings(k1=1.0, b=0.0))
    idf_two_of_three, idf_one_of_three = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    assert postings.idf(["가", "다"]) == pytest.approx([idf_two_of_three, idf_one_of_three])
    assert postings.scores(["가"]) == pytest.approx([idf_two_of_three / 2, idf_two_of_three / 2, 0])
    assert postings.scores(["다"]) == pytest.approx([0, 0, idf_one_of_three * 2 / 3])


def test_length_marks_down_as_b_says():
    postings = built([["가"], ["가", "나", "나"]], BM25Settings(k1=1.0, b=1.0))
    idf = math.log(1 + 0.5 / 2.5)
    assert postings.scores(["가"]) == pytest.approx([idf / (1 + 0.5), idf / (1 + 1.5)])


def test_a_token_that_the_question_repeats_counts_each_time():
    postings = built([["가", "나"], ["나"]])
    assert postings.scores(["가", "가"]) == pytest.approx(2 * postings.scores(["가"]))


def test_an_unknown_token_has_the_idf_of_a_token_in_no_passage():
    assert built([["가"], ["나"], ["나"]]).idf(["없"]) == pytest.approx([math.log(1 + 3.5 / 0.5)])


def test_adding_gives_the_tokens_as_vocabulary_ids_in_order():
    postings = InvertedIndex()
    streams = postings.add([["가", "나", "가"], [], ["다", "나"]])
    assert [stream.tolist() for stream in streams] == [[0, 1, 0], [], [2, 1]]
    assert postings.vocabulary == {"가": 0, "나": 1, "다": 2}


@pytest.mark.parametrize("documents", [[], [[]], [[], []]])
def test_a_collection_without_tokens_scores_nothing(documents):
    assert built(documents).scores(["가"]).tolist() == [0.0] * len(documents)


def test_a_question_without_tokens_scores_nothing():
    assert built([["가"], ["나"]]).scores([]).tolist() == [0.0, 0.0]


def test_all_can_be_dropped_and_new_ones_added():
    postings = built([["가"], ["나"]])
    postings.keep(np.zeros(2, bool))
    assert len(postings) == 0
    assert postings.scores(["가"]).tolist() == []
    postings.add([["나", "다"]])
    assert postings.scores(["나"]) == pytest.approx(built([["나", "다"]]).scores(["나"]))


@settings(deadline=None)
@given(collections, questions, st.sampled_from([(0.9, 0.4), (1.5, 0.75), (1.2, 0.0), (0.5, 1.0)]))
def test_scores_are_those_of_bm25s(documents, question, constants):
    assume(any(documents))
    k1, b = constants
    reference = bm25s.BM25(method="lucene", k1=k1, b=b)
    reference.index(documents, show_progress=False)
    known = [token for token in question if any(token in document for document in documents)]
    wanted = reference.get_scores(known) if known else np.zeros(len(documents))
    scores = built(documents, BM25Settings(k1, b)).scores(question)
    assert scores.dtype == np.float32
    assert np.abs(scores - wanted).max() < 1e-4


@given(collections, collections, questions)
def test_adding_in_parts_is_adding_at_once(first, second, question):
    parts = built(first)
    parts.scores(question)
    parts.add(second)
    assert parts.scores(question).tolist() == built(first + second).scores(question).tolist()


@given(
    collections.flatmap(
        lambda rows: st.tuples(st.just(rows), st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    ),
    questions,
)
def test_what_was_dropped_leaves_no_trace_in_the_scores(documents_and_mask, question):
    documents, mask = documents_and_mask
    shrunk = built(documents)
    shrunk.scores(question)
    shrunk.keep(np.array(mask, bool))
    fresh = built([document for document, kept in zip(documents, mask, strict=True) if kept])
    assert shrunk.scores(question) == pytest.approx(fresh.scores(question), abs=1e-6)
    assert shrunk.idf(question) == pytest.approx(fresh.idf(question), abs=1e-6)


@given(collections, questions)
def test_a_score_is_above_nought_exactly_where_a_token_is_shared(documents, question):
    scores = built(documents).scores(question)
    assert (scores > 0).tolist() == [bool(set(document) & set(question)) for document in documents]


@given(collections.filter(len), questions, st.data())
def test_scores_at_some_passages_are_those_among_all(documents, question, data):
    postings = built(documents)
    places = data.draw(st.lists(st.integers(0, len(documents) - 1), max_size=6))
    scores = postings.scores_at(question, places)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(postings.scores(question)[places], abs=1e-5)


@given(collections.filter(len), questions, st.sampled_from([(0.9, 0.4), (0.0, 0.0), (1.2, 1.0)]))
def test_a_passage_of_the_collection_scores_the_same_where_it_is_given_as_unseen(documents, question, constants):
    postings = built(documents, BM25Settings(*constants))
    assert postings.scores_for_unindexed(question, documents) == pytest.approx(postings.scores(question), abs=1e-5)


def test_a_token_that_only_the_question_and_an_unseen_passage_have_counts_as_rare():
    postings = built([["가", "나"], ["가"]], BM25Settings(k1=1.0, b=0.0))
    assert postings.scores_for_unindexed(["없"], [["없"], ["가"]]) == pytest.approx([math.log(1 + 2.5 / 0.5) / 2, 0])


@pytest.mark.parametrize(
    ("constants", "name"),
    [({"k1": -0.1}, "k1"), ({"k1": math.nan}, "k1"), ({"k1": math.inf}, "k1"), ({"b": -0.1}, "b"), ({"b": 1.1}, "b")],
)
def test_constants_out_of_range_are_refused(constants, name):
    with pytest.raises(InvalidSetting, match=f"^{name} must be"):
        BM25Settings(**constants)


def test_the_ends_of_the_ranges_are_allowed():
    assert built([["가", "가"], ["나"]], BM25Settings(k1=0, b=1)).scores(["가"])[0] == pytest.approx(math.log(2))
