"""Metadata index: the values of the keys that filters use, in memory, so that a filter is looked up and not scanned."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llama_index.core.vector_stores.types import FilterOperator
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidFilter
from llama_index_ko_rerank.store.filters import Condition, Group, fold, in_nfc, iter_conditions, value_of
from llama_index_ko_rerank.store.sqlite.reader import TableReader

_SPARE_ROWS = 1024


@dataclass(slots=True)
class _Column:
    """Dictionary-encoded values of one key: each different value once, and a code into them for each row."""

    values: list[Any] = field(default_factory=list)
    code_of: dict[object, int] = field(default_factory=dict)
    codes: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    row_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def encode(self, value: Any) -> int:
        value = in_nfc(value)
        # 1, 1.0 and True are equal and are kept apart all the same: an error names what was found.
        is_plain = value is None or isinstance(value, str | int | float)
        key = (type(value), value) if is_plain else json.dumps(value, ensure_ascii=False)
        code = self.code_of.setdefault(key, len(self.values))
        if code == len(self.values):
            self.values.append(value)
        return code

    def extend(self, codes: list[int], row_ids: list[int]) -> None:
        self.codes = np.concatenate([self.codes, np.array(codes, np.int32)])
        self.row_ids = np.concatenate([self.row_ids, np.array(row_ids, np.int64)])

    @property
    def last_row_id(self) -> int:
        return int(self.row_ids[-1]) if len(self.row_ids) else 0

    def mask(self, of_values: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
        """Turn a truth of each value into one of each row id, shape (length,)."""
        mask = np.zeros(length, np.bool_)
        mask[self.row_ids] = of_values[self.codes]
        return mask


class MetadataIndex:
    """Columns of the metadata keys that filters have used, for all threads.

    The first filter on a key reads the metadata of every node: about half a second for 200,000 of them. Later ones read
    those of new nodes only. Row ids are never used again and rows never change, so that a column is right for readers
    of any generation: it may know more rows than a reader has, and never less.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: dict[str, _Column] = {}

    def filter_mask(
        self, reader: TableReader, condition: Group, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Say of each row id whether its metadata meet a condition, and whether it was allowed before.

        Of row ids that are not there it may say either.

        Args:
            reader: The rows are its.
            condition: The compiled filters.
            allowed: Whether each row id may be found. Defaults to all.

        Raises:
            InvalidFilter: The condition cannot be applied to the metadata of a node that is there and allowed.
            DamagedIndex: Metadata are not what was written.
        """
        keys = {one.key for one in iter_conditions(condition)}
        with self._lock:
            self._catch_up(reader, keys)
            columns = {key: self._columns[key] for key in keys}
            length = max(column.last_row_id for column in columns.values()) + 1
            failures: list[tuple[InvalidFilter, NDArray[np.bool_]]] = []
            matched: NDArray[np.bool_] = fold(condition, lambda one: _truth(columns[one.key], one, length, failures))
        for error, rows in failures:
            concerned = rows if allowed is None else mask_and(rows, allowed)
            if reader.has_any(np.flatnonzero(concerned).tolist()):
                raise error
        return matched if allowed is None else mask_and(matched, allowed)

    def _catch_up(self, reader: TableReader, keys: Iterable[str]) -> None:
        """Bring the columns of some keys to the reader; those that read from the same row on read together."""
        most = 2 * reader.manifest.node_count + _SPARE_ROWS
        for key in keys:
            if key not in self._columns or len(self._columns[key].row_ids) > most:
                self._columns[key] = _Column()
        for start in sorted({self._columns[key].last_row_id for key in keys}):
            together = {key: self._columns[key] for key in keys if self._columns[key].last_row_id == start}
            row_ids: list[int] = []
            codes: dict[str, list[int]] = {key: [] for key in together}
            for row_id, ref_doc_id, metadata in reader.metadata_after(start):
                row_ids.append(row_id)
                for key, column in together.items():
                    codes[key].append(column.encode(value_of(key, metadata, ref_doc_id)))
            for key, column in together.items():
                column.extend(codes[key], row_ids)


def mask_from_ids(row_ids: Iterable[int]) -> NDArray[np.bool_]:
    """Turn row ids into a mask that says of each row id whether it is among them, shape (highest row id + 1,)."""
    ids = np.fromiter(row_ids, np.int64)
    mask = np.zeros(int(ids.max()) + 1 if len(ids) else 0, np.bool_)
    mask[ids] = True
    return mask


def mask_and(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Join two masks; what is past the end of either is False."""
    length = min(len(one), len(other))
    joined: NDArray[np.bool_] = one[:length] & other[:length]
    return joined


def _truth(
    column: _Column, condition: Condition, length: int, failures: list[tuple[InvalidFilter, NDArray[np.bool_]]]
) -> NDArray[np.bool_]:
    """Say of each row id whether its value meets a condition; note the rows to whose values it cannot be applied."""
    holds = np.zeros(len(column.values), np.bool_)
    fails = np.zeros(len(column.values), np.bool_)
    first: InvalidFilter | None = None
    for code in _candidate_codes(column, condition):
        try:
            holds[code] = condition.holds(column.values[code])
        except InvalidFilter as error:
            fails[code] = True
            first = first or error
    if first is not None:
        failures.append((first, column.mask(fails, length)))
    return column.mask(holds, length)


def _candidate_codes(column: _Column, condition: Condition) -> Iterable[int]:
    """Give the codes of the values to compare: all of them, or the requested ones where these are texts."""
    texts = condition.value if condition.operator is FilterOperator.IN else [condition.value]
    if condition.operator in (FilterOperator.EQ, FilterOperator.IN) and all(isinstance(text, str) for text in texts):
        return [column.code_of[str, text] for text in texts if (str, text) in column.code_of]
    return range(len(column.values))
