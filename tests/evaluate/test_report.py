import json

import numpy as np
import pytest

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.evaluate import SearchSystem, bootstrap_interval, evaluate_retrieval
from llama_index_ko_rerank.evaluate.report import EvaluationReport, SystemResult, installed_versions
from tests.corpora.retrieval import BigramEmbedding, BigramReranker


@pytest.fixture
def report(market, overlap):
    systems = {
        "bm25": overlap,
        "한국어 | rerank": SearchSystem(overlap, [BigramReranker(top_n=3)], embed_model=BigramEmbedding()),
    }
    return evaluate_retrieval(systems, market, command="ko-rerank evaluate --data market", seed=3)


def result_of(hits, search_ms, counts):
    keys = ("hit@1", "hit@3", "hit@10", "mrr@10", "ndcg@10", "candidate_recall")
    values = dict.fromkeys(keys, np.array(hits, dtype=np.float64))
    spent = np.array(search_ms, dtype=np.float64)
    return SystemResult(values, {"search": spent, "total": spent}, np.array(counts, dtype=np.int64))


@pytest.fixture
def worked():
    return EvaluationReport(
        dataset="sample",
        split="validation",
        questions=4,
        passages=10,
        systems={"bm25": result_of([1, 1, 1, 1], [1.0, 2.0, 3.0, 4.0], [30, 20, 10, 40])},
        command="",
        versions={"python": "3.11", "torch": None},
    )


def test_the_json_has_exactly_the_agreed_layout(report):
    content = report.to_json_dict()
    assert list(content) == ["dataset", "split", "questions", "passages", "command", "versions", "systems"]
    assert content["command"] == "ko-rerank evaluate --data market"
    plain, reranked = content["systems"].values()
    figures = ["hit@1", "hit@3", "hit@10", "mrr@10", "ndcg@10", "candidate_recall"]
    assert list(plain) == [*figures, "candidates", "latency_ms"]
    assert all(set(plain[figure]) == {"value", "low", "high"} for figure in figures)
    assert isinstance(plain["candidates"], int)
    assert set(plain["latency_ms"]) == {"search", "total"}
    assert set(reranked["latency_ms"]) == {"embed", "search", "rerank", "total"}
    assert set(plain["latency_ms"]["total"]) == {"p50", "p95"}


def test_the_intervals_of_a_report_are_those_of_its_values_and_seed(report):
    for name, values in report.values.items():
        for metric, column in values.items():
            np.testing.assert_allclose(report.intervals[name][metric], bootstrap_interval(column, seed=3))


def test_percentiles_and_the_median_of_candidates_by_hand(worked):
    result = worked.systems["bm25"]
    assert result.latency_ms["total"] == pytest.approx({"p50": 2.5, "p95": 3.85})
    assert result.candidates == 20


def test_a_written_report_reads_back_with_its_hangul(report, tmp_path):
    target = tmp_path / "new folder" / "report.json"
    report.write_json(target)
    assert "한국어" in target.read_text(encoding="utf-8")
    assert json.loads(target.read_text(encoding="utf-8")) == report.to_json_dict()
    assert [file.name for file in target.parent.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_leaves_the_older_one(report, tmp_path, monkeypatch):
    target = tmp_path / "report.md"
    target.write_text("older", encoding="utf-8")

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        report.write_markdown(target)
    assert target.read_text(encoding="utf-8") == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["report.md"]


def test_the_markdown_table_has_a_row_a_system_in_the_agreed_form(worked):
    lines = worked.to_markdown().splitlines()
    assert "4 questions over 10 passages, means with 95 % intervals." in lines
    assert lines[4] == (
        "| system | HitRate@1 | HitRate@3 | HitRate@10 | MRR@10 | nDCG@10 | candidate recall | candidates "
        "| p50 ms | p95 ms |"
    )
    figure = "1.000 [1.000, 1.000]"
    assert lines[6] == f"| bm25 | {' | '.join([figure] * 6)} | 20 | 2.50 | 3.85 |"
    assert "| bm25 |  | 2.50 / 3.85 |  | 2.50 / 3.85 |" in lines
    assert lines[-1] == "- Versions: python 3.11"


def test_the_markdown_escapes_names_and_gives_the_command(report):
    text = report.to_markdown()
    assert "| 한국어 \\| rerank |" in text
    assert "- Command: `ko-rerank evaluate --data market`" in text


def test_a_name_that_is_not_in_the_report_is_refused_with_the_nearest(report):
    with pytest.raises(InvalidSetting, match="did you mean 'bm25'"):
        report.difference("bm52", "bm25")
    with pytest.raises(InvalidSetting, match="did you mean 'mrr@10'"):
        report.difference("bm25", "한국어 | rerank", metric="mrr@1")


def test_versions_name_the_libraries_and_what_is_missing_without_importing_them():
    found = installed_versions()
    assert next(iter(found)) == "python"
    assert {"llama-index-core", "torch", "faiss-cpu", "kiwipiepy", "numpy", "cpu_count"} <= set(found)
    assert isinstance(found["cpu_count"], int)
