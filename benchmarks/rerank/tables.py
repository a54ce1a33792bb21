"""The rerankers' measurements as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llama_index_ko_rerank.evaluate import formatting as rendering

Figures = Mapping[str, Any]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write rows of anything as a table, with commas between thousands."""
    cells = [[f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in row] for row in rows]
    return rendering.markdown_table(head, cells)


def table(report: Figures) -> str:
    """Put a report into Markdown tables, one after another."""
    parts = [part for name, figures in report["shapes"].items() for part in _shape(name, figures)]
    parts.extend(map(_trained, (report["trained"], report["widened"])))
    parts.extend(f"{name}: {reason}." for name, reason in report["not_measured"].items())
    return "\n\n".join(parts)


def _shape(name: str, figures: Figures) -> Iterator[str]:
    head = ["shape", "workload", "system", "p50 ms", "p95 ms", "times stock", "same order", "largest difference"]
    rows = []
    for workload in ("mixed", "equal"):
        for system, milliseconds in figures[workload]["systems"].items():
            agreed = figures[workload]["agreement"].get(system, {})
            rows.append(
                (
                    name,
                    f"{workload}, {figures[workload]['tokens']:,} tokens",
                    system,
                    *milliseconds.values(),
                    figures[workload]["times_stock"].get(system, ""),
                    agreed.get("same_order", ""),
                    agreed.get("largest_difference", ""),
                )
            )
    yield markdown_table(head, rows)
    yield markdown_table(
        ["shape", "workload", "dtype", "10^12 operations", "products, 10^12/s", "least ms", "times least"],
        [
            (name, workload, dtype, figures[workload]["tera_operations"], *ceiling.values())
            for workload in ("mixed", "equal")
            for dtype, ceiling in figures[workload]["ceiling"].items()
        ],
    )
    yield markdown_table(
        ["shape", "dtype", "at once", "times throughput", "in turn s", "at once s", "p50 ms", "p95 ms"],
        [(name, dtype, *values.values()) for dtype, values in figures["concurrent"].items()],
    )
    yield markdown_table(
        ["shape", "system", "load s", "imported MiB", "peak MiB"],
        [(name, system, *values.values()) for system, values in figures["footprint"].items()],
    )


def _trained(figures: Figures) -> str:
    head = ["trained", "system", "p50 ms", "times float32", "same first 5", "first-10 overlap", "largest difference"]
    rows = []
    for system, milliseconds in figures["systems"].items():
        agreed = figures["agreement"].get(system, {})
        names = ("same_first_5", "first_10_overlap", "largest_difference")
        times = figures["times_float32"].get(system, "")
        rows.append(
            (figures["model"], system, milliseconds["p50_ms"], times, *(agreed.get(name, "") for name in names))
        )
    return markdown_table(head, rows)
