"""Metadata by key, kept in memory so that a filter is read off and not searched for."""

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
from llama_index_ko_rerank.store.filters import Condition, Group, evaluate, in_nfc, iter_conditions, value_of
from llama_index_ko_rerank.store.sqlite.reader import TableReader

_SPARE_ROWS = 1024


@dataclass(slots=True)
class _Column:
    """The values of one key: each different one once, and for each row the place of its own."""

    values: list[Any] = field(default_factory=list)
    places: dict[object, int] = field(default_factory=dict)
    codes: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    row_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    new_codes: list[int] = field(default_factory=list)

    def take(self, value: Any) -> None:
        value = in_nfc(value)
        # 1, 1.0 and True are equal and are kept apart all the same: an error names what was found.
        is_plain = value is None or isinstance(value, str | int | float)
        name = (type(value), value) if is_plain else json.dumps(value, ensure_ascii=False)
        place = self.places.setdefault(name, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        self.new_codes.append(place)

    def close(self, new_row_ids: list[int]) -> None:
        self.codes = np.concatenate([self.codes, np.array(self.new_codes, np.int32)])
        self.row_ids = np.concatenate([self.row_ids, np.array(new_row_ids, np.int64)])
        self.new_codes = []

    @property
    def last_row_id(self) -> int:
        return int(self.row_ids[-1]) if len(self.row_ids) else 0


class MetadataColumns:
    """The keys that filters have asked for, for all threads.

    The first filter on a key reads the metadata of every node: about half a second for 200,000 of them. Later ones read
    those of new nodes only. Row ids are never used again and rows never change, so that a column is right for views of
    any generation: it may know more rows than a view has, and never less.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: dict[str, _Column] = {}

    def narrow(self, view: TableReader, condition: Group, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Say of each row id whether its metadata meet a condition, and whether it was allowed before.

        Of row ids that are not there it may say either.

        Args:
            view: Whose rows are looked at.
            condition: What is asked.
            allowed: Whether each row id may be found at all; all may where None.

        Raises:
            InvalidFilter: The condition cannot be applied to the metadata of a node that is there and allowed.
            DamagedIndex: Metadata are not what was written.
        """
        keys = {one.key for one in iter_conditions(condition)}
        with self._lock:
            self._follow(view, keys)
            columns = {key: self._columns[key] for key in keys}
            length = max(column.last_row_id for column in columns.values()) + 1
            unfit: list[tuple[InvalidFilter, NDArray[np.bool_]]] = []
            met: NDArray[np.bool_] = evaluate(condition, lambda one: _truth(columns[one.key], one, length, unfit))
        for problem, rows in unfit:
            meant = rows if allowed is None else both(rows, allowed)
            if view.has_any(np.flatnonzero(meant).tolist()):
                raise problem
        return met if allowed is None else both(met, allowed)

    def _follow(self, view: TableReader, keys: Iterable[str]) -> None:
        """Bring the columns of some keys to the view; those that read from the same row on read together."""
        most = 2 * view.manifest.node_count + _SPARE_ROWS
        for key in keys:
            if key not in self._columns or len(self._columns[key].row_ids) > most:
                self._columns[key] = _Column()
        for start in sorted({self._columns[key].last_row_id for key in keys}):
            together = {key: self._columns[key] for key in keys if self._columns[key].last_row_id == start}
            new_row_ids = []
            for row_id, ref_doc_id, metadata in view.metadata_after(start):
                new_row_ids.append(row_id)
                for key, column in together.items():
                    column.take(value_of(key, metadata, ref_doc_id))
            for column in together.values():
                column.close(new_row_ids)


def mask_of(row_ids: Iterable[int]) -> NDArray[np.bool_]:
    """Turn row ids into a mask that says of each row id, by its place, whether it is among them."""
    places = np.fromiter(row_ids, np.int64)
    mask = np.zeros(int(places.max()) + 1 if len(places) else 0, np.bool_)
    mask[places] = True
    return mask


def both(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Join two masks; what is past the end of either is False."""
    length = min(len(one), len(other))
    joined: NDArray[np.bool_] = one[:length] & other[:length]
    return joined


def _truth(
    column: _Column, condition: Condition, length: int, unfit: list[tuple[InvalidFilter, NDArray[np.bool_]]]
) -> NDArray[np.bool_]:
    """Say of each row id whether its value meets a condition; note the rows to whose values it cannot be applied."""
    holds = np.zeros(len(column.values), np.bool_)
    fails = np.zeros(len(column.values), np.bool_)
    problem: InvalidFilter | None = None
    for place in _places_to_try(column, condition):
        try:
            holds[place] = condition.holds(column.values[place])
        except InvalidFilter as found:
            fails[place] = True
            problem = problem or found
    if problem is not None:
        unfit.append((problem, _spread(column, fails, length)))
    return _spread(column, holds, length)


def _places_to_try(column: _Column, condition: Condition) -> Iterable[int]:
    """Each different value is tried once; where a text is looked for, only that text."""
    texts = condition.value if condition.operator is FilterOperator.IN else [condition.value]
    if condition.operator in (FilterOperator.EQ, FilterOperator.IN) and all(isinstance(text, str) for text in texts):
        return [column.places[str, text] for text in texts if (str, text) in column.places]
    return range(len(column.values))


def _spread(column: _Column, of_values: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    mask = np.zeros(length, np.bool_)
    mask[column.row_ids] = of_values[column.codes]
    return mask
