"""The one writer of a collection at Qdrant: what the workers hand on becomes points, which may be written again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llama_index_ko_rerank.scale.qdrant.collection import Collection
from llama_index_ko_rerank.scale.qdrant.connecting import connect
from llama_index_ko_rerank.scale.qdrant.manifest import Manifest
from llama_index_ko_rerank.scale.qdrant.payloads import NODE, point_id
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS, TokenCounts
from llama_index_ko_rerank.scale.qdrant.writing import check_dimension, write_rows
from llama_index_ko_rerank.scale.ray.rows import read_rows


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
        self._collection = Collection(connect(location, api_key), name)
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
