"""Data file of the pretrained E5 model: tokenizer, normalisation table and 4-bit weights, read through a memory map."""

from __future__ import annotations

import mmap
import struct
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAGIC, VERSION = b"E5S1", 1
BLOCK_WEIGHTS, BLOCK_BYTES = 32, 18

_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])


class Shape(NamedTuple):
    """Sizes of the BERT in the file, in the file's order."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int


class SpecialIds(NamedTuple):
    """Token ids with a role of their own, in the file's order."""

    bos: int
    eos: int
    pad: int
    unk: int


class E5File:
    """An opened data file; every number in it is little-endian and is returned in the machine's own order.

    Attributes:
        shape: Sizes of the model.
        epsilon: What layer norms add to a variance.
        special: Ids of the special tokens.
        pieces: Unigram pieces with their log probabilities; the index is the token id.
        normalisation: What takes the place of a character, possibly nothing; any other character stays.
    """

    def __init__(self, path: Path) -> None:
        """Map the file and read all but the weights.

        Raises:
            OSError: The file cannot be opened.
            ValueError: The file is not of this format or of another version of it.
        """
        with path.open("rb") as file:
            # Private and writable in memory, as torch wants it; the file itself is never written.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self._position = 4
        (version,) = self._read("<I")
        if self._map[:4] != MAGIC or version != VERSION:
            raise ValueError(f"magic {self._map[:4]!r} and version {version}, not {MAGIC!r} and {VERSION}")
        self.shape = Shape(*self._read("<7i"))
        self.epsilon, block = self._read("<fi")
        if block != BLOCK_WEIGHTS:
            raise ValueError(f"blocks of {block} weights, not {BLOCK_WEIGHTS}")
        count, *special = self._read("<5i")
        self.special = SpecialIds(*special)
        self.pieces = self._read_pieces(count)
        self.normalisation = self._read_normalisation()
        self._offsets = self._read_directory()

    def vector(self, name: str, *shape: int) -> Tensor:
        """Copy a tensor that is stored in float32."""
        values = np.frombuffer(self._map, "<f4", int(np.prod(shape)), self._offsets[name])
        return torch.from_numpy(values.astype(np.float32).reshape(shape))

    def matrix(self, name: str, rows: int, columns: int) -> Tensor:
        """Return a 4-bit matrix in float32, shape (rows, columns): (nibble - 8) * scale, low nibbles first."""
        blocks = np.frombuffer(self._map, _BLOCK, rows * columns // BLOCK_WEIGHTS, self._offsets[name])
        nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
        values = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
        return torch.from_numpy(values.reshape(rows, columns))

    def blocks(self, name: str, rows: int, columns: int) -> Tensor:
        """Return a 4-bit matrix as it is stored, uint8 of shape (rows, bytes of a row), without reading it."""
        row_bytes = columns // BLOCK_WEIGHTS * BLOCK_BYTES
        start = self._offsets[name]
        return torch.from_numpy(self._bytes[start : start + rows * row_bytes].reshape(rows, row_bytes))

    def release(self) -> None:
        """Give pages that were read back to the system; they are read again where they are needed again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _read(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._map, self._position)
        self._position += struct.calcsize(layout)
        return values

    def _read_pieces(self, count: int) -> list[tuple[str, float]]:
        (length,) = self._read("<Q")
        offsets = np.frombuffer(self._map, "<u4", count + 1, self._position).tolist()
        self._position += 4 * (count + 1)
        scores = np.frombuffer(self._map, "<f4", count, self._position).tolist()
        self._position += 4 * count
        text = self._map[self._position : self._position + length]
        self._position += length
        spans = zip(pairwise(offsets), scores, strict=True)
        return [(text[start:end].decode(), score) for (start, end), score in spans]

    def _read_normalisation(self) -> dict[str, str]:
        entries, length = self._read("<iI")
        end = self._position + length
        table: dict[str, str] = {}
        for _ in range(entries):
            code_point, count = self._read("<IB")
            table[chr(code_point)] = "".join(map(chr, self._read(f"<{count}I")))
        self._position = end
        return table

    def _read_directory(self) -> dict[str, int]:
        """Return where each tensor starts."""
        offsets: dict[str, int] = {}
        (entries,) = self._read("<i")
        for _ in range(entries):
            (length,) = self._read("<H")
            name = self._map[self._position : self._position + length].decode()
            self._position += length
            _kind, _count, offsets[name], _size = self._read("<BIQQ")
        return offsets
