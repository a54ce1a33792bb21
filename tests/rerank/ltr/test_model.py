import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.errors import ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.rerank.ltr import model as ltr
from llama_index_ko_rerank.rerank.ltr.features import DENSE
from llama_index_ko_rerank.rerank.ltr.model import LearningToRank, load_ranker
from tests.corpora.ranking import examples, fitted, random_matrix
from training.default_ranker import summary
from training.ranker_data import FOLDS, judged


@pytest.fixture
def tiny():
    """Reads dense_found, dense_score and dense_reciprocal_rank, the score also as the difference to the best."""
    return LearningToRank(
        feature_sets=(DENSE,),
        relative=("dense_score",),
        mean=np.array([0.0, 1.0, 0.0, 0.0]),
        deviation=np.array([1.0, 2.0, 1.0, 1.0]),
        hidden_weights=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]),
        hidden_bias=np.array([0.0, 0.5]),
        output_weights=np.array([1.0, 3.0]),
        notes={"이름": "작은"},
    )


@pytest.fixture(scope="module", autouse=True)
def _fitted_once():
    fitted()


class TestScores:
    def test_they_are_what_a_hand_works_out(self, tiny):
        # Row 0: inputs 1, (3-1)/2=1, 0, 3-3=0, hidden relu(2), relu(0.5).
        # Row 1: inputs 0, (1-1)/2=0, 1, 1-3=-2, hidden relu(0), relu(1-4+0.5).
        assert tiny.scores(np.array([[1.0, 3.0, 0.0], [0.0, 1.0, 1.0]])).tolist() == [2 + 3 * 0.5, 0]

    def test_no_candidates_have_no_scores(self, tiny):
        assert tiny.scores(np.zeros((0, 3))).tolist() == []

    def test_a_matrix_of_other_features_is_refused(self, tiny):
        with pytest.raises(UnsuitableModel, match="reads 3 features"):
            tiny.scores(np.zeros((2, 4)))

    @given(st.integers(0, 2**32 - 1), st.integers(2, 30))
    def test_the_order_of_the_rows_changes_no_score(self, seed, rows):
        rng = np.random.default_rng(seed)
        matrix = random_matrix(rng, rows, len(fitted().feature_names))
        matrix[-1] = matrix[0]
        order = rng.permutation(rows)
        scores = fitted().scores(matrix)
        assert fitted().scores(matrix[order]) == pytest.approx(scores[order], abs=1e-8)
        assert scores[0] == scores[-1]


class TestContributions:
    @given(st.integers(0, 2**32 - 1), st.integers(1, 30))
    def test_they_add_up_to_the_score_less_that_of_the_mean_candidate(self, seed, rows):
        ranker = fitted()
        matrix = random_matrix(np.random.default_rng(seed), rows, len(ranker.feature_names))
        added = ranker.contributions(matrix)
        differences = added.sum(1) - ranker.scores(matrix)
        assert np.ptp(differences) < 1e-6
        assert added.shape == matrix.shape

    def test_they_are_integrated_gradients(self, tiny):
        matrix = np.array([[1.0, 3.0, 0.2], [0.0, 1.0, 1.0], [1.0, 2.0, 0.5]])
        relative = matrix[:, [1]]
        inputs = (np.hstack([matrix, relative - relative.max(0)]) - tiny.mean) / tiny.deviation
        start, wanted, steps = inputs.mean(0), np.zeros(inputs.shape), 20_000
        for step in range(steps):
            at = start + (inputs - start) * (step + 0.5) / steps
            active = (at @ tiny.hidden_weights + tiny.hidden_bias > 0) * tiny.output_weights
            wanted += (inputs - start) * (active @ tiny.hidden_weights.T) / steps
        wanted[:, 1] += wanted[:, 3]
        assert tiny.contributions(matrix) == pytest.approx(wanted[:, :3], abs=1e-3)

    def test_one_candidate_differs_from_its_mean_by_nothing(self, tiny):
        assert tiny.contributions(np.array([[1.0, 3.0, 0.2]])).tolist() == [[0, 0, 0]]


class TestJson:
    def test_saved_and_loaded_weights_score_the_same(self):
        again = LearningToRank.from_json(fitted().to_json())
        for example in examples():
            assert again.scores(example.matrix) == pytest.approx(fitted().scores(example.matrix), abs=1e-3)
        assert again.to_json() == fitted().to_json()
        assert (again.tokenizers, again.notes) == (fitted().tokenizers, fitted().notes)

    def test_hangul_stays_readable(self, tiny):
        assert "작은" in tiny.to_json()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"format": 2}, "in format 1"),
            ({"features_version": 99}, "fitted on features of version 99, here they are of version 1"),
            ({"feature_names": ["dense_found", "dense_score", "cosine"]}, "other features .*cosine"),
            ({"feature_names": ["dense_score", "dense_found", "dense_reciprocal_rank"]}, "the order"),
            ({"feature_sets": ["denes"]}, "did you mean 'dense'"),
            ({"hidden_bias": [1.0]}, "hidden_weights must be"),
            ({"mean": [0.0, 1.0, 0.0, float("nan")]}, "mean must be"),
            ({"mean": "many"}, "no weights of a ranker"),
            ({"deviation": [1.0, 0.0, 1.0, 1.0]}, "'deviation' does not fit"),
            ({"relative": ["cosine"]}, "does not fit"),
        ],
    )
    def test_other_weights_are_refused_with_the_reason(self, tiny, change, reason):
        with pytest.raises(UnsuitableModel, match=reason):
            LearningToRank.from_json(json.dumps(json.loads(tiny.to_json()) | change), source="mine.json")

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}'])
    def test_what_is_no_weights_is_refused(self, text):
        with pytest.raises(UnsuitableModel, match=r"mine\.json"):
            LearningToRank.from_json(text, source="mine.json")


class TestFiles:
    def test_weights_are_read_from_a_path(self, tmp_path):
        path = tmp_path / "가중치.json"
        path.write_text(fitted().to_json(), encoding="utf-8")
        assert load_ranker(path).to_json() == load_ranker(str(path)).to_json() == fitted().to_json()

    def test_a_missing_file_is_told(self, tmp_path):
        with pytest.raises(ModelNotFound, match=r"nowhere\.json"):
            load_ranker(tmp_path / "nowhere.json")

    def test_a_file_that_is_no_text_is_told(self, tmp_path):
        path = tmp_path / "weights.json"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ModelNotFound, match="cannot be read"):
            load_ranker(path)

    def test_the_shipped_weights_read_the_lexical_features_and_say_what_they_are(self):
        ranker = load_ranker()
        assert ranker.feature_sets == ("lexical",)
        assert set(ranker.tokenizers) == {"morphemes", "bigrams"}
        assert ltr.DEFAULT == "default"

    def test_the_shipped_weights_rank_the_validation_questions_as_well_as_they_record_and_better_than_bm25(self):
        ranker = load_ranker()
        measured = judged("sample validation", "sample", load_dataset("sample", "validation"))
        found, before = (summary(measured, [which] * FOLDS) for which in (ranker, None))
        recorded = ranker.notes["figures"]["sample validation"]["cross_validated"]
        assert len(measured.examples) == 126
        assert found == pytest.approx(recorded, abs=0.01)  # one question in 126 is 0.008
        assert found["mrr@10"] > before["mrr@10"]
