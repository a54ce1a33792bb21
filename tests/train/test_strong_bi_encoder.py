"""The recipes of embedding models beside the book's: losses against a hand calculation, whole runs on tiny models."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)

from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel
from llama_index_ko_rerank.train import RECIPES, override_recipe, train_bi_encoder
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.bi_encoder import prepare_bi_encoder
from llama_index_ko_rerank.train.data.rows import drop_spaces
from llama_index_ko_rerank.train.run import validate_run
from tests.corpora.training import PLACES, notice_board, sentence_pairs

BI = RECIPES["bi-encoder"]
QUICK = {"epochs": 1, "batch_size": 8, "show_progress": False, "device": "cpu"}


def _prepared(dataset, tmp_path, recipe, **settings):
    arguments = TrainingArguments(recipe=recipe, device="cpu", **settings)
    run = validate_run("bi-encoder", dataset, tmp_path / "m", validation=None, arguments=arguments, writes=False)
    return prepare_bi_encoder(run)


def _weights(folder):
    return load_file(next(folder.glob("*.safetensors")))


def _loss_value(stage, rows):
    features = [stage.loss.model.preprocess([stage.prompts[name] + stage.columns[name][row] for row in rows])
                for name in stage.columns]  # fmt: skip
    return stage.loss(features, None).item()


@pytest.mark.parametrize("base", ["scratch", "bare_bert"])
def test_the_loss_of_strong_is_infonce_over_contexts_and_hard_negatives(base, notices, tmp_path, request):
    folder = base if base == "scratch" else str(request.getfixturevalue(base))
    recipe = replace(override_recipe(BI["strong"], negatives=2), mini_batch=2)
    prepared = _prepared(notices, tmp_path, recipe, base=folder, batch_size=8)
    stage, model, rows = prepared.stages[0], prepared.base.model.eval(), [0, 5, 9]
    texts = [[stage.columns[name][row] for row in rows] for name in stage.columns]

    vectors = [model.encode(column, normalize_embeddings=True) for column in texts]
    scores = torch.tensor(vectors[0] @ np.concatenate(vectors[1:]).T) * 20
    by_hand = torch.nn.functional.cross_entropy(scores, torch.arange(3))

    kind = MultipleNegativesRankingLoss if base == "scratch" else CachedMultipleNegativesRankingLoss
    assert isinstance(stage.loss, kind)
    assert list(stage.columns) == ["question", "context", "negative_1", "negative_2"]
    assert _loss_value(stage, rows) == pytest.approx(float(by_hand), abs=1e-4)


def test_a_batch_in_mini_batches_gives_the_gradients_of_the_whole_batch(notices, bare_bert, tmp_path):
    gradients = []
    for mini_batch in (None, 3):
        recipe = replace(BI["strong"], mini_batch=mini_batch)
        prepared = _prepared(notices, tmp_path, recipe, base=str(bare_bert), batch_size=8, seed=1)
        stage = prepared.stages[0]
        prepared.base.model.eval()
        features = [prepared.base.model.preprocess(list(column[:8])) for column in stage.columns.values()]
        stage.loss(features, None).backward()
        gradients.append({name: weight.grad for name, weight in prepared.base.model.named_parameters()})

    whole, parts = gradients
    assert sum(gradient is not None for gradient in whole.values()) > 10
    for name, gradient in whole.items():
        if gradient is not None:
            assert torch.allclose(gradient, parts[name], atol=1e-3), name


def test_matryoshka_sums_the_loss_of_every_length(notices, tmp_path):
    dims = override_recipe(BI["static"], matryoshka_dims=[64, 256])
    full = _prepared(notices, tmp_path, dims, seed=1)
    stage, rows = full.stages[0], [0, 7, 14]
    model = full.base.model

    expected = 0.0
    for length in (512, 256, 64):
        questions, contexts = (
            torch.nn.functional.normalize(torch.tensor(model.encode(texts))[:, :length])
            for texts in ([stage.columns[name][row] for row in rows] for name in ("question", "context"))
        )
        expected += float(torch.nn.functional.cross_entropy(questions @ contexts.T * 20, torch.arange(3)))

    assert isinstance(stage.loss, MatryoshkaLoss)
    assert _loss_value(stage, rows) == pytest.approx(expected, abs=1e-4)


def test_a_length_that_is_not_shorter_than_the_vector_is_refused(notices, tmp_path):
    with pytest.raises(InvalidSetting, match="512 is not shorter"):
        _prepared(notices, tmp_path, override_recipe(BI["static"], matryoshka_dims=[512]))


def test_sts_learns_the_order_of_labels_or_on_request_the_labels_themselves(pairs, tmp_path):
    assert isinstance(_prepared(pairs, tmp_path, "sts").stages[0].loss, CoSENTLoss)
    cosine = override_recipe(BI["sts"], loss="cosine")
    assert isinstance(_prepared(pairs, tmp_path, cosine).stages[0].loss, CosineSimilarityLoss)


def test_no_validation_context_is_a_negative(notices, tmp_path):
    prepared = _prepared(notices, tmp_path, "strong")

    negatives = {text for name, column in prepared.stages[0].columns.items() if "negative" in name for text in column}
    assert negatives
    assert negatives.isdisjoint(prepared.run.validation.contexts)


@pytest.mark.parametrize("recipe", ["strong", "static"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(recipe, notices, tmp_path):
    first, again, other = (
        _weights(
            train_bi_encoder(
                notices, tmp_path / str(number), arguments=TrainingArguments(recipe=recipe, seed=seed, **QUICK)
            ).path
        )
        for number, seed in enumerate((7, 7, 8))
    )

    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_strong_trains_a_transformer_and_its_card_says_how(notices, bare_bert, tmp_path):
    recipe = override_recipe(BI["strong"], negatives=2, matryoshka_dims=[8])
    result = train_bi_encoder(
        notices, tmp_path / "m", arguments=TrainingArguments(base=str(bare_bert), recipe=recipe, max_steps=3, **QUICK)
    )

    card = (result.path / "README.md").read_text(encoding="utf-8")
    assert result.recipe == "strong"
    for said in ("2 hard negatives a row from BM25 and the embedding model", "| may be cut to | 8 |", "no context as"):
        assert said in card
    short = SentenceTransformer(str(result.path), truncate_dim=8)
    assert short.encode("시장").shape == (8,)


def test_sts_runs_on_sentence_pairs(tmp_path):
    result = train_bi_encoder(sentence_pairs(), tmp_path / "m", arguments=TrainingArguments(recipe="sts", **QUICK))

    assert (result.recipe, result.metric) == ("sts", "spearman")


def test_static_goes_on_from_a_static_model_and_from_no_other(notices, bare_bert, tmp_path):
    first = train_bi_encoder(notices, tmp_path / "a", arguments=TrainingArguments(recipe="static", **QUICK))
    second = train_bi_encoder(
        notices, tmp_path / "b", arguments=TrainingArguments(base=str(first.path), recipe="static", **QUICK)
    )

    assert _weights(first.path).keys() == _weights(second.path).keys()
    with pytest.raises(UnsuitableModel, match="no static embedding"):
        train_bi_encoder(
            notices, tmp_path / "c", arguments=TrainingArguments(base=str(bare_bert), recipe="static", **QUICK)
        )


def test_a_filter_without_a_trained_head_is_refused(notices, bare_bert, tmp_path):
    recipe = override_recipe(BI["strong"], cross_encoder_filter=str(bare_bert))
    with pytest.raises(UnsuitableModel, match=r"filter .* is no trained cross-encoder"):
        train_bi_encoder(notices, tmp_path / "m", arguments=TrainingArguments(recipe=recipe, **QUICK))


def test_a_run_that_gains_nothing_stops_early(notices, tmp_path):
    validation = notice_board(PLACES[:8], split="validation")
    training = notice_board(tuple(f"{index} 별관" for index in PLACES))
    result = train_bi_encoder(
        training,
        tmp_path / "m",
        validation=validation,
        arguments=TrainingArguments(recipe="static", learning_rate=1e-9, **QUICK | {"epochs": 20}),
    )

    assert [step for step, _ in result.history] == [0, 8, 16, 24, 32]  # of 80; three measurements with no gain
    assert result.steps == 32


def test_lost_spaces_are_the_same_for_one_question_and_seed():
    questions = ["시장은 언제 여나요?", "극장은 어디 있나요?", "시장은 언제 여나요?"] * 20

    changed = drop_spaces(questions, 0.5, seed=1)

    assert drop_spaces(questions, 0.0, seed=1) == questions
    assert changed == drop_spaces(questions, 0.5, seed=1)
    assert len({new for old, new in zip(questions, changed, strict=True) if old == questions[0]}) == 1
    assert [text.replace(" ", "") for text in changed] == [text.replace(" ", "") for text in questions]


def test_a_share_of_the_questions_loses_spaces():
    questions = [f"{n}번 시장은 언제 여나요?" for n in range(2000)]
    changed = drop_spaces(questions, 0.3, seed=1)

    assert sum(old != new for old, new in zip(questions, changed, strict=True)) == pytest.approx(600, abs=60)
