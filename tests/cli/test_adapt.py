"""`ko-rerank adapt` from the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.errors import InvalidSetting


@pytest.fixture
def invoke():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def _write(folder, files):
    folder.mkdir()
    passages = load_dataset("sample", "train").passages
    for number in range(files):
        parts = [f"# {passage.title}\n\n{passage.text}" for passage in passages[number::files]]
        (folder / f"문서 {number:02}.md").write_text("\n\n".join(parts), encoding="utf-8")
    return folder


def test_adapt_names_what_is_missing(invoke, tmp_path):
    done = invoke("adapt", "--out", tmp_path / "모음")
    assert isinstance(done.exception, InvalidSetting)
    assert "files and folders" in str(done.exception)
    done = invoke("adapt", tmp_path, "--out", tmp_path / "모음", "--llm", "http://localhost:1/v1")
    assert isinstance(done.exception, InvalidSetting)
    assert not (tmp_path / "모음").exists()


@pytest.mark.slow
def test_fifty_markdown_files_become_a_measured_search(invoke, tmp_path):
    documents, out = _write(tmp_path / "문서", 50), tmp_path / "모음"
    done = invoke("adapt", documents, "--out", out)
    assert done.exit_code == 0, done.output
    assert "Made questions are not users' questions" in done.output
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["documents"] == 50
    assert report["embedding"]["kept"] == "trained"
    found = invoke("search", out, "물나래호 편도 요금은 얼마인가요?")
    assert found.exit_code == 0, found.output
    assert "물나래호" in found.output
    again = invoke("index", out, "--source", documents)
    assert "unchanged 50" in again.output
