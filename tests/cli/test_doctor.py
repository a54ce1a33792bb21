"""`ko-rerank doctor`: what is damaged, what would be made again, and the repair."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.collection import index_folder, lexical_folder
from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound
from tests.corpora.cli import RULES


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def collection(run, static_model, tmp_path):
    files = tmp_path / "문서"
    files.mkdir()
    for number, text in enumerate(RULES):
        (files / f"규정{number}.md").write_text(text, encoding="utf-8")
    folder = tmp_path / "모음"
    assert run("index", folder, "--source", files, "--embed-model", static_model).exit_code == 0
    return folder


def test_a_whole_collection_is_described(run, collection, static_model):
    done = run("doctor", collection)
    assert done.exit_code == 0, done.output
    for part in (str(static_model), "4, generation 2", "16-d float32", "lexical snapshot  current", "nodes.sqlite3"):
        assert part in done.output
    assert "nothing is damaged" in done.output


def test_a_snapshot_that_is_only_gone_is_no_damage_and_what_is_made_again_is_said(run, collection):
    shutil.rmtree(lexical_folder(collection))
    done = run("doctor", collection)
    assert done.exit_code == 0
    assert "missing: the next opening tokenises 4 passages" in done.output


def test_a_damaged_lexical_snapshot_is_told_and_repaired(run, collection):
    (arrays,) = lexical_folder(collection).glob("*.safetensors")
    arrays.write_bytes(arrays.read_bytes()[:-9])
    done = run("doctor", collection)
    assert done.exit_code == 1
    assert "truncated or changed" in done.output
    assert "--repair" in done.output
    repaired = run("doctor", collection, "--repair")
    assert repaired.exit_code == 0, repaired.output
    assert "4 passages were tokenised" in repaired.output
    assert run("doctor", collection).exit_code == 0


def test_a_damaged_row_is_told_and_no_repair_pretends_to_mend_it(run, collection):
    with sqlite3.connect(index_folder(collection) / "nodes.sqlite3") as table:
        table.execute("UPDATE nodes SET metadata = '{}' WHERE id = 2")
    table.close()
    for options in ((), ("--repair",)):
        done = run("doctor", collection, *options)
        assert done.exit_code == 1
        assert "규정1.md:0" in done.output
        assert "nothing is damaged" not in done.output


def test_a_table_that_is_none_is_told(run, collection):
    for file in index_folder(collection).glob("nodes.sqlite3*"):
        file.write_bytes(b"no database at all" * 1000)
    done = run("doctor", collection)
    assert isinstance(done.exception, DamagedIndex)


def test_a_model_that_is_gone_is_told(run, collection, static_model):
    shutil.rmtree(static_model)
    done = run("doctor", collection)
    assert done.exit_code == 1
    assert str(static_model) in done.output


def test_a_folder_that_is_no_collection_is_told(run, tmp_path):
    assert isinstance(run("doctor", tmp_path).exception, IndexNotFound)
