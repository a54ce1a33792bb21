import hashlib
import json
import shutil
import subprocess
import sys

import pytest
from llama_index.core import MockEmbedding
from llama_index.core.embeddings import BaseEmbedding

from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity, identity_differences
from llama_index_ko_rerank.errors import UnsuitableModel
from tests.embed.tiny_models import save_sentence_model, save_static_model


def identity_of(folder, **settings):
    return embedding_identity(KoreanEmbedding(folder, device="cpu", **settings))


@pytest.mark.parametrize("folder_name", ["mean_folder", "static_folder"])
def test_an_identity_is_json_and_names_what_decides_a_vector(folder_name, request):
    folder = request.getfixturevalue(folder_name)
    identity = identity_of(folder)
    assert json.loads(json.dumps(identity)) == identity
    assert identity["name"] == folder.name
    assert str(folder.parent) not in json.dumps(identity)
    assert {"fingerprint", "dimension", "query_prompt", "passage_prompt", "pooling", "max_length"} < identity.keys()
    assert identity["normalized"] is True


@pytest.mark.slow
def test_equal_models_are_equal_in_another_process_and_another_folder(mean_folder, tmp_path):
    copied = shutil.copytree(mean_folder, tmp_path / mean_folder.name)
    program = (
        "import json, sys; from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity; "
        "print(json.dumps(embedding_identity(KoreanEmbedding(sys.argv[1], device='cpu'))))"
    )
    other = subprocess.run([sys.executable, "-c", program, str(copied)], capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == identity_of(mean_folder)


def test_a_renamed_folder_holds_the_same_model(mean_folder, tmp_path):
    renamed = identity_of(shutil.copytree(mean_folder, tmp_path / "renamed"))
    assert renamed["name"] == "renamed"
    assert identity_differences(identity_of(mean_folder), renamed) == ()


def test_a_retrained_model_is_another_one(tmp_path):
    first = identity_of(save_static_model(tmp_path / "first" / "model", seed=0))
    second = identity_of(save_static_model(tmp_path / "second" / "model", seed=1))
    assert identity_differences(first, second) == ("fingerprint",)


def test_another_tokenizer_is_another_model(static_folder, tmp_path):
    folder = shutil.copytree(static_folder, tmp_path / static_folder.name)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    assert identity_differences(identity_of(static_folder), identity_of(folder)) == ("fingerprint",)


@pytest.mark.parametrize(
    ("settings", "differing"),
    [
        ({"query_instruction": "q "}, ("query_prompt",)),
        ({"text_instruction": ""}, ("passage_prompt",)),
        ({"pooling": "cls"}, ("pooling",)),
        ({"pooling": "mean"}, ()),
        ({"max_length": 32}, ("max_length",)),
        ({"dtype": "bfloat16"}, ()),
        ({"embed_batch_size": 3}, ()),
    ],
)
def test_settings_that_change_vectors_change_the_identity_and_others_do_not(mean_folder, settings, differing):
    assert identity_differences(identity_of(mean_folder), identity_of(mean_folder, **settings)) == differing


def test_notes_checkpoints_and_exports_beside_a_model_do_not_change_it(mean_folder, tmp_path):
    folder = shutil.copytree(mean_folder, tmp_path / mean_folder.name)
    (folder / "README.md").write_text("another card", encoding="utf-8")
    for leftover in ("checkpoint-100", "onnx", ".git"):
        (folder / leftover).mkdir()
        shutil.copy(folder / "config.json", folder / leftover / "config.json")
    assert identity_of(folder) == identity_of(mean_folder)


def test_a_model_that_was_trained_on_after_loading_is_not_identified_as_the_new_one(tmp_path):
    folder = save_sentence_model(tmp_path / "model")
    loaded = KoreanEmbedding(folder, device="cpu")
    save_static_model(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(UnsuitableModel, match="changed after the model was loaded"):
        embedding_identity(loaded)
    shutil.rmtree(folder)
    with pytest.raises(UnsuitableModel, match="removed after the model was loaded"):
        embedding_identity(loaded)


def test_an_identity_that_was_asked_before_stays_after_the_folder_is_gone(tmp_path):
    loaded = KoreanEmbedding(save_static_model(tmp_path / "model"), device="cpu")
    identity = embedding_identity(loaded)
    shutil.rmtree(tmp_path / "model")
    assert embedding_identity(loaded) == identity


def test_a_download_and_a_copy_of_it_are_the_same_model(static_folder, tmp_path):
    repository = tmp_path / "models--somebody--static"
    snapshot = repository / "snapshots" / ("b" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for file in static_folder.iterdir():  # the hub's client keeps a file under its sha256 and links to it
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(blob)
    downloaded = identity_of("somebody/static", cache_folder=str(tmp_path), local_files_only=True, revision="b" * 40)
    assert downloaded["name"] == "somebody/static"
    assert identity_differences(downloaded, identity_of(static_folder)) == ()


def test_of_another_embedding_the_class_the_name_and_the_dimension_are_known():
    assert embedding_identity(MockEmbedding(embed_dim=8)) == {
        "class_name": "MockEmbedding",
        "model_name": "unknown",
        "dimension": 8,
    }


class ElsewhereEmbedding(BaseEmbedding):
    """An embedding of somebody else that says nothing of its dimension."""

    def _get_query_embedding(self, query):
        return [1.0]

    async def _aget_query_embedding(self, query):
        return [1.0]

    def _get_text_embedding(self, text):
        return [1.0]


def test_the_folder_of_another_embedding_is_named_without_its_place(tmp_path):
    (tmp_path / "somewhere").mkdir()
    identity = embedding_identity(ElsewhereEmbedding(model_name=str(tmp_path / "somewhere")))
    assert identity == {"class_name": "base_component", "model_name": "somewhere", "dimension": None}


def test_another_model_differs_in_every_key_that_one_of_them_has(mean_folder):
    differing = identity_differences(identity_of(mean_folder), embedding_identity(MockEmbedding(embed_dim=8)))
    assert {"class_name", "dimension", "fingerprint", "model_name", "name"} <= set(differing)


def test_naming_the_model_loads_no_torch():
    program = (
        "import sys; import llama_index_ko_rerank.embed as embed; heavy = {'torch', 'transformers', 'llama_index'}; "
        "assert not heavy & sys.modules.keys(); assert 'KoreanEmbedding' in dir(embed); embed.embedding_identity; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import llama_index_ko_rerank.embed as embed

    with pytest.raises(AttributeError, match="no attribute 'Embedding'"):
        embed.Embedding  # noqa: B018
