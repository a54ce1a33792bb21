import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.errors import UnsuitableModel
from llama_index_ko_rerank.train.data.rows import read_rows
from llama_index_ko_rerank.train.models.scratch import (
    StaticSettings,
    apply_idf_weights,
    small_cross_encoder,
    static_model,
    untrained_baseline,
)
from llama_index_ko_rerank.train.trainer.evaluators import RerankEvaluator
from tests.corpora.training import notice_board

ROWS = read_rows(notice_board())
TEXTS = ROWS.texts


@pytest.fixture(scope="module")
def cross_encoder():
    return small_cross_encoder(TEXTS, seed=4)


def test_the_same_seed_makes_the_same_vectors_and_another_seed_others():
    first, again, other = (static_model(TEXTS, seed=seed)[0].embedding.weight for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_untrained_text_is_the_mean_of_its_tokens():
    model = static_model(TEXTS, seed=1, settings=StaticSettings(dimension=8))
    ids = model.tokenizer.encode("시장은 언제", add_special_tokens=False).ids

    expected = model[0].embedding.weight.detach()[ids].mean(dim=0)
    assert model.encode("시장은 언제") == pytest.approx(expected.numpy(), abs=1e-6)


def test_a_token_in_every_text_loses_its_weight_and_a_rare_one_gains():
    model = static_model(TEXTS, seed=1)
    before = model[0].embedding.weight.detach().norm(dim=1)
    texts = ["물 불", "물 흙", "물 금"]

    apply_idf_weights(model, texts)

    factor = model[0].embedding.weight.detach().norm(dim=1) / before
    water, fire = (model.tokenizer.token_to_id(token) for token in ("물", "불"))
    assert factor[water] == 0  # log(4 / 4)
    assert factor[fire] / factor.max() == pytest.approx(np.log(2) / np.log(4))  # log(4 / 2) of log(4 / 1)
    assert factor.mean() == pytest.approx(1.0, abs=1e-4)


def test_a_static_model_is_the_same_once_saved_and_loaded(tmp_path):
    model = static_model(TEXTS, seed=1)
    model.save_pretrained(str(tmp_path))

    assert np.array_equal(SentenceTransformer(str(tmp_path)).encode(list(TEXTS)), model.encode(list(TEXTS)))


def test_the_untrained_twin_has_the_vectors_that_training_began_with(tmp_path):
    model = static_model(TEXTS, seed=1)
    start = model[0].embedding.weight.detach().clone()
    apply_idf_weights(model, TEXTS)
    model.save_pretrained(str(tmp_path))

    assert torch.equal(untrained_baseline(tmp_path, seed=1)[0].embedding.weight, start)


def test_only_a_static_embedding_has_an_untrained_twin(bare_bert):
    with pytest.raises(UnsuitableModel, match="no static embedding"):
        untrained_baseline(bare_bert, seed=1)


def test_a_small_cross_encoder_is_the_same_once_saved_and_loaded(cross_encoder, tmp_path):
    pairs = [(pair.question, pair.context) for pair in ROWS.pairs[:6]]
    cross_encoder.save_pretrained(str(tmp_path))

    assert np.array_equal(CrossEncoder(str(tmp_path)).predict(pairs), cross_encoder.predict(pairs))


def test_question_and_passage_are_told_apart_by_their_segments(cross_encoder):
    encoded = cross_encoder.preprocess([("시장", "극장")])

    ids, segments = encoded["input_ids"][0].tolist(), encoded["token_type_ids"][0].tolist()
    question = ids.index(cross_encoder.tokenizer.sep_token_id) + 1
    assert segments == [0] * question + [1] * (len(ids) - question)


def test_the_small_cross_encoder_finds_equal_tokens_before_any_training(cross_encoder):
    indices = [next(iter(relevant)) for _, _, relevant in RerankEvaluator(ROWS, seed=0).lists]
    by_chance = np.mean([1 / (1 + index) for index in indices])

    assert RerankEvaluator(ROWS, seed=0)(cross_encoder) > by_chance + 0.2


def test_making_a_model_leaves_torch_s_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    small_cross_encoder(TEXTS, seed=9)

    assert torch.equal(torch.rand(3), expected)
