"""A language model as an embedding model, on a random Mistral of two layers."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import InvalidSetting, MissingExtra, UnsuitableModel
from llama_index_ko_rerank.train import RECIPES, TrainingArguments, override_recipe, train_bi_encoder
from llama_index_ko_rerank.train.bi_encoder import ranking_loss
from llama_index_ko_rerank.train.models.loading import bi_encoder_base
from llama_index_ko_rerank.train.models.lora import merge_adapters, prepare_decoder
from tests.corpora.training import PLACES, notice_board

pytest.importorskip("peft")

RECIPE = override_recipe(RECIPES["bi-encoder"]["e5-mistral"], negatives=2, instruction="질문: ", lora_rank=4)
TEXTS = ["시장", "도서관은 아침 6시에 열고 월요일에는 쉰다.", "온천 입장료"]
QUICK = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "warmup_steps": 2,
    "show_progress": False,
    "device": "cpu",
}


@pytest.fixture
def prepared(tiny_mistral):
    base = bi_encoder_base(str(tiny_mistral), texts=(), pooling="lasttoken", device="cpu", seed=1)
    return prepare_decoder(base, RECIPE, seed=1)


def _weights(folder):
    return load_file(next(folder.glob("*.safetensors")))


def test_the_vector_of_a_text_is_that_of_its_last_token_under_either_padding(prepared):
    model = prepared.model
    expected = []
    for text in TEXTS:
        ids = model.tokenizer(text, return_tensors="pt")["input_ids"]
        assert ids[0, -1] == model.tokenizer.eos_token_id
        with torch.no_grad():
            expected.append(model.transformers_model.eval()(input_ids=ids).last_hidden_state[0, -1].numpy())

    for side in ("right", "left"):
        model.tokenizer.padding_side = side
        assert model.encode(TEXTS) == pytest.approx(np.stack(expected), abs=1e-5)


def test_a_text_that_is_cut_still_ends_with_the_end_token(prepared):
    model = prepared.model
    model.max_seq_length = 6
    ids = model.preprocess(["시장 극장 온천 서점 공원 도서관 박물관"])["input_ids"]

    assert ids.shape == (1, 6)
    assert ids[0, -1] == model.tokenizer.eos_token_id


def test_new_adapters_change_no_vector_and_only_they_learn(prepared, tiny_mistral):
    plain = bi_encoder_base(str(tiny_mistral), texts=(), pooling="lasttoken", device="cpu", seed=1).model
    plain.tokenizer.backend_tokenizer.post_processor = prepared.model.tokenizer.backend_tokenizer.post_processor

    assert prepared.model.encode(TEXTS) == pytest.approx(plain.encode(TEXTS), abs=1e-6)
    learning = [name for name, weight in prepared.model.named_parameters() if weight.requires_grad]
    assert len(learning) == 2 * 2 * 7  # two matrices for each of seven linear layers in each of two layers
    assert all("lora_" in name for name in learning)


def test_merged_adapters_give_the_same_vectors_and_leave_a_plain_model(prepared):
    with torch.no_grad():
        for name, weight in prepared.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(len(name)))
    before = prepared.model.encode(TEXTS)

    merge_adapters(prepared.model)

    assert prepared.model.encode(TEXTS) == pytest.approx(before, abs=1e-4)
    assert not any("lora" in name for name, _ in prepared.model.named_parameters())


def test_a_backbone_in_16_bits_stays_so_and_its_adapters_learn_in_32(tiny_mistral, notices):
    base = bi_encoder_base(str(tiny_mistral), texts=(), pooling="lasttoken", device="cpu", seed=1, dtype="bfloat16")
    model = prepare_decoder(base, RECIPE, seed=1).model
    loss = ranking_loss(model, RECIPE, 8)
    features = [model.preprocess([pair[side] for pair in notices.pairs()[:8]]) for side in (0, 1)]
    value = loss(features, None)
    value.backward()

    assert value.dtype == torch.float32
    for name, weight in model.named_parameters():
        assert weight.dtype == (torch.float32 if "lora_" in name else torch.bfloat16)
    assert sum(bool(weight.grad.abs().sum() > 0) for name, weight in model.named_parameters() if "lora_B" in name) == 14


def test_training_lowers_the_loss_and_the_adapters_reload_with_their_backbone(tiny_mistral, tmp_path):
    validation = notice_board(PLACES, split="validation")
    indices = tuple(f"{index} 별관" for index in PLACES)
    result = train_bi_encoder(
        notice_board(indices),
        tmp_path / "model",
        validation=validation,
        arguments=TrainingArguments(base=str(tiny_mistral), recipe=RECIPE, seed=2, **QUICK),
    )

    before, after = (_loss(folder, notice_board(indices)) for folder in (tiny_mistral, result.path))
    assert after < before - 0.1
    assert set(_weights(result.path)) == {name for name in _weights(result.path) if "lora_" in name}
    assert json.loads((result.path / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_mistral)
    embedding = KoreanEmbedding(result.path)
    assert embedding.query_instruction == "질문: "
    trained = SentenceTransformer(str(result.path))
    vector = trained.encode_query("시장은 몇 시에 여나요?", normalize_embeddings=True)
    assert embedding.get_query_embedding("시장은 몇 시에 여나요?") == pytest.approx(vector, abs=1e-5)
    assert "rank 4, alpha 8, beside the backbone" in (result.path / "README.md").read_text(encoding="utf-8")


def test_a_merged_model_needs_no_backbone_and_has_the_vectors_of_its_adapters(notices, tiny_mistral, tmp_path):
    short = {**QUICK, "max_steps": 2}
    apart = train_bi_encoder(
        notices, tmp_path / "a", arguments=TrainingArguments(base=str(tiny_mistral), recipe=RECIPE, **short)
    )
    merged = train_bi_encoder(
        notices,
        tmp_path / "b",
        arguments=TrainingArguments(
            base=str(tiny_mistral), recipe=override_recipe(RECIPE, merge_adapter=True), **short
        ),
    )

    assert not (merged.path / "adapter_config.json").exists()
    first, second = (SentenceTransformer(str(result.path)).encode(TEXTS) for result in (apart, merged))
    assert first == pytest.approx(second, abs=1e-4)


def test_the_same_seed_gives_the_same_adapters_bit_for_bit(notices, tiny_mistral, tmp_path):
    first, again = (
        _weights(
            train_bi_encoder(
                notices,
                tmp_path / name,
                arguments=TrainingArguments(base=str(tiny_mistral), recipe=RECIPE, seed=4, **{**QUICK, "max_steps": 2}),
            ).path
        )
        for name in "ab"
    )

    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_model_that_reads_both_ways_is_no_language_model(notices, bare_bert, tmp_path):
    with pytest.raises(UnsuitableModel, match="no language model"):
        train_bi_encoder(
            notices, tmp_path / "model", arguments=TrainingArguments(base=str(bare_bert), recipe=RECIPE, **QUICK)
        )


def test_a_language_model_does_not_start_from_nothing(notices, tmp_path):
    with pytest.raises(InvalidSetting, match="needs a trained base"):
        train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(recipe="e5-mistral", **QUICK))


def test_another_pooling_than_the_last_token_is_refused(notices, tiny_mistral, tmp_path):
    with pytest.raises(InvalidSetting, match="pools the last token"):
        train_bi_encoder(
            notices,
            tmp_path / "m",
            arguments=TrainingArguments(base=str(tiny_mistral), recipe="e5-mistral", pooling="mean", **QUICK),
        )


def test_without_peft_the_extra_is_named_before_any_work(notices, tiny_mistral, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(MissingExtra, match=r"llama-index-ko-rerank\[train\]"):
        train_bi_encoder(
            notices, tmp_path / "model", arguments=TrainingArguments(base=str(tiny_mistral), recipe=RECIPE, **QUICK)
        )


def _loss(folder, dataset):
    """InfoNCE of questions over all contexts at the recipe's temperature, by hand."""
    model = SentenceTransformer(str(folder))
    if folder.name == "tiny-mistral":
        base = bi_encoder_base(str(folder), texts=(), pooling="lasttoken", device="cpu", seed=1)
        model = prepare_decoder(base, RECIPE, seed=1).model
    questions = model.encode_query([pair.question for pair in dataset.pairs()], normalize_embeddings=True)
    contexts = model.encode_document([passage.text for passage in dataset.passages], normalize_embeddings=True)
    scores = torch.tensor(questions @ contexts.T) * RECIPE.scale
    own = torch.tensor([row // 2 for row in range(len(questions))])
    return float(torch.nn.functional.cross_entropy(scores, own))
