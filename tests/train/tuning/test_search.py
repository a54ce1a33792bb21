"""Fitting the share of the first stage beside a cross-encoder."""

from __future__ import annotations

import numpy as np
import pytest
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.data.dataset import dataset_nodes
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.train.tuning.search import (
    InterpolationExample,
    best_retrieval_weight,
    held_out_values,
    interpolation_example,
    tune_search,
)


class Oracle(BaseNodePostprocessor):
    """Knows the answers: gives `sure` to the passages of a question, and 1 - `sure` to others."""

    answers: dict[str, list[str]]
    sure: float

    def _postprocess_nodes(self, nodes, query_bundle=None):
        wanted = self.answers[query_bundle.query_str]
        scores = [self.sure if hit.node.node_id in wanted else 1 - self.sure for hit in nodes]
        return [NodeWithScore(node=hit.node, score=score) for hit, score in zip(nodes, scores, strict=True)][::-1]


def example(retrieval, probabilities, *relevant):
    return InterpolationExample(np.array(retrieval, float), np.array(probabilities, float), relevant)


def test_the_share_is_what_lets_both_stages_speak():
    # The first is right by the cross-encoder alone, the second by retrieval unless the cross-encoder has over .75.
    right_by_model = example([1.0, 0.9, 0.0], [0.0, 0.6, 0.0], 1)
    right_by_words = example([1.0, 0.4, 0.0], [0.5, 0.7, 0.0], 0)
    share = best_retrieval_weight([right_by_model, right_by_words])
    assert 0.25 < share < 0.86
    assert right_by_model.reciprocal_rank(share) == right_by_words.reciprocal_rank(share) == 1.0


def test_of_equally_good_shares_the_first_stage_gets_the_most():
    assert best_retrieval_weight([example([1.0, 0.0], [0.9, 0.1], 0)]) == 0.95


def test_an_answer_beyond_the_tenth_place_counts_nothing():
    assert example(range(12, 0, -1), [0.5] * 12, 11).reciprocal_rank(0.5) == 0.0
    assert example([1.0, 0.5], [0.5, 0.5]).reciprocal_rank(0.5) == 0.0


def test_held_out_questions_do_not_choose_their_share():
    wants_model = example([1.0, 0.0], [0.0, 1.0], 1)
    wants_words = example([1.0, 0.0], [0.0, 1.0], 0)
    parts = [np.array([True, False]), np.array([False, True])]
    assert held_out_values([wants_model, wants_words], parts).tolist() == [0.5, 0.5]


def test_probabilities_follow_their_passages_through_any_order():
    found = [NodeWithScore(node=TextNode(id_=name, text=name), score=score) for name, score in (("a", 3.0), ("b", 1.0))]
    read = interpolation_example("?", found, (1,), Oracle(answers={"?": ["b"]}, sure=0.75))
    assert read.retrieval.tolist() == [3.0, 1.0]
    assert read.probabilities.tolist() == [0.25, 0.75]


@pytest.mark.parametrize(("sure", "is_kept"), [(0.9, True), (0.5, False)])
def test_a_cross_encoder_is_kept_only_where_it_certainly_helps(sure, is_kept):
    dataset = load_dataset("sample", "validation")
    lexical = KoreanBM25Retriever.from_nodes(dataset_nodes(dataset), similarity_top_k=30)
    oracle = Oracle(answers={question.text: list(question.passage_ids) for question in dataset.questions}, sure=sure)
    fitted = tune_search(lexical, dataset, reranker=oracle, folds=2)
    assert (fitted.ranker == "cross-encoder") == is_kept
    assert (fitted.gains["cross-encoder"].low > 0) == is_kept
    assert 0 <= fitted.retrieval_weight < 1
