"""Rows of unequal length in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class RaggedRows:
    """Rows of unequal length, kept as flat arrays side by side with one array of row starts.

    Args:
        dtypes: The type of each column; every row has one value in each column for each of its items.
    """

    def __init__(self, *dtypes: DTypeLike) -> None:
        self.columns: list[NDArray[Any]] = [np.zeros(0, dtype) for dtype in dtypes]
        self.pointers: NDArray[np.int64] = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return len(self.pointers) - 1

    def append(self, rows: Sequence[tuple[NDArray[Any], ...]]) -> None:
        """Append rows, each with one array a column."""
        if not rows:
            return
        for number, column in enumerate(self.columns):
            added = [np.asarray(row[number]).astype(column.dtype, copy=False) for row in rows]
            self.columns[number] = np.concatenate([column, *added])
        lengths = np.cumsum([len(row[0]) for row in rows], dtype=np.int64)
        self.pointers = np.concatenate([self.pointers, self.pointers[-1] + lengths])

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows where the mask (one value a row) is False; the others move up."""
        sizes = np.diff(self.pointers)
        items = np.repeat(mask, sizes)
        self.columns = [column[items] for column in self.columns]
        self.pointers = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[mask])])

    def row(self, number: int) -> tuple[NDArray[Any], ...]:
        """Return the columns of one row, as views."""
        items = slice(self.pointers[number], self.pointers[number + 1])
        return tuple(column[items] for column in self.columns)

    def take(self, numbers: Sequence[int]) -> tuple[NDArray[np.intp], list[NDArray[Any]]]:
        """Return the columns of some rows end to end, and for each item the place of its row among `numbers`."""
        rows = [slice(self.pointers[number], self.pointers[number + 1]) for number in numbers]
        owners = np.repeat(np.arange(len(rows)), [row.stop - row.start for row in rows])
        if not rows:
            return owners, [column[:0] for column in self.columns]
        return owners, [np.concatenate([column[row] for row in rows]) for column in self.columns]
