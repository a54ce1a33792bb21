"""Write the tables of both READMEs from the JSON files of this folder.

    python -m benchmarks.readme_tables [--check]

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``. With --check nothing is written, and the exit
status is 1 where a README does not say what the files say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import readme_models
from llama_index_ko_rerank.evaluate.report import markdown_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks"
READMES = {"en": "README.md", "ko": "README.ko.md"}
TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = tuple[str, ...]

QUALITY = (
    ("stock-bm25", "LlamaIndex's `BM25Retriever`", "LlamaIndex의 `BM25Retriever`"),
    ("bm25", "BM25, Kiwi morphemes", "BM25, Kiwi 형태소"),
    ("bigram", "BM25, character bigrams", "BM25, 글자 바이그램"),
    ("lexical", "both lexical views", "두 어휘 관점"),
    ("lexical+ltr", "**both views + ranker**", "**두 관점 + 랭커**"),
    ("dense-base", "static embedding, untrained", "정적 임베딩, 학습 전"),
    ("dense", "static embedding, trained from nothing", "정적 임베딩, 처음부터 학습"),
    ("rrf-equal", "BM25 and embedding, equal-weight RRF", "BM25와 임베딩, 같은 가중치 RRF"),
    ("hybrid", "hybrid (both views and embedding)", "하이브리드(두 관점과 임베딩)"),
    ("hybrid-fitted", "hybrid, fitted weights", "하이브리드, 맞춘 가중치"),
    ("hybrid+ltr", "hybrid + ranker", "하이브리드 + 랭커"),
    ("hybrid+rerank", "hybrid + cross-encoder from scratch", "하이브리드 + 처음부터 학습한 교차 인코더"),
)
CARRIED = ("stock-bm25", "lexical", "lexical+ltr", "dense", "hybrid", "hybrid-fitted")
WORKLOADS = {"mixed": ("30 mixed", "길이가 섞인 30개"), "equal": ("30 of 512 tokens", "512토큰 30개")}
STORES = (("durable", "`DurableFaissVectorStore`"), ("stock", "LlamaIndex"))
STORE_ROWS = (
    ("build_s", "build, s", "만들기, s"),
    ("disk_mib", "on disk, MiB", "디스크, MiB"),
    ("open_ms", "open, ms", "열기, ms"),
    ("first_query_ms", "first query, ms", "첫 질의, ms"),
    ("p50_ms", "query p50, ms", "질의 p50, ms"),
    ("p95_ms", "query p95, ms", "질의 p95, ms"),
    ("recall@10", "recall@10", "recall@10"),
    ("filter.one_law_p50_ms", "query in one law, p50, ms", "법 하나 안에서 질의 p50, ms"),
    ("delete.delete_documents_ms", "delete 1,000 documents one by one, ms", "문서 1,000개를 하나씩 삭제, ms"),
    ("delete.delete_nodes_in_one_call_ms", "delete 1,000 nodes in one call, ms", "노드 1,000개를 한 번에 삭제, ms"),
    ("open_peak_mib", "memory, opened and searched, MiB", "메모리, 열고 검색한 뒤, MiB"),
)
CRASHES = (
    ("writers killed", "writers killed by SIGKILL at any moment", "아무 때나 SIGKILL로 죽인 쓰기"),
    ("full disks", "writers out of disk space", "디스크가 찬 쓰기"),
    ("damaged snapshots", "snapshots cut or with flipped bits", "잘리거나 비트가 뒤집힌 스냅숏"),
    (
        "damaged tables",
        "tables cut or with flipped bits (noticed, or harmless)",
        "잘리거나 비트가 뒤집힌 표(알아채거나 무해)",
    ),
)
OTHER_DATA = (("sample-validation", "sample", "예제"), ("statutes", "statutes", "법령"))


def quality(language: str) -> str:
    """Show KorQuAD `test`: the file of the lexical systems, and for those that it lacks the file with all models."""
    systems = {**_result("quality/korquad-test")["systems"], **_result("quality/korquad-test-lexical")["systems"]}
    rows = [(_label(entry, language), *_measures(systems[entry[0]])) for entry in QUALITY]
    return markdown_table([_word("system", language), *_MEASURES, _word("ms a question", language)], rows)


def carried(language: str) -> str:
    """Show the collections that nothing was fitted on."""
    labels = {entry[0]: entry for entry in QUALITY}
    rows: list[Row] = []
    for name, *names in OTHER_DATA:
        report = _result(f"quality/{name}")
        data = f"{names[language == 'ko']}: n = {report['questions']}, {report['passages']:,}"
        rows += [(data, _label(labels[key], language), *_measures(report["systems"][key])) for key in CARRIED]
    header = [_word("questions, passages", language), _word("system", language)]
    return markdown_table([*header, *_MEASURES, _word("ms a question", language)], rows)


def speed(language: str) -> str:
    """Show milliseconds a question by size of the collection."""
    rows = [
        (
            f"{collection['passages']:,}",
            system,
            f"{figures['build_s']:,.0f}",
            f"{figures['p50_ms']:.2f}",
            f"{figures['p95_ms']:.2f}",
        )
        for collection in _result("speed/lexical")["collections"]
        for system, figures in collection["systems"].items()
    ]
    header = [_word("passages", language), _word("system", language), _word("build, s", language)]
    return markdown_table([*header, "p50 ms", "p95 ms"], rows)


def rerank(language: str) -> str:
    """Show milliseconds for 30 candidates, and how many times faster than the stock reranker that is."""
    report = _result("rerank/speed")
    workloads = [
        (f"{shape}, {words[language == 'ko']}", figures[workload])
        for shape, figures in report["shapes"].items()
        for workload, words in WORKLOADS.items()
    ]
    mixed = WORKLOADS["mixed"][language == "ko"]
    workloads.append((f"6x768 {_word('trained', language)}, {mixed}", report["widened"]))
    rows: list[Row] = []
    for name, measured in workloads:
        for system, laps in measured["systems"].items():
            times = measured["times_stock"].get(system) if system != "stock" else None
            difference = measured["agreement"].get(system, {}).get("largest_difference") if times else None
            rows.append(
                (
                    name,
                    system,
                    f"{laps['p50_ms']:,.1f}",
                    f"{times:,.1f}" if times else "",
                    "" if difference is None else f"{difference:.0e}",
                )
            )
    header = [_word("layers x width, candidates", language), _word("system", language), "p50 ms"]
    return markdown_table([*header, _word("times stock", language), _word("largest difference", language)], rows)


def store(language: str) -> str:
    """Show the durable store beside LlamaIndex's at both sizes."""
    comparison = _result("store/scale")["comparison"]
    columns = [(f"{name}, {int(size):,}", systems[key]) for size, systems in comparison.items() for key, name in STORES]
    rows = [(words[language == "ko"], *(_at(figures, key) for _, figures in columns)) for key, *words in STORE_ROWS]
    return markdown_table(["", *(name for name, _ in columns)], rows)


def crash(language: str) -> str:
    """Show how often the store was killed or damaged, and how often something was lost."""
    report = _result("store/crash")
    rows = [(words[language == "ko"], f"{report[key]['asked']:,}", f"{report[key]['lost']}") for key, *words in CRASHES]
    return markdown_table(["", _word("cases", language), _word("lost or wrong", language)], rows)


TABLES: dict[str, Callable[[str], str]] = {
    "quality": quality,
    "carried": carried,
    "models": readme_models.models,
    "gains": readme_models.gains,
    "sts": readme_models.sts,
    "speed": speed,
    "rerank": rerank,
    "store": store,
    "crash": crash,
}

_MEASURES = ("Hit@1", "Hit@10", "MRR@10", "nDCG@10")
_KOREAN = {
    "system": "시스템",
    "ms a question": "질문당 ms",
    "questions, passages": "질문, 단락",
    "passages": "단락",
    "build, s": "색인 s",
    "layers x width, candidates": "층 x 너비, 후보",
    "times stock": "기본의 몇 배",
    "trained": "학습됨",
    "largest difference": "로짓의 최대 차이",
    "cases": "횟수",
    "lost or wrong": "잃거나 틀린 것",
}


def main() -> int:
    """Fill or check both READMEs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for language, name in READMES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        filled = filled_in(text, language)
        if filled != text:
            stale.append(name)
            if not check:
                (ROOT / name).write_text(filled, encoding="utf-8")
    if stale and check:
        print(f"{', '.join(stale)}: other figures than the files of benchmarks/ hold; run this without --check")
    return int(bool(stale) and check)


def filled_in(text: str, language: str) -> str:
    """Put every table into a text."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]](language)}\n{found[3]}", text)


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _measures(figures: dict[str, Any]) -> Row:
    """Show the measures with the intervals of the first and the third, and the median latency."""
    cells = []
    for name in _MEASURES:
        measure = figures[name.lower()]
        interval = f" [{_share(measure['low'])}, {_share(measure['high'])}]" if name in ("Hit@1", "MRR@10") else ""
        cells.append(_share(measure["value"]) + interval)
    return (*cells, f"{figures['latency_ms']['total']['p50']:.1f}")


def _at(figures: dict[str, Any], path: str) -> str:
    """Show the figure at a path of keys; a dash where a store cannot do what the row is about."""
    value: Any = figures
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        return "—"
    return f"{value:.3f}" if path == "recall@10" else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _label(entry: tuple[str, str, str], language: str) -> str:
    return entry[2] if language == "ko" else entry[1]


def _word(word: str, language: str) -> str:
    return _KOREAN[word] if language == "ko" else word


if __name__ == "__main__":
    sys.exit(main())
