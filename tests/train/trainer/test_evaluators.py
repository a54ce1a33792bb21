"""Models whose vectors and logits are written down by hand, and the library's own evaluator as a second opinion."""

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
)

from llama_index_ko_rerank.data.dataset import SentencePair, TrainingPair
from llama_index_ko_rerank.train.data.rows import QuestionRows, SentenceRows, read_rows
from llama_index_ko_rerank.train.models.scratch import static_model
from llama_index_ko_rerank.train.trainer.evaluators import (
    CosineEvaluator,
    EvaluatorSettings,
    LogitEvaluator,
    RerankEvaluator,
    SearchEvaluator,
)
from tests.corpora.training import notice_board, sentence_pairs

ROWS = QuestionRows(
    "hand",
    (TrainingPair("질문 하나", "글 나", ""), TrainingPair("질문 둘", "글 다", "")),
    ("글 가", "글 나", "글 다", "글 라"),
)


class HandVectors(SentenceTransformer):
    """Looks vectors up in a table."""

    def __init__(self, table):
        super().__init__(modules=[torch.nn.Identity()], device="cpu")
        self.table = {text: np.asarray(vector, np.float32) for text, vector in table.items()}

    def encode(self, inputs, **options):
        vectors = np.stack([self.table[text] for text in inputs])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    encode_query = encode_document = encode


class HandLogits(CrossEncoder):
    """Scores pairs by a function of their texts."""

    def __init__(self, score):
        super().__init__(modules=[torch.nn.Identity()], device="cpu")
        self.score = score

    def predict(self, inputs, **options):
        return np.array([self.score(*pair) for pair in inputs])


@pytest.fixture(scope="module")
def static():
    return static_model(read_rows(notice_board()).texts, seed=3)


def test_mrr_is_the_mean_of_one_over_rank_worked_by_hand():
    model = HandVectors({
        "질문 하나": [1, 0], "질문 둘": [0, 1],
        "글 가": [1, 0.1], "글 나": [1, 0.2], "글 다": [0.1, 1], "글 라": [1, 0.3],
    })  # fmt: skip

    assert SearchEvaluator(ROWS, seed=0)(model) == pytest.approx((1 / 2 + 1) / 2)


def test_equal_similarities_rank_in_document_order_not_in_the_answer_s_favour():
    model = HandVectors(dict.fromkeys((*ROWS.collection, "질문 하나", "질문 둘"), (1, 1)))

    assert SearchEvaluator(ROWS, seed=0)(model) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_the_search_evaluator_agrees_with_the_library_s_evaluator(static):
    rows = read_rows(notice_board())
    passages = {str(index): text for index, text in enumerate(rows.collection)}
    place_of = {text: index for index, text in passages.items()}
    questions = {str(number): pair.question for number, pair in enumerate(rows.pairs)}
    relevant = {str(number): {place_of[pair.context]} for number, pair in enumerate(rows.pairs)}
    library = InformationRetrievalEvaluator(
        questions, passages, relevant, mrr_at_k=[10], name="board", write_csv=False, show_progress_bar=False
    )

    assert SearchEvaluator(rows, seed=0)(static) == pytest.approx(library(static)["board_cosine_mrr@10"])


def test_the_searched_collection_is_bounded_and_holds_every_needed_context():
    rows = read_rows(notice_board())

    evaluator = SearchEvaluator(rows, seed=0, settings=EvaluatorSettings(search_questions=3, search_passages=6))

    assert len(evaluator.questions) == 3
    assert len(evaluator.passages) == 6
    assert {rows.answers()[question] <= set(evaluator.passages) for question in evaluator.questions} == {True}


def test_candidates_hold_one_context_of_the_question_and_no_other_answer():
    rows = read_rows(notice_board())

    for question, candidates, relevant in RerankEvaluator(rows, seed=0).lists:
        own = rows.answers()[question]
        assert len(candidates) == 10
        assert len(set(candidates)) == 10
        assert [index for index, text in enumerate(candidates) if text in own] == list(relevant)


def test_the_place_of_the_right_candidate_is_drawn():
    indices = [next(iter(relevant)) for _, _, relevant in RerankEvaluator(read_rows(notice_board()), seed=0).lists]

    assert len(set(indices)) > 5


def test_near_candidates_share_bigrams_with_the_question():
    rows = QuestionRows(
        "hand",
        (TrainingPair("파란 대문집 주인은?", "파란 대문집", ""),),
        ("파란 대문집", "빨간 대문집", "노란 대문집", *(f"{n}번 버스" for n in range(20))),
    )

    _, candidates, _ = RerankEvaluator(
        rows, seed=0, settings=EvaluatorSettings(rerank_candidates=4, rerank_near=2)
    ).lists[0]

    assert {"빨간 대문집", "노란 대문집"} < set(candidates)


def test_a_constant_cross_encoder_gains_nothing_from_the_order_of_the_list():
    evaluator = RerankEvaluator(read_rows(notice_board()), seed=0)

    expected = np.mean([1 / (1 + next(iter(relevant))) for _, _, relevant in evaluator.lists])
    assert evaluator(HandLogits(lambda question, text: 0.0)) == pytest.approx(expected)


def test_a_cross_encoder_that_knows_the_place_is_perfect_and_its_contrary_is_last():
    evaluator = RerankEvaluator(read_rows(notice_board()), seed=0)

    def knows(question, text):
        return float(question.split("은 ")[0] in text)

    assert evaluator(HandLogits(knows)) == 1.0
    assert evaluator(HandLogits(lambda *pair: -knows(*pair))) == pytest.approx(1 / 10)


def test_correlation_agrees_with_the_library_s_evaluator(static):
    rows = read_rows(sentence_pairs())
    library = EmbeddingSimilarityEvaluator(
        [pair.sentence1 for pair in rows.pairs],
        [pair.sentence2 for pair in rows.pairs],
        [pair.label for pair in rows.pairs],
        write_csv=False,
        show_progress_bar=False,
    )

    assert CosineEvaluator(rows)(static) == pytest.approx(library(static)["spearman_cosine"])


def test_logits_in_the_order_of_the_labels_correlate_perfectly():
    rows = SentenceRows("hand", tuple(SentencePair(f"{n}", "글", n / 4) for n in range(5)))

    assert LogitEvaluator(rows)(HandLogits(lambda first, second: float(first) ** 3)) == pytest.approx(1.0)


def test_equal_logits_have_no_order_and_count_as_no_correlation():
    rows = SentenceRows("hand", tuple(SentencePair(f"{n}", "글", n / 4) for n in range(5)))

    assert LogitEvaluator(rows)(HandLogits(lambda first, second: 1.0)) == 0.0
