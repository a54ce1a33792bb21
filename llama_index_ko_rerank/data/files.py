"""Reading data files: JSON, JSONL and parquet become checked rows."""

from __future__ import annotations

import json
from pathlib import Path

from llama_index_ko_rerank.data.rows import Row
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, MalformedData


def read_object(path: Path) -> Row:
    """Read a JSON file that is one object.

    Raises:
        DatasetUnavailable: The file cannot be read.
        MalformedData: It is not UTF-8, not JSON, or another JSON value than an object.
        EmptyCorpus: It is empty.
    """
    return Row.of(_parse(_read_text(path), str(path)), str(path))


def read_rows(path: Path) -> list[Row]:
    """Read a JSON file that is a list of objects, or a JSONL file; blank lines are skipped.

    Raises:
        DatasetUnavailable: The file cannot be read.
        MalformedData: It is not UTF-8 or not JSON, or one of its rows is no object.
        EmptyCorpus: It has no rows.
    """
    file, text = str(path), _read_text(path)
    rows = _list_rows(text, file) if text.lstrip().startswith("[") else _line_rows(text, file)
    if not rows:
        raise EmptyCorpus(f"{path} has no rows")
    return rows


def read_parquet(path: Path) -> list[Row]:
    """Read a parquet file.

    Raises:
        MalformedData: It is no parquet file.
        EmptyCorpus: It has no rows.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        values = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise MalformedData(f"{path} cannot be read as parquet: {in_one_line(error)}") from error
    if not values:
        raise EmptyCorpus(f"{path} has no rows")
    return [Row(value, str(path), f"row [{index}]") for index, value in enumerate(values)]


def in_one_line(error: BaseException) -> str:
    """Say an error of another library in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _read_text(path: Path) -> str:
    """Read UTF-8 with or without a byte order mark; every kind of line end becomes a line feed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise MalformedData(
            f"{path} is not UTF-8: byte 0x{byte:02x} at offset {error.start}; save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        raise DatasetUnavailable(f"{path} cannot be read: {in_one_line(error)}") from error
    if not text.strip():
        raise EmptyCorpus(f"{path} is empty")
    return text


def _list_rows(text: str, file: str) -> list[Row]:
    values = _parse(text, file)
    assert isinstance(values, list)  # it starts with a bracket
    return [Row.of(value, file, f"row [{index}]") for index, value in enumerate(values)]


def _line_rows(text: str, file: str) -> list[Row]:
    # Only line feeds part the rows: str.splitlines would also cut at U+2028 and U+0085 inside a string.
    lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    return [Row.of(_parse(line, file, line_number=number), file, f"line {number}") for number, line in lines]


def _parse(text: str, file: str, line_number: int = 1) -> object:
    """Parse JSON that starts at a line of a file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = line_number + error.lineno - 1
        raise MalformedData(f"{file}, line {line}, column {error.colno}: is not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets thousands deep
        raise MalformedData(f"{file}: holds JSON that cannot be read: {in_one_line(error)}") from error
