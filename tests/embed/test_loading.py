import json
import re
import shutil

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from llama_index_ko_rerank.catalog import find_model
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.embed.loading import find_model_folder
from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound, UnsuitableModel
from tests.embed.tiny_models import save_sentence_model

COMMIT = "a" * 40


@pytest.fixture
def damaged(mean_folder, tmp_path):
    """A copy of a good model, to be damaged."""
    return shutil.copytree(mean_folder, tmp_path / "model")


def cut_in_half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def hub_cache(cache, name, model, *, commit=COMMIT):
    """Lay a model out as the hub's client keeps it after a download."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    return cache


# Names


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_refused(name):
    with pytest.raises(InvalidSetting, match="model_name is empty"):
        find_model_folder(name)


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "models/deep/er", "~/no-such-model"])
def test_a_path_that_does_not_exist_is_not_asked_of_the_hub(name):
    with pytest.raises(ModelNotFound, match=re.escape(f"no folder and no catalog model {name!r}")):
        find_model_folder(name)


def test_a_misspelt_short_name_gets_the_nearest_one():
    with pytest.raises(ModelNotFound, match="did you mean 'kr-sbert'"):
        find_model_folder("kr-sbrt")


def test_a_reranker_of_the_catalog_is_sent_to_its_own_class():
    with pytest.raises(UnsuitableModel, match=r"is a reranker.*CrossEncoderNodePostprocessor"):
        KoreanEmbedding("ko-reranker")


def test_a_folder_of_the_same_name_wins_over_the_catalog(mean_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(mean_folder, tmp_path / "kure")
    folder = find_model_folder("kure")
    assert (folder.is_local, folder.name, folder.catalog) == (True, "kure", None)
    assert folder.query_prompt == "query: "


# The hub


def test_a_hub_out_of_reach_says_what_was_tried_and_that_a_folder_works(monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise LocalEntryNotFoundError("Got: ConnectError: no route\nmore lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(ModelNotFound) as caught:
        KoreanEmbedding("nlpai-lab/KURE-v1")
    message = str(caught.value)
    for part in ("'nlpai-lab/KURE-v1'", "no folder of that name", "model hub", "no route", "local folder works too"):
        assert part in message
    assert "more lines" not in message
    assert isinstance(caught.value, OSError)


def test_a_misspelt_hub_name_gets_the_nearest_catalog_name(monkeypatch):
    def missing(*_args, **_kwargs):
        raise OSError("404 Client Error")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", missing)
    with pytest.raises(ModelNotFound, match="did you mean 'dragonkue/BGE-m3-ko'"):
        find_model_folder("dragonkue/BGE-m3-kor")
    with pytest.raises(ModelNotFound) as caught:
        find_model_folder("somebody/quite-another-model")
    assert "did you mean" not in str(caught.value)


def test_a_connection_that_breaks_is_said_to_be_out_of_reach(monkeypatch):
    broken = HfHubHTTPError.__mro__[1]("the connection broke")  # the client library's own error

    def unreachable(*_args, **_kwargs):
        raise broken

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(ModelNotFound, match="the connection broke"):
        find_model_folder("nlpai-lab/KURE-v1")


def test_without_the_network_only_earlier_downloads_are_looked_at(tmp_path):
    with pytest.raises(ModelNotFound, match="in the downloads on this machine"):
        KoreanEmbedding("nlpai-lab/KURE-v1", local_files_only=True, cache_folder=str(tmp_path))


def test_an_earlier_download_loads_without_the_network(mean_folder, tmp_path):
    cache = hub_cache(tmp_path, "somebody/model", mean_folder)
    model = KoreanEmbedding("somebody/model", local_files_only=True, cache_folder=str(cache), device="cpu")
    local = KoreanEmbedding(mean_folder, device="cpu")
    assert (model.model_name, model.query_instruction) == ("somebody/model", "query: ")
    assert model.get_query_embedding("서울") == local.get_query_embedding("서울")
    assert model.identity["fingerprint"] == local.identity["fingerprint"]
    assert KoreanEmbedding.from_json(model.to_json()).to_dict() == model.to_dict()


def test_the_catalog_gives_prompts_commit_and_pooling_for_its_models(bert_folder, tmp_path):
    catalog = find_model("dragonkue/multilingual-e5-small-ko")
    cache = hub_cache(tmp_path, catalog.name, bert_folder, commit=catalog.revision)
    model = KoreanEmbedding("e5-small-ko", local_files_only=True, cache_folder=str(cache), device="cpu")
    assert model.model_name == catalog.name == model.identity["name"]
    assert (model.query_instruction, model.text_instruction) == ("query: ", "passage: ")
    assert model.revision == catalog.revision
    assert model.identity["pooling"] == "mean"
    assert KoreanEmbedding.from_dict(model.to_dict()).to_dict() == model.to_dict()


def test_a_bare_checkpoint_is_pooled_as_the_catalog_says(bert_folder, tmp_path):
    catalog = find_model("nlpai-lab/KURE-v1")
    cache = hub_cache(tmp_path, catalog.name, bert_folder, commit=catalog.revision)
    model = KoreanEmbedding("kure", local_files_only=True, cache_folder=str(cache), device="cpu")
    assert (model.pooling, model.identity["pooling"]) == (None, "cls")


def test_the_hub_is_asked_for_a_pinned_commit_and_never_for_pickles_or_code(mean_folder, monkeypatch):
    asked = {}

    def downloaded(name, **kwargs):
        asked.update(kwargs, name=name)
        return str(mean_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", downloaded)
    find_model_folder("bge-m3")
    assert (asked["name"], asked["revision"]) == ("BAAI/bge-m3", find_model("bge-m3").revision)
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in asked["allow_patterns"])
    find_model_folder("bge-m3", revision="main", trust_remote_code=True)
    assert asked["revision"] == "main"
    assert "*.py" in asked["allow_patterns"]


@pytest.mark.network
def test_a_catalog_model_loads_from_the_hub():
    model = KoreanEmbedding("e5-small-ko", device="cpu")
    assert model.dimension == find_model("e5-small-ko").dimension


# Folders that hold no embedding model


def test_a_folder_without_a_model_says_what_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UnsuitableModel, match=r"holds no model: neither modules\.json nor config\.json.*notes\.txt"):
        KoreanEmbedding(tmp_path)


def test_a_file_is_no_folder(mean_folder):
    with pytest.raises(UnsuitableModel, match="is a file"):
        KoreanEmbedding(mean_folder / "config.json")


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder"])
def test_a_model_of_another_kind_is_refused(damaged, kind):
    change_json(damaged / "config_sentence_transformers.json", model_type=kind)
    with pytest.raises(UnsuitableModel, match="cross-encoder" if kind == "CrossEncoder" else "SparseEncoder"):
        KoreanEmbedding(damaged)


def test_a_bare_cross_encoder_is_refused(bert_folder, tmp_path):
    folder = shutil.copytree(bert_folder, tmp_path / "model")
    change_json(folder / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(UnsuitableModel, match="CrossEncoderNodePostprocessor"):
        KoreanEmbedding(folder)


def test_pickled_weights_are_never_read(damaged):
    (damaged / "model.safetensors").rename(damaged / "pytorch_model.bin")
    with pytest.raises(UnsuitableModel, match="only safetensors is loaded"):
        KoreanEmbedding(damaged)


def test_pickled_weights_of_one_module_are_never_read(damaged):
    (damaged / "2_Dense").mkdir()
    (damaged / "2_Dense" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UnsuitableModel, match="only safetensors is loaded"):
        KoreanEmbedding(damaged)


DAMAGE = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "cut weights": lambda folder: cut_in_half(folder / "model.safetensors"),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "a pointer to weights": lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"),
    "weights of another size": lambda folder: change_json(folder / "config.json", hidden_size=64),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "a cut tokenizer": lambda folder: cut_in_half(folder / "tokenizer.json"),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
    "a cut configuration": lambda folder: cut_in_half(folder / "config.json"),
    "a configuration that is a list": lambda folder: (folder / "config.json").write_text("[]"),
    "cut modules": lambda folder: cut_in_half(folder / "modules.json"),
    "no modules": lambda folder: (folder / "modules.json").write_text("[]"),
    "a module elsewhere": lambda folder: (folder / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "somebody.code.Module"}]'
    ),
    "no pooling": lambda folder: shutil.rmtree(folder / "1_Pooling"),
    "prompts that are a list": lambda folder: change_json(folder / "config_sentence_transformers.json", prompts=["a"]),
}


@pytest.mark.parametrize("what", sorted(DAMAGE))
def test_a_damaged_folder_is_refused_by_its_name(damaged, what):
    DAMAGE[what](damaged)
    with pytest.raises(UnsuitableModel, match=re.escape(str(damaged))):
        KoreanEmbedding(damaged, device="cpu")


def test_a_static_folder_with_a_damaged_tokenizer_is_refused(static_folder, tmp_path):
    folder = shutil.copytree(static_folder, tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UnsuitableModel, match="cannot be loaded"):
        KoreanEmbedding(folder, device="cpu")


def test_nothing_is_printed_while_a_model_loads(tmp_path, capfd):
    folder = save_sentence_model(tmp_path / "model")
    capfd.readouterr()
    KoreanEmbedding(folder, device="cpu").get_text_embedding("서울")
    assert capfd.readouterr() == ("", "")
