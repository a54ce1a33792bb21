from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.answer.sentence_scores import NEIGHBOUR_WEIGHT, RANK_PENALTY, overlap_scores

WORDS = st.lists(st.sampled_from("가나다라"), max_size=4)
PASSAGES = st.lists(st.lists(WORDS, max_size=4), max_size=4)


def test_a_rare_word_weighs_more_than_a_common_one():
    # N = 4 sentences; 수도 stands in one, 한국 in three.
    passage = [["수도"], ["인구"], ["한국"], ["한국", "면적"], ["한국"]]
    capital = math.log(1 + 4.5 / 1.5)
    korea = math.log(1 + 2.5 / 3.5)

    scores = overlap_scores(["한국", "수도"], [passage])[0]

    share = {"수도": capital / (capital + korea), "한국": korea / (capital + korea)}
    assert scores[0] == pytest.approx(share["수도"])
    assert scores[1] == pytest.approx(NEIGHBOUR_WEIGHT * share["수도"])
    assert scores[2] == pytest.approx(share["한국"] * (1 + NEIGHBOUR_WEIGHT))
    assert scores[4] == pytest.approx(share["한국"] * (1 + NEIGHBOUR_WEIGHT))


def test_each_rank_costs_the_same_and_passages_do_not_lend_to_each_other():
    scores = overlap_scores(["수도"], [[["수도"]], [["인구"]], [["수도"], ["인구"]]])
    assert scores[0] == [pytest.approx(1.0)]
    assert scores[1] == [pytest.approx(-RANK_PENALTY)]
    assert scores[2] == [pytest.approx(1 - 2 * RANK_PENALTY), pytest.approx(NEIGHBOUR_WEIGHT - 2 * RANK_PENALTY)]


def test_where_nothing_is_shared_the_rank_alone_decides():
    assert overlap_scores(["없음"], [[["가"], ["나"]], [["다"]]]) == [[0.0, 0.0], [-RANK_PENALTY]]
    assert overlap_scores([], [[["가"]], [["다"]]]) == [[0.0], [-RANK_PENALTY]]


@given(question=WORDS, passages=PASSAGES)
def test_every_sentence_has_one_finite_score_whatever_the_order_of_the_question(question, passages):
    scores = overlap_scores(question, passages)
    assert [len(passage) for passage in scores] == [len(passage) for passage in passages]
    again = overlap_scores([*reversed(question), *question], passages)
    for passage, other in zip(scores, again, strict=True):
        assert passage == pytest.approx(other)
        assert all(math.isfinite(score) for score in passage)
