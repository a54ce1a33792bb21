"""Indexing on Ray into Qdrant: workers read, embed and count tokens, one writer writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import (
    DamagedIndex,
    DuplicateNodeId,
    EmptyCorpus,
    IndexNotFound,
    IndexTooNew,
    InvalidSetting,
    ModelMismatch,
)
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.ingest.sync import SyncReport
from llama_index_ko_rerank.scale.qdrant.client import QdrantCollection, aliases, connect, connected
from llama_index_ko_rerank.scale.qdrant.index import (
    builds_of,
    drop,
    drop_leftovers,
    find_room,
    new_collection,
    point_to,
)
from llama_index_ko_rerank.scale.qdrant.manifest import Manifest
from llama_index_ko_rerank.scale.qdrant.points import NODE, point_id
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS, SparseEncoder, TokenCounts, count_texts
from llama_index_ko_rerank.scale.qdrant.vector_store import check_dimension, lexical_texts, write_rows
from llama_index_ko_rerank.scale.ray.encoding import PassageEncoder, PassageSource, passage_nodes
from llama_index_ko_rerank.scale.ray.pipeline import (
    PASSAGES_AT_ONCE,
    Batch,
    configure_dataset,
    encode,
    ray_session,
    read_rows,
    reraise_package_errors,
    run,
    started_writers,
)
from llama_index_ko_rerank.store.sqlite.rows import to_node

HANDED = ("rows", "vectors", *VIEWS)
"""The columns that `QdrantWriter` gets."""


class CountingPassageEncoder:
    """Does as `PassageEncoder`, and adds a column a view: the passage's `TokenCounts` as bytes."""

    def __init__(self, embed_model: BaseEmbedding, *, writers: Sequence[Any], resumes: bool) -> None:
        """Take what `PassageEncoder` takes; ``writers`` is the one `QdrantWriter`."""
        self._encode = PassageEncoder(embed_model, writers=writers, resumes=resumes)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Encode some passages."""
        encoded = self._encode(batch)
        rows = [read_rows(each) for each in encoded["rows"]]
        counts = count_texts(lexical_texts([to_node(row) for of_passage in rows for row in of_passage]))
        for view in VIEWS:
            found = iter(counts[view])
            encoded[view] = [next(found).to_bytes() if of_passage else b"" for of_passage in rows]
        return encoded


def measure(batch: Batch) -> dict[str, list[int]]:
    """Count some passages and their tokens: ``read`` of all, ``passages`` that have a text, and the tokens a view."""
    nodes, _ = passage_nodes(batch)
    counts = count_texts(lexical_texts(nodes))
    tokens = {view: [sum(one.length for one in counts[view])] for view in VIEWS}
    return {"read": [len(batch["id"])], "passages": [len(nodes)], **tokens}


class QdrantWriter:
    """Writes a collection that is being built. It is the only one to do so, and Ray starts it again where it dies.

    What `write` was given when it died is given to it again. Some of its points may be there by then; a point is named
    by its node's id, so that they are replaced by themselves.
    """

    def __init__(self, location: str | Path, api_key: str | None, name: str, manifest: Manifest) -> None:
        """Connect to the collection, which is there.

        Args:
            location: See `connect`.
            api_key: See `connect`.
            name: The collection itself, not an alias.
            manifest: What it was made with.
        """
        self._collection = QdrantCollection(connect(location, api_key), name)
        self._encoder = manifest.encoder()
        self._dimension = manifest.dimension

    def write(self, documents: Sequence[tuple[str, bytes, bytes, bytes]]) -> int:
        """Write passages, replacing those of their ids.

        Args:
            documents: Of each what `HANDED` names: its row, its vector, and its tokens in both views.

        Returns:
            How many nodes were written.

        Raises:
            DimensionMismatch: The model made vectors of another length than the collection holds.
            StoreError: One of its kinds; writing all of them again is safe.
        """
        encoded, parts, *words = zip(*documents, strict=True)
        rows = [row for each in encoded for row in read_rows(each)]
        vectors = np.frombuffer(b"".join(parts), np.float32).reshape(len(rows), -1)
        check_dimension(vectors.shape[1], self._dimension, self._collection.name)
        counts = {
            view: [TokenCounts.from_bytes(one) for one in of_view] for view, of_view in zip(VIEWS, words, strict=True)
        }
        write_rows(self._collection, rows, vectors, self._encoder, counts=counts)
        return len(rows)

    def content_hashes(self, node_ids: Sequence[str]) -> dict[str, str]:
        """Give the content hash of each of the nodes that the collection holds."""
        rows = [payload[NODE] for payload in self._collection.retrieve([*map(point_id, node_ids)]).values()]
        return {row["node_id"]: row["content_hash"] for row in rows}

    def finish(self) -> int:
        """Say how many nodes there are, and let the collection go."""
        count = self._collection.count()
        self._collection.client.close()
        return count


Progress = Callable[[int, int], None]


def ingest_passages_into_qdrant(
    location: str | Path,
    collection_name: str,
    source: PassageSource,
    *,
    embed_model: BaseEmbedding,
    api_key: str | None = None,
    overwrite: bool = False,
    address: str | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> SyncReport:
    """Embed the passages of a data set into a collection at Qdrant, as `build_qdrant_index` would.

    The passages flow twice. BM25 measures each against the mean length of all, so a first stream only counts tokens;
    the second embeds, counts again and writes. Kiwi thus reads every text twice, and nothing is kept in between. Beside
    a transformer that costs little; with a static embedding Kiwi is most of the work, and the time nearly doubles.

    A worker or the writer whose process dies is started again, and what it was doing is done again; a point is named
    by its node's id and replaces itself. Where the whole run ends, its collection stays: the same call with the same
    passages, model and Kiwi takes it up, needs no first stream, and embeds only what is not there. An index that was
    made of these passages is left as it is, without comparing it node by node. Every other build of the name deletes
    what was left. Until the end the name means what it meant before.

    Args:
        location: A server's URL as text, or as a path the folder of local mode, in which nobody else may be.
        collection_name: What the collection is called.
        source: From `open_passages`.
        embed_model: The model; each worker loads it once.
        api_key: What the server asks for, if anything.
        overwrite: Replace an index of this name.
        address: Of a running Ray cluster; one of this machine is started where None.
        workers: How many processes embed; see `ray_session`.
        on_progress: Called with the number of passages that were read and are to be read; each counts twice where the
            tokens are counted first.

    Returns:
        What was done; `open_qdrant_index` opens the index.

    Raises:
        IndexExists: There is another index of this name and ``overwrite`` is False, or a collection that is no alias.
        EmptyCorpus: No passage has a text.
        DuplicateNodeId: Two passages have one id.
        InvalidVector, DimensionMismatch: The model made unusable vectors.
        QdrantUnavailable, IndexReadOnly, DiskFull: The server does not answer, refuses, or is full.
        MissingExtra: Ray is not installed.
        InvalidSetting: The location is no URL, or no cluster answers at the address.
    """
    started = time.perf_counter()
    report = SyncReport()
    require_ray()
    build = _Build(location, api_key, collection_name, source, embed_model, on_progress)
    if (there := build.begin(overwrite=overwrite)) is not None:
        report.unchanged = there
        return report
    with ray_session(address, workers) as count:
        if build.manifest is None:
            build.make(build.mean_lengths(workers=count))
        kept = build.fill(report, workers=count)
    build.finish(report, kept=kept)
    report.seconds = time.perf_counter() - started
    return report


class _Build:
    """One build of an index.

    Attributes:
        fresh: The collection that is filled.
        behind: The one that the index's name meant before; None where the name was free.
        manifest: What the collection was made with; None where it is not made yet.
        resumes: Whether an interrupted build made it.
    """

    def __init__(
        self,
        location: str | Path,
        api_key: str | None,
        name: str,
        source: PassageSource,
        embed_model: BaseEmbedding,
        on_progress: Progress | None,
    ) -> None:
        self._place = location, api_key
        self._name, self._source, self._model = name, source, embed_model
        self._on_progress = on_progress
        self.fresh = ""
        self.behind: str | None = None
        self.manifest: Manifest | None = None
        self.resumes = False

    def begin(self, *, overwrite: bool) -> int | None:
        """Find what there is; the number of its nodes where the index was made of these passages and stays."""
        with connected(*self._place) as client:
            if not overwrite and (behind := aliases(client).get(self._name)):
                there = QdrantCollection(client, behind)
                if (manifest := self._mine(there)) and manifest.complete:
                    return there.count()
            self.behind = find_room(client, self._name, overwrite=overwrite)
            self.fresh = new_collection(client, self._name).name
            for left in builds_of(client, self._name):
                manifest = self._mine(QdrantCollection(client, left))
                if manifest and not manifest.complete:
                    self.fresh, self.manifest, self.resumes = left, manifest, True
                    QdrantCollection(client, left).index_payloads()
            drop_leftovers(client, self._name, keep=[self.behind, self.fresh])
        return None

    def mean_lengths(self, *, workers: int) -> dict[str, float]:
        """Count the tokens of all passages; a line a batch comes back.

        Raises:
            EmptyCorpus: No passage has a text.
        """
        passages, tokens, read = 0, dict.fromkeys(VIEWS, 0), 0
        measured = configure_dataset(self._source.as_dataset()).map_batches(
            measure,
            batch_size=PASSAGES_AT_ONCE,
            compute=require_ray().data.TaskPoolStrategy(size=workers),
            num_cpus=1,
        )
        with reraise_package_errors():
            for line in measured.iter_rows():
                passages += line["passages"]
                tokens = {view: tokens[view] + line[view] for view in VIEWS}
                read += line["read"]
                self._show(read, 2 * self._source.count)
        if not passages:
            raise EmptyCorpus(f"no passage of {self._source.spec!r} has a text")
        return {view: tokens[view] / passages or 1.0 for view in VIEWS}

    def make(self, mean_lengths: Mapping[str, float]) -> None:
        """Make the collection."""
        dimension = len(self._model.get_text_embedding("가"))
        encoder = SparseEncoder(mean_lengths)
        self.manifest = Manifest.of(self._model, encoder, dimension=dimension, source=self._source.digest)
        with connected(*self._place) as client:
            QdrantCollection(client, self.fresh).create(self.manifest)

    def fill(self, report: SyncReport, *, workers: int) -> int:
        """Let the passages flow into the collection, and say how many nodes it has then."""
        total = self._source.count if self.resumes else 2 * self._source.count
        before = total - self._source.count
        with started_writers(QdrantWriter, [(*self._place, self.fresh, self.manifest)]) as writers:
            encoded = encode(
                self._source.as_dataset(),
                CountingPassageEncoder,
                self._model,
                {"writers": writers, "resumes": self.resumes},
                workers=workers,
                at_once=PASSAGES_AT_ONCE,
            )
            run(encoded, writers, report, lambda now: self._show(before + now.files_done, total), handed=HANDED)
            return int(require_ray().get(writers[0].finish.remote()))

    def finish(self, report: SyncReport, *, kept: int) -> None:
        """Call the collection complete, and let the name mean it.

        Raises:
            DuplicateNodeId: It has fewer nodes than passages were written; it is deleted.
        """
        assert self.manifest is not None
        with connected(*self._place) as client:
            if kept < report.added + report.changed + report.unchanged:
                drop(client, self.fresh)
                raise DuplicateNodeId(
                    f"{self._source.spec!r} has {self._source.count} passages with only {kept} different ids"
                )
            QdrantCollection(client, self.fresh).complete(self.manifest)
            point_to(client, self._name, self.fresh, self.behind)

    def _show(self, done: int, total: int) -> None:
        if self._on_progress:
            self._on_progress(done, total)

    def _mine(self, collection: QdrantCollection) -> Manifest | None:
        """Read the manifest of a collection that was begun with these passages, this model and these tokenizers."""
        try:
            manifest = collection.manifest(unfinished=True)
            manifest.check_model(embedding_identity(self._model))
            manifest.encoder()
        except (DamagedIndex, IndexNotFound, IndexTooNew, InvalidSetting, ModelMismatch):
            return None
        return manifest if manifest.source == self._source.digest else None
