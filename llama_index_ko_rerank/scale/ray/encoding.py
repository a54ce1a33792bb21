"""What the workers do: files and passages to rows and unit vectors, with a model that each loads once."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.utils import embed_nodes
from llama_index.core.schema import TextNode
from numpy.typing import NDArray

from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset
from llama_index_ko_rerank.errors import DatasetUnavailable, MalformedData
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.ingest.chunking import DOCUMENT_ERRORS, Chunker, SourceRecord
from llama_index_ko_rerank.ingest.documents import FoundFile
from llama_index_ko_rerank.ingest.sync import FileToIngest
from llama_index_ko_rerank.scale.ray.pipeline import Batch, Encoded, Outcome, columns, rows_as_json
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from llama_index_ko_rerank.store.sharded import shard_of
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, to_rows


def file_item(planned: FileToIngest, shard: int) -> dict[str, Any]:
    """Turn a planned file into the plain values that `FileEncoder` reads."""
    return {
        "shard": shard,
        "document_id": planned.document_id,
        "path": str(planned.file.path),
        "name": planned.file.name,
        "size": planned.file.size,
        "record": json.dumps(asdict(planned.record)) if planned.record else "",
    }


class FileEncoder:
    """Reads, splits and embeds files as `run_sync` does."""

    def __init__(self, embed_model: BaseEmbedding, *, chunk_tokens: int | None, max_bytes: int) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the other workers use the other processors
        self._model = embed_model
        self._chunker = Chunker(embed_model, chunk_tokens=chunk_tokens)
        self._max_bytes = max_bytes

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Encode some files; one that cannot be read or embedded spoils no other."""
        items = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        read = [self._read_item(item) for item in items]
        together = [node for nodes in read if isinstance(nodes, list) for node in nodes]
        try:
            vectors = dict(zip((node.node_id for node in together), _vectors(together, self._model), strict=True))
        except DOCUMENT_ERRORS:
            vectors = {}  # then one by one
        return columns([self._encoded(item, nodes, vectors) for item, nodes in zip(items, read, strict=True)])

    def _read_item(self, item: Mapping[str, Any]) -> list[TextNode] | str | None:
        """Read and split a file; the reason where it cannot be read, None where its text is what was indexed before."""
        known = SourceRecord(**json.loads(item["record"])) if item["record"] else None
        file = FoundFile(Path(str(item["path"])), str(item["name"]), int(item["size"]))
        try:
            chunked = self._chunker.chunk_file(
                file, document_id=str(item["document_id"]), record=known, max_bytes=self._max_bytes
            )
            return None if chunked is None else chunked.nodes
        except DOCUMENT_ERRORS as problem:
            return str(problem)

    def _encoded(
        self, item: Mapping[str, Any], nodes: list[TextNode] | str | None, vectors: Mapping[str, NDArray[np.float32]]
    ) -> Encoded:
        document = Encoded(
            shard=int(item["shard"]),
            document_id=str(item["document_id"]),
            name=str(item["path"]),
            outcome="changed" if item["record"] else "added",
            size=int(item["size"]),
        )
        if nodes is None:
            return replace(document, outcome="unchanged")
        if isinstance(nodes, str):
            return replace(document, outcome="failed", reason=nodes)
        try:
            rows = to_rows(nodes)
            own = np.array([vectors[node.node_id] for node in nodes]) if vectors else _vectors(nodes, self._model)
        except DOCUMENT_ERRORS as problem:
            return replace(document, outcome="failed", reason=str(problem))
        return replace(document, chunks=len(rows), rows=rows_as_json(rows), vectors=own.astype(np.float32).tobytes())


class PassageEncoder:
    """Embeds the passages of a data set as `build_index` does, except those that are in their shard as they are."""

    def __init__(self, embed_model: BaseEmbedding, *, writers: Sequence[Any], resumes: bool) -> None:
        """Load nothing but what is given.

        Args:
            embed_model: The model.
            writers: One handle of a `ShardWriter` a shard.
            resumes: Whether the shards may hold some of the passages.
        """
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the other workers use the other processors
        self._model = embed_model
        self._writers = writers
        self._resumes = resumes

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Encode some passages."""
        nodes, without_text = passage_nodes(batch)
        rows = to_rows(nodes) if nodes else []
        known = self._known(rows)
        changed = [place for place, row in enumerate(rows) if known.get(row.node_id) != row.content_hash]
        vectors = _vectors([nodes[place] for place in changed], self._model)
        encoded = [self._encoded(rows[place], vectors[number], known) for number, place in enumerate(changed)]
        written = {document.document_id for document in encoded}
        encoded += [self._told(row.node_id, "unchanged") for row in rows if row.node_id not in written]
        encoded += [self._told(passage_id, "failed", "has no text") for passage_id in without_text]
        return columns(encoded)

    def _known(self, rows: Sequence[NodeRow]) -> dict[str, str]:
        """Ask the shards which of the rows they hold, and with which content."""
        if not self._resumes:
            return {}
        import ray

        ids: list[list[str]] = [[] for _ in self._writers]
        for row in rows:
            ids[shard_of(row.node_id, len(ids))].append(row.node_id)
        asked = [writer.content_hashes.remote(some) for writer, some in zip(self._writers, ids, strict=True)]
        return {node_id: digest for answer in ray.get(asked) for node_id, digest in answer.items()}

    def _encoded(self, row: NodeRow, vector: NDArray[np.float32], known: Mapping[str, str]) -> Encoded:
        return Encoded(
            shard=shard_of(row.node_id, len(self._writers)),
            document_id=row.node_id,
            name=row.node_id,
            outcome="changed" if row.node_id in known else "added",
            size=len(row.text),
            chunks=1,
            rows=rows_as_json([row]),
            vectors=vector.tobytes(),
        )

    def _told(self, node_id: str, outcome: Outcome, reason: str = "") -> Encoded:
        shard = shard_of(node_id, len(self._writers))
        return Encoded(shard=shard, document_id=node_id, name=node_id, outcome=outcome, reason=reason)


def passage_nodes(batch: Batch) -> tuple[list[TextNode], list[str]]:
    """Turn rows with ``id``, ``text`` and ``title`` into nodes; the ids of those without a text come apart."""
    passages = [
        Passage(str(identity), unicodedata.normalize("NFC", str(text)), str(title))
        for identity, text, title in zip(batch["id"], batch["text"], batch["title"], strict=True)
    ]
    with_text = tuple(passage for passage in passages if passage.text.strip())
    nodes = dataset_nodes(RetrievalDataset("", "", with_text, ()))
    return nodes, [passage.id for passage in passages if not passage.text.strip()]


def _vectors(nodes: Sequence[TextNode], model: BaseEmbedding) -> NDArray[np.float32]:
    if not nodes:
        return np.zeros((0, 0), np.float32)
    by_id = embed_nodes(nodes, model)
    ids = [node.node_id for node in nodes]
    return normalize_embeddings([by_id[node_id] for node_id in ids], [f"node {node_id!r}" for node_id in ids])


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
