"""One row of a data file, whose fields are checked as they are taken."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, InvalidText, MalformedData
from llama_index_ko_rerank.text.normalize import check_text, normalize

_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of one row, and where the row stands.

    Every method that takes a field raises `MalformedData` with file, row and field where the field is not usable.

    Attributes:
        values: The fields as the file has them.
        file: The file, for messages.
        location: The row in its file: ``line 3``, or a path counted from 0 such as ``row data[3].paragraphs[0]``;
            empty for a file that is one object.
    """

    values: Mapping[str, object]
    file: str
    location: str = ""

    @classmethod
    def of(cls, value: object, file: str, location: str = "") -> Record:
        """Make a row of a parsed value, which must be an object."""
        if not isinstance(value, dict):
            raise MalformedData(f"{_where(file, location)}: must be an object, not {_kind(value)}")
        return cls(value, file, location)

    @property
    def where(self) -> str:
        """File and row, for messages."""
        return _where(self.file, self.location)

    def error(self, field: str, problem: str) -> MalformedData:
        """Make the error that says what is wrong with a field."""
        return MalformedData(f"{self.where}, field {field!r}: {problem}")

    def required(self, field: str) -> object:
        """Take the raw value of a field that must be there."""
        if field not in self.values:
            raise self.error(field, f"missing; the row has {', '.join(map(str, self.values)) or 'no fields'}")
        return self.values[field]

    def string(self, field: str) -> str:
        """Take a string, in NFC; it may be empty."""
        value = self.required(field)
        if not isinstance(value, str):
            raise self.error(field, f"must be a string, not {_kind(value)}")
        try:
            check_text(value, f"{self.where}, field {field!r}:")
        except InvalidText as error:
            raise MalformedData(str(error)) from error
        return unicodedata.normalize("NFC", value)

    def text(self, field: str) -> str:
        """Take a string that says something, in NFC."""
        value = self.string(field)
        if not normalize(value).strip():
            raise self.error(field, "is blank")
        return value

    def optional_text(self, field: str) -> str:
        """Take a string that may be missing, null or empty, in NFC; a string of only white space is refused."""
        return self.text(field) if self.values.get(field) not in (None, "") else ""

    def title(self) -> str:
        """Take the field `title`, in NFC; empty where it is missing, null or blank."""
        value = "" if self.values.get("title") is None else self.string("title")
        return value if normalize(value).strip() else ""

    def identifier(self, field: str) -> str:
        """Take an id that must be there, a string or a whole number."""
        value = self.required(field)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.text(field)

    def optional_identifier(self, field: str) -> str:
        """Take an id; empty where it is missing, null or empty."""
        return self.identifier(field) if self.values.get(field) not in (None, "") else ""

    def boolean(self, field: str) -> bool:
        """Take true or false; a missing field is false."""
        value = self.values.get(field, False)
        if not isinstance(value, bool):
            raise self.error(field, f"must be true or false, not {_kind(value)}")
        return value

    def number(self, field: str) -> int | float:
        """Take a finite number."""
        value = self.required(field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(field, f"must be a number, not {_kind(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(field, f"must be a finite number, not {value}")
        return value

    def items(self, field: str) -> list[object]:
        """Take a list; empty where the field is missing or null."""
        value = self.values.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(field, f"must be a list, not {_kind(value)}")
        return value

    def records(self, field: str) -> list[Record]:
        """Take a list of objects; empty where the field is missing or null."""
        start = f"{self.location}." if self.location else "row "
        return [
            Record.of(value, self.file, f"{start}{field}[{index}]") for index, value in enumerate(self.items(field))
        ]

    def inner(self, field: str) -> Record:
        """Take an object that must be there."""
        value = self.required(field)
        if not isinstance(value, dict):
            raise self.error(field, f"must be an object, not {_kind(value)}")
        return Record(value, self.file, f"{self.location}.{field}")


def _where(file: str, location: str) -> str:
    return f"{file}, {location}" if location else file


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def read_object(path: Path) -> Record:
    """Read a JSON file that is one object.

    Raises:
        DatasetUnavailable: The file cannot be read.
        MalformedData: It is not UTF-8, not JSON, or another JSON value than an object.
        EmptyCorpus: It is empty.
    """
    return Record.of(_parse(_read_text(path), str(path)), str(path))


def read_records(path: Path) -> list[Record]:
    """Read a JSON file that is a list of objects, or a JSONL file; blank lines are skipped.

    Raises:
        DatasetUnavailable: The file cannot be read.
        MalformedData: It is not UTF-8 or not JSON, or one of its rows is no object.
        EmptyCorpus: It has no rows.
    """
    file, text = str(path), _read_text(path)
    rows = _list_records(text, file) if text.lstrip().startswith("[") else _line_records(text, file)
    if not rows:
        raise EmptyCorpus(f"{path} has no rows")
    return rows


def read_parquet(path: Path) -> list[Record]:
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
    return [Record(value, str(path), f"row [{index}]") for index, value in enumerate(values)]


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


def _list_records(text: str, file: str) -> list[Record]:
    values = _parse(text, file)
    assert isinstance(values, list)  # it starts with a bracket
    return [Record.of(value, file, f"row [{index}]") for index, value in enumerate(values)]


def _line_records(text: str, file: str) -> list[Record]:
    # Only line feeds part the rows: str.splitlines would also cut at U+2028 and U+0085 inside a string.
    lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    return [Record.of(_parse(line, file, line_number=number), file, f"line {number}") for number, line in lines]


def _parse(text: str, file: str, line_number: int = 1) -> object:
    """Parse JSON that starts at a line of a file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = line_number + error.lineno - 1
        raise MalformedData(f"{file}, line {line}, column {error.colno}: is not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets thousands deep
        raise MalformedData(f"{file}: holds JSON that cannot be read: {in_one_line(error)}") from error
