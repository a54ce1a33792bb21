from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.cross_encoder.scorer import RerankedText, ScorerSettings, load_scorer, rerank_texts

PASSAGES = ["회의실은 하루 전에 예약한다", "연차는 사흘 전에 신청한다", "주차장은 방문객이 먼저 쓴다"]


class SharedCharacters:
    """Says how many characters of the question a text holds, less 2."""

    def __init__(self):
        self.asked = []

    def logits(self, query, texts):
        self.asked.append((query, list(texts)))
        return np.array([sum(character in text for character in set(query)) - 2.0 for text in texts])


def test_the_text_that_shares_most_comes_first_with_its_place_and_probability():
    best = rerank_texts("연차", PASSAGES, scorer=SharedCharacters(), top_n=2)
    assert best[0] == RerankedText(1, PASSAGES[1], 0.5)  # both characters: a logit of 0
    assert best[1].position == 2  # 차 alone: a logit of -1
    assert best[1].probability == pytest.approx(1 / (1 + np.e))


def test_equal_logits_keep_the_order_given():
    assert [hit.position for hit in rerank_texts("가", PASSAGES, scorer=SharedCharacters())] == [0, 1, 2]


def test_probabilities_that_round_to_one_are_still_told_apart():
    class Sure:
        def logits(self, query, texts):
            return np.array([90.0, 100.0])

    assert [hit.position for hit in rerank_texts("가", ["나", "다"], scorer=Sure())] == [1, 0]


def test_a_blank_text_is_not_shown_to_the_model_and_comes_last():
    scorer = SharedCharacters()
    best = rerank_texts("  연차 ", [" ", PASSAGES[1]], scorer=scorer)
    assert best == [(1, PASSAGES[1], 0.5), (0, " ", 0.0)]
    assert scorer.asked == [("연차", [PASSAGES[1]])]


@pytest.mark.parametrize("blank", ["\u200b", "\ufeff\u3000", "\x01"])
def test_a_text_that_is_blank_once_it_is_normalised_is_not_shown_to_the_model(blank):
    scorer = SharedCharacters()
    assert rerank_texts("연차", [blank, PASSAGES[1]], scorer=scorer) == [(1, PASSAGES[1], 0.5), (0, blank, 0.0)]
    assert scorer.asked == [("연차", [PASSAGES[1]])]


def test_no_texts_and_only_blank_ones_ask_nothing():
    scorer = SharedCharacters()
    assert rerank_texts("연차", [], scorer=scorer) == []
    assert [hit.probability for hit in rerank_texts("연차", ["", "\n"], scorer=scorer)] == [0.0, 0.0]
    assert scorer.asked == []


@pytest.mark.parametrize(
    ("query", "top_n", "error"), [("연차", 0, InvalidSetting), (" ", None, BlankQuery), ("\ud800", None, InvalidText)]
)
def test_bad_input_is_refused_before_the_model_is_asked(query, top_n, error):
    scorer = SharedCharacters()
    with pytest.raises(error):
        rerank_texts(query, PASSAGES, scorer=scorer, top_n=top_n)
    assert scorer.asked == []


@given(st.lists(st.text("가나다라 ", max_size=6), max_size=12), st.integers(1, 14))
def test_the_result_is_the_head_of_a_permutation_from_high_to_low(texts, top_n):
    best = rerank_texts("가나", texts, scorer=SharedCharacters())
    assert sorted(hit.position for hit in best) == list(range(len(texts)))
    assert all(hit.text == texts[hit.position] for hit in best)
    assert all(one.probability >= other.probability for one, other in pairwise(best))
    assert rerank_texts("가나", texts, scorer=SharedCharacters(), top_n=top_n) == best[:top_n]


def test_the_postprocessor_gives_the_same_order_and_scores(save_bert, tmp_path):
    model = str(save_bert(tmp_path / "model"))
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in [*PASSAGES, " "]]
    found = CrossEncoderNodePostprocessor(model, top_n=4).postprocess_nodes(nodes, QueryBundle("연차는 언제 신청해?"))
    best = rerank_texts("연차는 언제 신청해?", [*PASSAGES, " "], scorer=load_scorer(ScorerSettings(model)))
    assert [(hit.text, hit.probability) for hit in best] == [(hit.node.get_content(), hit.score) for hit in found]
