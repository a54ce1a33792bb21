"""Figures as text: Markdown tables, intervals, and files that are never half written."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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


def write_json_file(path: str | Path, content: dict[str, Any]) -> None:
    """Write JSON, Hangul kept, as `write_text_file` writes."""
    write_text_file(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_text_file(path: str | Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all, making its folder where it is missing.

    The text goes to a temporary file beside the target, which then takes the target's name; a file that was there
    before stays as it was until that moment.
    """
    target = Path(path)
    encoded = text.encode("utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
