"""The figures of the store's benchmark as Markdown tables, and beside them what was aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index_ko_rerank.evaluate.report import markdown_table, milliseconds_text

Figures = Mapping[str, Any]

_ROWS = (
    ("kind of index", "kind", ""),
    ("build", "build_s", "s"),
    ("memory at most while building", "build_peak_mib", "MiB"),
    ("on disk", "disk_mib", "MiB"),
    ("open", "open_ms", "ms"),
    ("first query", "first_query_ms", "ms"),
    ("query p50", "p50_ms", "ms"),
    ("query p95", "p95_ms", "ms"),
    ("recall@10", "recall@10", ""),
    ("query in one law, p50", "filter.one_law_p50_ms", "ms"),
    ("query in one kind of law, p50", "filter.one_kind_p50_ms", "ms"),
    ("delete documents one by one", "delete.delete_documents_ms", "ms"),
    ("delete as many nodes in one call", "delete.delete_nodes_in_one_call_ms", "ms"),
    ("query after that", "delete.query_after_delete_ms", "ms"),
    ("memory at most, opened and searched", "open_peak_mib", "MiB"),
)


def goals(systems: Mapping[str, Figures]) -> dict[str, Any]:
    """Say what was aimed at and what was reached, as ratios of ours to theirs."""
    ours, theirs = systems["durable"], systems["stock"]
    reached = {
        "open, with the first query, times faster": (_opening(theirs) / _opening(ours), ">=", 10),
        "open times faster": (theirs["open_ms"] / ours["open_ms"], ">=", 10),
        "disk": (ours["disk_mib"] / theirs["disk_mib"], "<=", 0.6),
        "query p50": (ours["p50_ms"] / theirs["p50_ms"], "<=", 1.0),
        "recall@10": (ours["recall@10"], ">=", 0.98),
        "memory, opened and searched": (ours["open_peak_mib"] / theirs["open_peak_mib"], "<=", 1.0),
        "memory while building": (ours["build_peak_mib"] / theirs["build_peak_mib"], "<=", 1.0),
    }
    return {
        name: {
            "reached": round(value, 3),
            "goal": f"{sign} {goal}",
            "met": value >= goal if sign == ">=" else value <= goal,
        }
        for name, (value, sign, goal) in reached.items()
    }


def comparison_table(comparison: Mapping[str, Mapping[str, Figures]]) -> str:
    """Put both systems side by side, a pair of columns for each size."""
    columns = [(size, system, systems[system]) for size, systems in comparison.items() for system in systems]
    header = ["", *(f"{system}, {int(size):,}" for size, system, _ in columns)]
    return _table(header, [figures for _, _, figures in columns])


def growth_table(growth: Mapping[str, Figures]) -> str:
    """Put one column for each size."""
    return _table(["durable", *(f"{int(size):,}" for size in growth)], list(growth.values()))


def _table(header: list[str], columns: list[Figures]) -> str:
    rows = [
        [f"{title}, {unit}" if unit else title, *(_cell(figures, path, unit) for figures in columns)]
        for title, path, unit in _ROWS
    ]
    return markdown_table(header, rows)


def _cell(figures: Figures, path: str, unit: str) -> str:
    value: Any = figures
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, str):
        return value or "cannot"
    return milliseconds_text(value) if unit == "ms" else f"{value:.3f}" if not unit else f"{value:,.1f}"


def _opening(figures: Figures) -> float:
    return float(figures["open_ms"] + figures["first_query_ms"])
