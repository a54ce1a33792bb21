import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import BertModel

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder, train_cross_encoder
from llama_index_ko_rerank.train.models import loading
from llama_index_ko_rerank.train.models.loading import bi_encoder_base, shape_transformer

QUICK = {"max_steps": 2, "show_progress": False, "device": "cpu"}
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def deep_bert(bare_bert, tmp_path):
    """The bare BERT with five layers."""
    from transformers import AutoTokenizer

    config = BertModel.from_pretrained(bare_bert).config
    config.num_hidden_layers = 5
    BertModel(config).save_pretrained(tmp_path / "deep")
    AutoTokenizer.from_pretrained(bare_bert).save_pretrained(tmp_path / "deep")
    return str(tmp_path / "deep")


def shaped(folder, **options):
    base = bi_encoder_base(folder, texts=(), pooling=None, device="cpu", seed=1)
    return shape_transformer(base, **{"layers": None, "train_embeddings": None, "device": "cpu"} | options)


def words_of(folder):
    weights = load_file(next(folder.rglob("model.safetensors")))
    return next(value for name, value in weights.items() if name.endswith(WORDS))


def test_three_layers_of_five_are_the_first_the_middle_and_the_last(deep_bert):
    whole = BertModel.from_pretrained(deep_bert).encoder.layer
    backbone = shaped(deep_bert, layers=3).model.transformers_model

    assert backbone.config.num_hidden_layers == len(backbone.encoder.layer) == 3
    for kept, index in zip(backbone.encoder.layer, (0, 2, 4), strict=True):
        assert torch.equal(kept.output.dense.weight, whole[index].output.dense.weight)


def test_a_model_of_fewer_layers_is_trained_written_and_loaded(notices, deep_bert, tmp_path):
    arguments = TrainingArguments(base=deep_bert, layers=2, **QUICK)
    result = train_bi_encoder(notices, tmp_path / "model", arguments=arguments)

    assert SentenceTransformer(str(result.path)).transformers_model.config.num_hidden_layers == 2
    assert "layers kept of the base | 2" in (result.path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("train", [train_bi_encoder, train_cross_encoder])
def test_frozen_word_embeddings_keep_their_weights_and_the_rest_learns(train, notices, bare_bert, tmp_path):
    before = BertModel.from_pretrained(bare_bert).state_dict()
    arguments = TrainingArguments(base=str(bare_bert), train_embeddings=False, learning_rate=0.01, **QUICK)
    result = train(notices, tmp_path / "model", arguments=arguments)

    after = {name.removeprefix("bert."): value for name, value in load_file(result.path / "model.safetensors").items()}
    assert torch.equal(after[WORDS], before[WORDS])
    if result.best_step:
        assert any(not torch.equal(after[name], value) for name, value in before.items() if name in after)


def test_the_optimizer_keeps_no_state_for_frozen_word_embeddings(notices, bare_bert, tmp_path):
    sizes = {}
    for train_embeddings in (True, False):
        folder = tmp_path / str(train_embeddings)
        arguments = TrainingArguments(
            base=str(bare_bert), train_embeddings=train_embeddings, keep_checkpoints=True, **QUICK
        )
        train_bi_encoder(notices, folder, arguments=arguments)
        state = torch.load(max(folder.glob("checkpoints/*/optimizer.pt")), weights_only=True)["state"]
        sizes[train_embeddings] = [tuple(entry["exp_avg"].shape) for entry in state.values()]

    words = tuple(BertModel.from_pretrained(bare_bert).embeddings.word_embeddings.weight.shape)
    assert words in sizes[True]
    assert words not in sizes[False]
    assert len(sizes[True]) == len(sizes[False]) + 1


def test_large_word_embeddings_are_frozen_on_a_processor_unless_train_embeddings_is_set(bare_bert, monkeypatch):
    assert not shaped(str(bare_bert)).has_frozen_embeddings
    monkeypatch.setattr(loading, "LARGE_EMBEDDINGS", 100)
    assert shaped(str(bare_bert)).has_frozen_embeddings
    assert not shaped(str(bare_bert), device="cuda").has_frozen_embeddings
    assert not shaped(str(bare_bert), train_embeddings=True).has_frozen_embeddings


@pytest.mark.parametrize("layers", [0, 1, 6])
def test_a_number_of_layers_out_of_range_is_refused(deep_bert, layers):
    with pytest.raises(InvalidSetting, match="layers must be 2 to the 5"):
        shaped(deep_bert, layers=layers)


def test_a_base_without_pretrained_layers_is_refused(notices, tmp_path):
    arguments = TrainingArguments(layers=2, **QUICK)
    with pytest.raises(InvalidSetting, match="no pretrained transformer"):
        train_bi_encoder(notices, tmp_path / "model", arguments=arguments)
    with pytest.raises(InvalidSetting, match="no pretrained transformer"):
        train_cross_encoder(notices, tmp_path / "model", arguments=arguments)


def test_pooling_is_refused_for_a_cross_encoder(notices, tmp_path):
    with pytest.raises(InvalidSetting, match="pooling='cls' belongs to embedding models"):
        train_cross_encoder(notices, tmp_path / "model", arguments=TrainingArguments(pooling="cls", **QUICK))
