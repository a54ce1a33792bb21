"""The command line, as a shell would call it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from llama_index_ko_rerank import Collection
from llama_index_ko_rerank.cli import main
from llama_index_ko_rerank.errors import IndexNotFound
from tests.corpora.cli import RULES

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "faiss",
    "kiwipiepy",
    "datasets",
    "gradio",
    "llama_index.core",
)


@pytest.fixture
def run(monkeypatch, capsys):
    """Call `ko-rerank` and return its exit code and what it printed on both streams."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ko-rerank", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return call


def test_help_loads_nothing_heavy():
    code = f"""
import sys
from llama_index_ko_rerank.cli import main
sys.argv = ["ko-rerank", "--help"]
try:
    main()
finally:
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("demo", "train", "index", "search", "evaluate", "models"):
        assert command in done.stdout


def test_models_lists_embeddings_and_rerankers(run):
    code, printed, _ = run("models")
    assert code == 0
    assert "bge-m3" in printed
    assert "Qwen3-Reranker" in printed


def test_one_model_is_shown_by_its_name_alone(run):
    code, printed, _ = run("models", "kure")
    assert code == 0
    assert "nlpai-lab/KURE-v1" in printed
    assert run("models", "show", "kure") == (code, printed, "")


def test_only_the_pretrained_model_is_exported(run, tmp_path):
    code, _, error = run("models", "export", "kure", tmp_path / "new")
    assert code == 1
    assert "known: e5-small" in error.replace("\n", " ")


def test_a_misspelt_model_gets_the_nearest_name_and_exit_code_1(run):
    code, _, error = run("models", "BAAI/bge-m4")
    assert code == 1
    assert "did you mean 'BAAI/bge-m3'" in error.replace("\n", " ")


def test_evaluate_writes_the_stated_json(run, pairs_file, tmp_path):
    out = tmp_path / "report.json"
    code, printed, _ = run(
        "evaluate", "--data", f"pairs:{pairs_file}", "--split", "test", "--systems", "bm25,lexical", "--json", out
    )
    assert code == 0
    assert "HitRate@1" in printed
    report = json.loads(out.read_text(encoding="utf-8"))
    assert set(report) == {"dataset", "split", "questions", "passages", "command", "versions", "systems"}
    assert report["questions"] == len(RULES)
    assert report["systems"]["lexical"]["hit@1"]["value"] == 1.0
    assert {"p50", "p95"} <= set(report["systems"]["lexical"]["latency_ms"]["total"])


def test_evaluate_names_an_unknown_system_before_any_work(run, pairs_file):
    code, _, error = run("evaluate", "--data", f"pairs:{pairs_file}", "--systems", "bm52")
    assert code == 1
    assert "did you mean 'bm25'" in error.replace("\n", " ")


def test_scratch_models_need_a_split_to_train_on(run, pairs_file):
    code, _, error = run("evaluate", "--data", f"pairs:{pairs_file}", "--split", "test", "--systems", "dense")
    assert code == 1
    assert "--train-split" in error.replace("\n", " ")


def test_a_hybrid_is_fitted_on_other_data_than_those_measured(run, pairs_file, static_model, tmp_path):
    out = tmp_path / "report.json"
    code, _, error = run(
        "evaluate", "--data", f"pairs:{pairs_file}", "--split", "test", "--systems", "lexical,hybrid-fitted",
        "--embed-model", static_model, "--train-data", "sample", "--json", out,
    )  # fmt: skip
    assert code == 0, error
    assert "questions of sample" in error
    systems = json.loads(out.read_text(encoding="utf-8"))["systems"]
    assert systems["hybrid-fitted"]["hit@1"]["value"] == systems["lexical"]["hit@1"]["value"] == 1.0


def test_an_indexed_data_set_is_searched(run, pairs_file, static_model, tmp_path):
    collection = tmp_path / "모음"
    code, printed, error = run("index", collection, "--data", f"pairs:{pairs_file}", "--embed-model", static_model)
    assert code == 0, error
    assert "4 passages" in printed
    code, printed, error = run("search", collection, "병가를 내려면 무엇을 내야 하나요?")
    assert code == 0, error
    assert "진단서" in printed


def test_a_collection_that_the_command_made_opens_in_python(run, pairs_file, static_model, tmp_path):
    collection = tmp_path / "모음"
    code, _, error = run("index", collection, "--data", f"pairs:{pairs_file}", "--embed-model", static_model)
    assert code == 0, error
    response = Collection.open(collection).query_engine(top_n=2).query("병가를 내려면 무엇을 내야 하나요?")
    assert "진단서" in str(response)
    assert len(response.source_nodes) == 2
    with pytest.raises(IndexNotFound, match="ko-rerank index"):
        Collection.open(tmp_path / "없음")


def test_a_folder_of_files_is_indexed_with_their_names(run, static_model, tmp_path):
    files = tmp_path / "문서"
    files.mkdir()
    for number, text in enumerate(RULES):
        (files / f"규정{number}.md").write_text(text, encoding="utf-8")
    collection = tmp_path / "collection"
    assert run("index", collection, "--source", files, "--embed-model", static_model)[0] == 0
    code, printed, _ = run("search", collection, "비밀번호 변경 주기")
    assert code == 0
    assert "규정3.md" in printed


def test_a_collection_can_be_moved_with_the_model_inside_it(run, pairs_file, static_model, tmp_path):
    collection = tmp_path / "before"
    collection.mkdir()
    model = static_model.rename(collection / "model")
    assert run("index", collection, "--data", f"pairs:{pairs_file}", "--embed-model", model)[0] == 0
    moved = collection.rename(tmp_path / "after")
    code, printed, error = run("search", moved, "출장비 청구 기한")
    assert code == 0, error
    assert "영수증" in printed


def test_a_second_index_in_one_folder_needs_overwrite(run, pairs_file, static_model, tmp_path):
    arguments = ("index", tmp_path / "c", "--data", f"pairs:{pairs_file}", "--embed-model", static_model)
    assert run(*arguments)[0] == 0
    code, _, error = run(*arguments)
    assert code == 1
    assert "IndexExists" in error
    assert run(*arguments, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--embed-model", "m"), "either --source"),
        (("--embed-model", "m", "--source", "/no/such/folder"), "no file or folder"),
        (("--embed-model", "/no/such/model", "--data", "sample"), "ModelNotFound"),
    ],
)
def test_index_says_what_is_missing(run, tmp_path, arguments, error):
    code, _, printed = run("index", tmp_path / "c", *arguments)
    assert code == 1
    assert error in printed.replace("\n", " ")


def test_searching_a_folder_that_is_no_collection_says_how_to_make_one(run, tmp_path):
    code, _, error = run("search", tmp_path, "질문")
    assert code == 1
    assert "ko-rerank index" in error.replace("\n", " ")


def test_demo_leaves_other_files_alone(run, tmp_path):
    (tmp_path / "중요한 파일.txt").write_text("지우지 마시오", encoding="utf-8")
    code, _, error = run("demo", "--out", tmp_path)
    assert code == 1
    assert "중요한" in error
    assert (tmp_path / "중요한 파일.txt").exists()
