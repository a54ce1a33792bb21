"""`ko-rerank fit` and `ko-rerank explain` on the sample."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting


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


def test_fit_without_a_collection_asks_for_the_model(invoke, tmp_path):
    done = invoke("fit", "--data", "sample", "--split", "train", "--out", tmp_path / "none")
    assert isinstance(done.exception, InvalidSetting)
    assert "--embed-model" in str(done.exception)


def test_fit_refuses_too_few_questions(invoke, pairs_file, static_model, tmp_path):
    done = invoke("fit", "--data", f"pairs:{pairs_file}", "--out", tmp_path / "c", "--embed-model", static_model)
    assert isinstance(done.exception, EmptyCorpus)
    assert "100 questions" in str(done.exception)
