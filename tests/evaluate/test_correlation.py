import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from llama_index_ko_rerank.data.dataset import PairDataset, SentencePair
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.evaluate import (
    CorrelationReport,
    cosine_scorer,
    mrc_correlation,
    pair_correlation,
    sts_correlation,
)
from tests.corpora.retrieval import BigramEmbedding, bigrams, build_dataset


def labelled(labels):
    return [SentencePair(f"앞 {index}", f"뒤 {index}", label) for index, label in enumerate(labels)]


def scores_of(values):
    return lambda pairs: values


def shared_bigrams(pairs):
    return [float((bigrams(first) & bigrams(second)).total()) for first, second in pairs]


def test_scores_in_the_order_of_the_labels_correlate_fully():
    found = pair_correlation(scores_of([1.0, 4.0, 9.0, 16.0]), labelled([0.0, 0.2, 0.3, 0.9]))
    assert found.value == pytest.approx(1.0)
    assert pair_correlation(scores_of([4.0, 3.0, 2.0, 1.0]), labelled([0, 1, 2, 3])).value == pytest.approx(-1.0)


def test_two_swapped_neighbours_by_hand():
    found = pair_correlation(scores_of([1.0, 2.0, 4.0, 3.0]), labelled([0.1, 0.2, 0.3, 0.4]))
    assert found.value == pytest.approx(1 - 6 * 2 / (4 * 15))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), min_size=3, max_size=20))
def test_the_correlation_is_that_of_scipy_with_ties(rows):
    scores, labels = [float(score) for score, _ in rows], [label for _, label in rows]
    found = pair_correlation(scores_of(scores), labelled(labels), resamples=20)
    if len(set(scores)) == 1 or len(set(labels)) == 1:
        assert math.isnan(found.value)
    else:
        assert found.value == pytest.approx(stats.spearmanr(scores, labels).statistic)


def test_the_interval_agrees_with_scipy():
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 6, size=150)
    scores = labels + generator.normal(0, 2, size=150)
    ours = pair_correlation(scores_of(scores), labelled(labels.tolist()), resamples=3000)
    theirs = stats.bootstrap(
        (scores, labels),
        lambda left, right: stats.spearmanr(left, right).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_equal_scores_have_no_correlation_and_that_is_logged(caplog):
    found = pair_correlation(scores_of([0.5, 0.5]), labelled([0, 1]))
    assert all(math.isnan(number) for number in found)
    assert "undefined" in caplog.text


def test_scores_that_do_not_fit_the_pairs_are_refused():
    with pytest.raises(InvalidSetting, match="2 pairs"):
        pair_correlation(scores_of([0.5]), labelled([0, 1]))
    with pytest.raises(InvalidSetting, match="1 NaN"):
        pair_correlation(scores_of([0.5, math.nan]), labelled([0, 1]))
    with pytest.raises(InvalidSetting, match="3 pairs cannot be drawn 2 together"):
        pair_correlation(scores_of([1.0, 2.0, 3.0]), labelled([0, 1, 1]), pairs_drawn_together=2)
    with pytest.raises(EmptyCorpus):
        pair_correlation(scores_of([]), [])


def test_sentences_are_compared_as_passages_by_their_cosine():
    pairs = (
        SentencePair("가게 문을 열다", "가게 문을 열다", 5.0),
        SentencePair("가게 문을 열다", "가게 문을 닫다", 3.0),
        SentencePair("가게 문을 열다", "꽃이 피었다", 0.0),
    )
    row = sts_correlation(BigramEmbedding(), PairDataset("klue-sts", "validation", pairs))
    assert row.spearman.value == pytest.approx(1.0)
    assert (row.dataset, row.split, row.pairs) == ("klue-sts", "validation", 3)


def test_a_question_is_embedded_as_a_query_and_its_context_as_a_passage():
    model = BigramEmbedding()
    as_query, as_passage = (
        cosine_scorer(model, first_is=kind)([("사과 가게", "사과 가게")])[0] for kind in ("query", "passage")
    )
    assert as_passage == pytest.approx(1.0)
    assert as_query < as_passage


def test_an_empty_text_has_a_cosine_of_zero():
    assert cosine_scorer(BigramEmbedding(), first_is="passage")([("", "사과 가게")]) == [0.0]


def test_each_question_is_paired_with_its_own_context_and_one_of_another_title(market):
    scored = []

    def remember(pairs):
        scored.extend(pairs)
        return shared_bigrams(pairs)

    row = mrc_correlation(remember, market, questions=3)
    assert row.pairs == 6
    text_of = {passage.id: passage.text for passage in market.passages}
    for index, question in enumerate(market.questions[:3]):
        own, other = scored[2 * index], scored[2 * index + 1]
        assert own == (question.text, text_of[question.passage_ids[0]])
        assert other[0] == question.text
        assert other[1] != own[1]
        assert other[1] in text_of.values()
    assert row.spearman.value > 0.5


def test_the_same_seed_draws_the_same_contexts_and_fewer_questions_than_asked_are_all_taken(market):
    first, again = (mrc_correlation(shared_bigrams, market, questions=100, seed=1) for _ in range(2))
    assert first == again
    assert first.pairs == 8


def test_questions_that_cannot_be_paired_are_refused(market):
    with pytest.raises(InvalidSetting, match="questions=0"):
        mrc_correlation(shared_bigrams, market, questions=0)
    with pytest.raises(EmptyCorpus):
        mrc_correlation(shared_bigrams, build_dataset({"a": "글"}, []))


def test_the_table_of_correlations_is_written_as_markdown_and_json(market, tmp_path):
    rows = {
        "cross-encoder, untrained": mrc_correlation(lambda pairs: [0.1] * len(pairs), market),
        "교차 인코더": mrc_correlation(shared_bigrams, market),
    }
    table = CorrelationReport(rows, command="ko-rerank correlate")
    table.write_json(tmp_path / "table.json")
    table.write_markdown(tmp_path / "table.md")
    content = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert content["command"] == "ko-rerank correlate"
    assert content["rows"]["cross-encoder, untrained"]["spearman"] == {"value": None, "low": None, "high": None}
    assert content["rows"]["교차 인코더"]["pairs"] == 8
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| cross-encoder, untrained | market | test | 8 | undefined |" in text
    assert "| 교차 인코더 | market | test | 8 | ." in text
