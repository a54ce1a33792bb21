import json
import shutil

import huggingface_hub.constants
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder.modules import Dense
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import (
    BertForSequenceClassification,
    BertLMHeadModel,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer


def load(name, **settings):
    return load_scorer(ScorerSettings(str(name), "cpu", **settings))


@pytest.fixture
def copied(model, tmp_path):
    """A copy of the good model, to be spoilt."""
    return shutil.copytree(model, tmp_path / "copy")


@pytest.fixture
def offline(monkeypatch):
    """Cut the network off where the hub client reaches for it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


class TestWrongKinds:
    def test_a_model_without_a_head_is_refused(self, save_bert, tmp_path):
        with pytest.raises(UnsuitableModel, match="is BertModel and has no trained classification head"):
            load(save_bert(tmp_path / "bare", BertModel))

    def test_a_model_with_two_labels_is_refused_where_none_is_named(self, save_bert, tmp_path):
        folder = save_bert(tmp_path / "two", num_labels=2)
        with pytest.raises(InvalidSetting, match=r"has 2 labels; say with label= .*: 0 = 'LABEL_0', 1 = 'LABEL_1'"):
            load(folder)
        with pytest.raises(InvalidSetting, match="has no label 'LABEL_2'; did you mean 'LABEL_"):
            load(folder, label="LABEL_2")

    def test_a_generative_model_is_refused(self, save_bert, tmp_path):
        with pytest.raises(UnsuitableModel, match="is BertLMHeadModel, which generates text"):
            load(save_bert(tmp_path / "masked", BertLMHeadModel))
        config = GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2, n_positions=64)
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
        with pytest.raises(UnsuitableModel, match="is GPT2LMHeadModel, which generates text; a reranker"):
            load(tmp_path / "gpt")

    def test_a_classifier_with_more_modules_behind_it_is_refused(self, model, tmp_path):
        built = CrossEncoder(model, device="cpu")
        more = CrossEncoder(modules=[*built, Dense(1, 1, module_input_name="scores", module_output_name="scores")])
        more.save_pretrained(str(tmp_path / "more"))
        with pytest.raises(UnsuitableModel, match="is built of Transformer and Dense"):
            load(tmp_path / "more")

    def test_a_transformer_embedding_is_refused(self, save_bert, tmp_path):
        bare = save_bert(tmp_path / "bare", BertModel)
        SentenceTransformer(str(bare), device="cpu").save(str(tmp_path / "embedding"))
        with pytest.raises(UnsuitableModel, match="is an embedding model; a reranker is a cross-encoder"):
            load(tmp_path / "embedding")

    def test_a_static_embedding_is_refused(self, word_pieces, tmp_path):
        SentenceTransformer(modules=[StaticEmbedding(word_pieces, embedding_dim=8)]).save(str(tmp_path / "static"))
        with pytest.raises(UnsuitableModel, match="is an embedding model; a reranker is a cross-encoder"):
            load(tmp_path / "static")

    def test_a_tokenizer_without_a_pad_token_is_refused(self, save_bert, word_pieces, tmp_path):
        bare = PreTrainedTokenizerFast(tokenizer_object=word_pieces, unk_token="[UNK]", model_max_length=64)
        with pytest.raises(UnsuitableModel, match="has no pad token"):
            load(save_bert(tmp_path / "no pad", tokenizer=bare))

    def test_a_model_that_gives_no_number_is_told_with_the_passage(self, save_bert, tmp_path, texts):
        folder = save_bert(tmp_path / "nan")
        broken = BertForSequenceClassification.from_pretrained(folder)
        torch.nn.init.constant_(broken.classifier.weight, float("nan"))
        broken.save_pretrained(folder)
        with pytest.raises(UnsuitableModel, match=f"gives the logit nan for the passage '{texts[0]}'"):
            load(folder).logits("연차", texts)


class TestBrokenFolders:
    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(UnsuitableModel, match=r"holds no model: it has no config\.json"):
            load(tmp_path)

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("config.json", "{", "not a valid JSON"),
            ("config.json", "{}", "copy"),
            ("modules.json", "[", "does not load"),
            ("model.safetensors", None, "no file named model.safetensors"),
            ("model.safetensors", "", "does not load"),
            ("model.safetensors", "x" * 1000, "does not load"),
        ],
    )
    def test_a_damaged_or_missing_file_is_told(self, copied, name, content, reason):
        if content is None:
            (copied / name).unlink()
        else:
            (copied / name).write_text(content, encoding="utf-8")
        with pytest.raises(UnsuitableModel, match=reason):
            load(copied)

    def test_truncated_weights_are_told(self, copied):
        weights = copied / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(UnsuitableModel, match="does not load as a cross-encoder"):
            load(copied)

    def test_weights_of_another_shape_are_told(self, copied):
        config = json.loads((copied / "config.json").read_text(encoding="utf-8"))
        (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 64}), encoding="utf-8")
        with pytest.raises(UnsuitableModel, match="does not load as a cross-encoder"):
            load(copied)

    def test_pickled_weights_are_not_read(self, copied):
        (copied / "model.safetensors").unlink()
        torch.save({"classifier.bias": torch.zeros(1)}, copied / "pytorch_model.bin")
        with pytest.raises(UnsuitableModel, match="cannot be read"):
            load(copied)

    def test_a_tokenizer_that_knows_no_words_is_told(self, copied):
        for path in copied.glob("tokenizer*"):
            path.unlink()
        with pytest.raises(UnsuitableModel, match="knows no words"):
            load(copied)

    def test_a_device_that_does_not_exist_is_told(self, model):
        with pytest.raises(UnsuitableModel, match="does not load as a cross-encoder"):
            load_scorer(ScorerSettings(model, "toaster"))


class TestOutOfReach:
    @pytest.mark.parametrize("name", ["nobody/no-such-model", "klue/roberta-small", "no-such-name"])
    def test_a_name_that_is_not_cached_is_not_looked_for_where_that_is_forbidden(self, name):
        with pytest.raises(ModelNotFound, match="local_files_only forbids the hub"):
            load(name, local_files_only=True)

    def test_a_path_that_does_not_exist_is_told(self, tmp_path):
        with pytest.raises(ModelNotFound, match="is no folder and not in the local cache"):
            load(tmp_path / "nowhere", local_files_only=True)

    @pytest.mark.parametrize("name", ["nobody/no-such-model", "ko-reranker"])
    def test_with_no_network_the_way_out_is_named(self, offline, name):
        with pytest.raises(ModelNotFound, match="with no network, pass the folder of a model on this machine"):
            load(name)

    def test_a_path_that_does_not_exist_is_told_with_no_network_too(self, offline, tmp_path):
        with pytest.raises(ModelNotFound, match="nowhere"):
            load(tmp_path / "nowhere")

    def test_a_file_is_no_model(self, tmp_path):
        path = tmp_path / "model.txt"
        path.write_text("no model", encoding="utf-8")
        with pytest.raises(ModelNotFound, match="is no folder"):
            load(path)

    def test_a_folder_needs_no_network(self, offline, model, texts):
        assert len(load(model).logits("연차", texts)) == len(texts)

    def test_what_could_not_be_loaded_is_tried_again(self, model, tmp_path):
        with pytest.raises(ModelNotFound):
            load(tmp_path / "late", local_files_only=True)
        shutil.copytree(model, tmp_path / "late")
        assert load(tmp_path / "late", local_files_only=True).max_length == 64
