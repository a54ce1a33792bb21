import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from torch.nn import Identity

from llama_index_ko_rerank.data.dataset import TrainingPair
from llama_index_ko_rerank.train.data.rows import QuestionRows, read_rows
from llama_index_ko_rerank.train.trainer.evaluators import EvaluatorSettings, FirstStageEvaluator, macro_f1
from tests.corpora.training import notice_board

ROWS = QuestionRows(
    "hand",
    (
        TrainingPair("파란 대문집은 어디인가요?", "파란 대문집은 우체국 옆에 있다", ""),
        TrainingPair("숙소는?", "잠은 객주에서 잔다", ""),
    ),
    ("파란 대문집은 우체국 옆에 있다", "파란 대문집 주인은 목수이다", "잠은 객주에서 잔다", "비가 온다"),
)  # fmt: skip


class HandLogits(CrossEncoder):
    """Scores pairs by a function of their texts."""

    def __init__(self, score):
        super().__init__(modules=[Identity()], device="cpu")
        self.score = score

    def predict(self, inputs, **options):
        return np.array([self.score(*pair) for pair in inputs])


def test_the_candidates_are_what_the_search_found_and_no_context_is_put_among_them():
    lists = {question: (texts, relevant) for question, texts, relevant in FirstStageEvaluator(ROWS, seed=0).lists}

    assert len(lists["파란 대문집은 어디인가요?"][0]) == 2
    assert lists["파란 대문집은 어디인가요?"][1] == {0}
    assert "잠은 객주에서 잔다" not in lists["숙소는?"][0]
    assert lists["숙소는?"][1] == set()


def test_a_question_whose_context_the_search_missed_counts_nothing():
    evaluator = FirstStageEvaluator(ROWS, seed=0)

    assert evaluator(HandLogits(lambda question, text: "우체국" in text)) == 0.5
    assert evaluator(HandLogits(lambda question, text: "목수" in text)) == 0.25
    assert "hold a right one for 1 of 2 questions" in evaluator.description


def test_equal_logits_keep_the_order_of_the_search():
    evaluator = FirstStageEvaluator(read_rows(notice_board()), seed=0)

    assert evaluator(HandLogits(lambda question, text: 0.0)) == pytest.approx(evaluator.first_stage_value)
    assert f"{evaluator.first_stage_value:.4f}" in evaluator.description


def test_questions_and_candidates_are_bounded():
    settings = EvaluatorSettings(rerank_questions=3, first_stage_candidates=4)
    evaluator = FirstStageEvaluator(read_rows(notice_board()), seed=0, settings=settings)

    assert len(evaluator.lists) == 3
    assert all(len(texts) <= 4 for _, texts, _ in evaluator.lists)


def test_the_mean_f1_gives_every_class_one_voice():
    labels = np.array([0] * 8 + [1] * 2)

    assert macro_f1(labels, labels) == 1.0
    assert macro_f1(labels, np.zeros(10, int)) == pytest.approx((16 / 18 + 0) / 2)
