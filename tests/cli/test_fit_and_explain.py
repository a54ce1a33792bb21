"""`ko-rerank fit` and `ko-rerank explain` on the sample."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.errors import EmptyCorpus
from llama_index_ko_rerank.train.models.scratch import SmallBertSettings, small_cross_encoder


@pytest.fixture
def invoke():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_fit_makes_a_collection_and_keeps_only_what_helps(invoke, static_model, tmp_path):
    collection = tmp_path / "sample"
    fitting = ("fit", "--data", "sample", "--split", "train", "--out", collection)
    done = invoke(*fitting, "--embed-model", static_model)
    assert done.exit_code == 0, done.output
    settings = json.loads((collection / "ko-rerank.json").read_text(encoding="utf-8"))
    assert settings["weights"]["lexical"] >= 0.5  # an embedding of random letters must not outweigh the words
    assert settings["ranker"] in (None, "default", "ranker.json")
    assert "held-out gains over 378 questions" in done.output
    for part in ("fusion", "default ranker", "fitted ranker"):
        assert part in done.output

    explained = invoke("explain", collection, "물나래호 편도 요금은 얼마인가요?")
    assert explained.exit_code == 0, explained.output
    assert "다올섬 여객선 배편" in explained.output
    assert "물나래호" in explained.output
    assert "lexical 1" in explained.output


@pytest.mark.slow
def test_fit_tries_a_cross_encoder_and_says_what_became_of_it(invoke, static_model, tmp_path):
    texts = [passage.text for passage in load_dataset("sample", "validation").passages]
    settings = SmallBertSettings(layers=2, hidden=16, heads=2, intermediate=16, positions=64)
    model = tmp_path / "cross-encoder"
    small_cross_encoder(texts, seed=0, settings=settings).save_pretrained(str(model))
    collection = tmp_path / "sample"
    fitting = ("fit", "--data", "sample", "--split", "validation", "--out", collection, "--embed-model", static_model)
    done = invoke(*fitting, "--rerank-model", model)
    assert done.exit_code == 0, done.output
    assert "cross-encoder:" in done.output
    settings = json.loads((collection / "ko-rerank.json").read_text(encoding="utf-8"))
    if settings["rerank_model"]:
        assert "kept: the cross-encoder" in done.output
        assert settings["ranker"] is None
    else:
        assert "left out: the cross-encoder" in done.output.replace("\n", " ")
        assert settings["retrieval_weight"] == 0


@pytest.mark.slow
def test_fit_without_a_collection_makes_one_with_the_embedding_in_the_wheel(invoke, tmp_path):
    done = invoke("fit", "--data", "sample", "--split", "train", "--out", tmp_path / "new")
    assert done.exit_code == 0, done.output
    settings = json.loads((tmp_path / "new" / "ko-rerank.json").read_text(encoding="utf-8"))
    assert settings["embed_model"] == "ko-static"


def test_fit_refuses_too_few_questions(invoke, pairs_file, static_model, tmp_path):
    done = invoke("fit", "--data", f"pairs:{pairs_file}", "--out", tmp_path / "c", "--embed-model", static_model)
    assert isinstance(done.exception, EmptyCorpus)
    assert "100 questions" in str(done.exception)
