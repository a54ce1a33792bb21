"""The passages of a data set as a Ray data set: those of a Parquet file are never in the memory of one process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.data.dataset import Passage
from llama_index_ko_rerank.errors import DatasetUnavailable, MalformedData
from llama_index_ko_rerank.extras import require_ray

PARQUET = "parquet:"
_AT_ONCE = 1024
_COLUMNS = ("id", "text", "title")
_READING_CPUS = 0.25


@dataclass(frozen=True, slots=True)
class PassageSource:
    """Passages to index.

    Attributes:
        spec: What they were named by.
        digest: Of all of them; equal ones hold the same passages.
        count: How many there are.
        files: The Parquet files; empty where the passages are in memory.
        passages: What is in memory.
    """

    spec: str
    digest: str
    count: int
    files: tuple[Path, ...] = ()
    passages: tuple[Passage, ...] = ()

    def as_dataset(self) -> Any:
        """Make the Ray data set, of rows with ``id``, ``text`` and ``title``."""
        ray = require_ray()
        if self.files:
            paths = [str(file) for file in self.files]
            return ray.data.read_parquet(paths, num_cpus=_READING_CPUS).select_columns(list(_COLUMNS))
        return ray.data.from_arrow(list(_tables(self.passages)))


def open_passages(spec: str) -> PassageSource:
    """Find the passages of a data set.

    Args:
        spec: One of `load_dataset`, which is read into memory, or ``parquet:PATH``: a Parquet file or a folder of them,
            with the columns ``id``, ``text`` and ``title``, all text, read piece by piece by the workers.

    Raises:
        DatasetUnavailable: There is no such file.
        MalformedData: A file is no Parquet file of these columns.
        KoRerankError: What `load_dataset` raises.
    """
    if spec.startswith(PARQUET):
        return _open_parquet(spec, Path(spec.removeprefix(PARQUET)).expanduser().absolute())
    passages = load_dataset(spec).passages
    whole = hashlib.sha256()
    for passage in passages:
        whole.update(repr(passage).encode())
    return PassageSource(spec, f"sha256:{whole.hexdigest()}", len(passages), passages=passages)


def _open_parquet(spec: str, path: Path) -> PassageSource:
    import pyarrow
    from pyarrow import parquet

    files = tuple(sorted(path.glob("*.parquet"))) if path.is_dir() else (path,)
    whole, count = hashlib.sha256(), 0
    try:
        for file in files:
            found = parquet.ParquetFile(file)
            if missing := [name for name in _COLUMNS if name not in found.schema_arrow.names]:
                raise MalformedData(f"{str(file)!r} has no column {missing[0]!r}; it needs {', '.join(_COLUMNS)}")
            count += found.metadata.num_rows
            with file.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as problem:
        raise DatasetUnavailable(f"{spec!r} cannot be read: {problem}") from problem
    except pyarrow.ArrowInvalid as problem:
        raise MalformedData(f"{spec!r} is no Parquet file: {problem}") from problem
    if not count:
        raise DatasetUnavailable(f"{spec!r} holds no passages")
    return PassageSource(spec, f"sha256:{whole.hexdigest()}", count, files=files)


def _tables(passages: tuple[Passage, ...]) -> Iterator[Any]:
    import pyarrow

    for start in range(0, len(passages), _AT_ONCE):
        some = passages[start : start + _AT_ONCE]
        yield pyarrow.table({name: [getattr(passage, name) for passage in some] for name in _COLUMNS})
