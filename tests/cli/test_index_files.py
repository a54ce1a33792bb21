"""`ko-rerank index --source`: a collection that follows its files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.collection import (
    CollectionSettings,
    index_folder,
    lexical_folder,
    read_settings,
    write_settings,
)
from llama_index_ko_rerank.errors import DatasetUnavailable, InvalidSetting, ModelMismatch
from llama_index_ko_rerank.retrieve.incremental import inspect_index
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.integrity import check_integrity
from tests.corpora.cli import RULES

LEAVE, SICK, TRIP, PASSWORD = RULES


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "문서"
    (folder / "휴가").mkdir(parents=True)
    (folder / "휴가" / "연차.md").write_text(f"# 휴가\n## 연차\n{LEAVE}", encoding="utf-8")
    (folder / "병가.txt").write_bytes(SICK.encode("cp949"))
    (folder / "출장.html").write_text(f"<title>출장</title><p>{TRIP}", encoding="utf-8")
    return folder


@pytest.fixture
def collection(run, files, static_model, tmp_path):
    folder = tmp_path / "모음"
    done = run("index", folder, "--source", files, "--embed-model", static_model)
    assert done.exit_code == 0, done.output
    return folder


def summary(done):
    return next(line for line in done.output.splitlines() if line.startswith("added")).split(":")[0]


def test_files_of_several_kinds_are_indexed_and_found_by_their_title(run, collection):
    found = run("search", collection, "연차휴가는 며칠인가요?")
    assert found.exit_code == 0, found.output
    assert "열다섯 날" in found.output
    assert "[1] 휴가" in found.output


def test_a_second_run_needs_no_model_named_and_does_only_what_changed(run, collection, files):
    (files / "새 글.md").write_text(PASSWORD, encoding="utf-8")
    (files / "출장.html").unlink()
    (files / "병가.txt").write_text(SICK + " 다음 해로 넘기지 못한다.", encoding="utf-8")
    done = run("index", collection, "--source", files)
    assert done.exit_code == 0, done.output
    assert summary(done) == "added 1, changed 1, unchanged 1, deleted 1, failed 0"
    assert "비밀번호" in run("search", collection, "비밀번호는 언제 바꾸나요?").output


def test_both_snapshots_are_current_after_a_run(run, collection, files):
    (files / "새 글.md").write_text(PASSWORD, encoding="utf-8")
    run("index", collection, "--source", files)
    with DurableFaissVectorStore(index_folder(collection), create=False) as store:
        assert inspect_index(store, lexical_folder(collection)).state == "current"
        assert store.count == 4
    report = check_integrity(index_folder(collection))
    assert report.problems == ()
    assert report.snapshot_state in ("current", "missing")  # a flat index has no file


def test_bad_files_are_listed_with_reasons_and_do_not_stop_the_run(run, files, static_model, tmp_path):
    (files / "묶음.zip").write_bytes(b"PK")
    (files / "깨짐.txt").write_bytes(b"\0")
    (files / "그림.png").write_bytes(b"\0")
    (files / ".숨김.txt").write_bytes(b"\0")
    done = run("index", tmp_path / "모음", "--source", files, "--embed-model", static_model)
    assert done.exit_code == 0
    assert summary(done) == "added 3, changed 0, unchanged 0, deleted 0, failed 2"
    assert f"! {files / '묶음.zip'} is an archive; unpack it" in done.output
    assert f"! {files / '깨짐.txt'} holds NUL characters" in done.output
    assert "passed over: 1 hidden; of other kinds 1 .png" in done.output


def test_the_exit_code_is_1_where_every_file_failed(run, static_model, tmp_path):
    bad = tmp_path / "깨짐.txt"
    bad.write_bytes(b"\0")
    done = run("index", tmp_path / "모음", "--source", bad, "--embed-model", static_model)
    assert done.exit_code == 1
    assert summary(done) == "added 0, changed 0, unchanged 0, deleted 0, failed 1"


def test_a_file_over_the_stated_size_is_refused(run, files, static_model, tmp_path):
    (files / "큰 글.txt").write_text("가" * 700_000, encoding="utf-8")
    options = ("--source", files, "--embed-model", static_model, "--max-mb", 1)
    done = run("index", tmp_path / "모음", *options)
    assert "has 2.1 MB, and at most 1 MB are read; raise --max-mb" in done.output
    assert summary(done).startswith("added 3")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run, collection, files, static_model, tmp_path):
    (files / "새 글.md").write_text(PASSWORD, encoding="utf-8")
    (files / "출장.html").unlink()
    before = check_integrity(index_folder(collection)).generation
    done = run("index", collection, "--source", files, "--dry-run")
    assert "1 to add, 0 to read again, 2 unchanged, 1 to delete" in done.output
    assert f"+ {files / '새 글.md'}" in done.output
    assert f"- {files / '출장.html'}" in done.output
    assert check_integrity(index_folder(collection)).generation == before
    done = run("index", tmp_path / "없음", "--source", files, "--embed-model", static_model, "--dry-run")
    assert "3 to add" in done.output
    assert not (tmp_path / "없음").exists()


def test_what_was_fitted_stays_when_files_are_indexed_again(run, collection, files):
    known = read_settings(collection)
    fitted = CollectionSettings(known.embed_model, None, {"lexical": 0.7, "dense": 0.3}, None)
    write_settings(collection, fitted)
    run("index", collection, "--source", files)
    assert read_settings(collection) == fitted


def test_a_source_that_vanished_deletes_nothing_unless_said(run, collection, files, tmp_path):
    files.rename(tmp_path / "옮김")
    done = run("index", collection, "--source", files)
    assert isinstance(done.exception, DatasetUnavailable)
    assert "--prune" in str(done.exception)
    assert check_integrity(index_folder(collection)).node_count == 3
    assert summary(run("index", collection, "--source", files, "--prune")).endswith("deleted 3, failed 0")


def test_another_model_is_refused_and_the_settings_stay(run, collection, files, static_model, tmp_path):
    other = tmp_path / "another"
    shutil.copytree(static_model, other)
    (weights,) = other.glob("**/*.safetensors")
    save_file({name: array + 1 for name, array in load_file(weights).items()}, weights)
    before = json.loads((collection / "ko-rerank.json").read_text(encoding="utf-8"))
    done = run("index", collection, "--source", files, "--embed-model", other)
    assert isinstance(done.exception, ModelMismatch)
    assert json.loads((collection / "ko-rerank.json").read_text(encoding="utf-8")) == before
    done = run("index", collection, "--source", files, "--embed-model", other, "--overwrite")
    assert summary(done) == "added 3, changed 0, unchanged 0, deleted 0, failed 0"
    assert read_settings(collection).embed_model == str(other)


def test_a_collection_inside_its_own_source_does_not_read_itself(run, files, static_model):
    collection = files / "모음"
    run("index", collection, "--source", files, "--embed-model", static_model)
    (collection / "메모.txt").write_text("읽지 말 것", encoding="utf-8")
    assert summary(run("index", collection, "--source", files)).startswith("added 0, changed 0, unchanged 3")


def test_files_are_added_to_a_collection_of_a_data_set(run, pairs_file, files, static_model, tmp_path):
    collection = tmp_path / "모음"
    run("index", collection, "--data", f"pairs:{pairs_file}", "--embed-model", static_model)
    assert summary(run("index", collection, "--source", files)).startswith("added 3")
    assert check_integrity(index_folder(collection)).node_count == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--source"),
        (("--data", "sample", "--embed-model", "m", "--prune"), "--source"),
        (("--data", "sample", "--embed-model", "m", "--dry-run"), "--source"),
    ],
)
def test_what_is_missing_is_said(run, tmp_path, options, said):
    done = run("index", tmp_path / "모음", *options)
    assert isinstance(done.exception, InvalidSetting)
    assert said in str(done.exception)


def test_without_a_model_named_the_embedding_in_the_wheel_is_taken(run, files, tmp_path):
    done = run("index", tmp_path / "모음", "--source", files)
    assert done.exit_code == 0, done.output
    assert read_settings(tmp_path / "모음").embed_model == "ko-static"


@pytest.mark.parametrize(("named", "weight"), [("other/reranker", 0.0), ("my/reranker", 0.4)])
def test_a_retrieval_weight_stays_with_the_cross_encoder_that_it_was_fitted_for(run, files, collection, named, weight):
    write_settings(collection, replace(read_settings(collection), rerank_model="my/reranker", retrieval_weight=0.4))
    done = run("index", collection, "--source", files, "--rerank-model", named)
    assert done.exit_code == 0, done.output
    assert (read_settings(collection).rerank_model, read_settings(collection).retrieval_weight) == (named, weight)
