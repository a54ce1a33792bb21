"""Figures as text: Markdown tables, intervals, and files that are never half written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from llama_index_ko_rerank.evaluate.significance import Interval


def share_text(value: float) -> str:
    """Write a share or a correlation with three decimals and no leading zero.

    >>> share_text(0.8917), share_text(1.0), share_text(-0.25), share_text(float("nan"))
    ('.892', '1.000', '-.250', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    text = f"{round(value, 3) + 0.0:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def interval_text(interval: Interval) -> str:
    """Write a value with its interval.

    >>> interval_text(Interval(0.892, 0.884, 0.9))
    '.892 [.884, .900]'
    """
    if math.isnan(interval.value):
        return "undefined"
    return f"{share_text(interval.value)} [{share_text(interval.low)}, {share_text(interval.high)}]"


def milliseconds_text(milliseconds: float) -> str:
    """Write milliseconds with as many digits as mean something.

    >>> milliseconds_text(0.1234), milliseconds_text(12.34), milliseconds_text(1103.4)
    ('0.12', '12.3', '1,103')
    """
    decimals = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:,.{decimals}f}"


def rounded_or_none(value: float) -> float | None:
    """Round to six decimals for JSON, which has no NaN: that becomes null."""
    return None if math.isnan(value) else round(value, 6)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table whose first column is text and whose others are figures."""
    lines = [_markdown_row(header), _markdown_row(["---", *["---:"] * (len(header) - 1)])]
    return "\n".join([*lines, *(_markdown_row(row) for row in rows)])


def versions_text(versions: dict[str, str | int | None]) -> str:
    """List versions on one line, leaving out what is not installed."""
    return ", ".join(f"{name} {found}" for name, found in versions.items() if found is not None)


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
