"""One writer a shard: what the workers hand on is written by transactions that may be repeated without harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llama_index_ko_rerank.scale.ray.rows import read_rows
from llama_index_ko_rerank.store.index_folder import IndexFolder


class ShardWriter:
    """Writes one shard. It is the only one to do so, and Ray starts it again where its process dies.

    What `write` was given when it died is given to it again: either nothing of it is in the table, or all of it, and
    then it takes its own place.
    """

    def __init__(self, folder: str, embedding_identity: Mapping[str, Any]) -> None:
        """Open the index of the shard."""
        self._index = IndexFolder(Path(folder), mode="open", embedding_identity=embedding_identity)

    def write(self, documents: Sequence[tuple[str, str, bytes]]) -> int:
        """Put documents in the place of what the shard holds of them, in one transaction.

        Args:
            documents: Id, rows and vectors of each, as in `Encoded`.

        Returns:
            How many nodes were written.
        """
        rows = [row for _, encoded, _ in documents for row in read_rows(encoded)]
        with self._index.transaction() as writer:
            writer.delete_documents([document_id for document_id, _, _ in documents])
            if rows:
                vectors = np.frombuffer(b"".join(part for _, _, part in documents), np.float32)
                writer.upsert(rows, vectors.reshape(len(rows), -1))
        return len(rows)

    def delete(self, document_ids: Sequence[str]) -> None:
        """Take documents out, in one transaction."""
        with self._index.transaction() as writer:
            writer.delete_documents(document_ids)

    def content_hashes(self, node_ids: Sequence[str]) -> dict[str, str]:
        """Give the content hash of each of the nodes that the shard holds."""
        return {row.node_id: row.content_hash for row in self._index.rows(node_ids, None)} if node_ids else {}

    def finish(self) -> int:
        """Write a snapshot, where the kind of index has one, and say how many nodes there are."""
        self._index.write_snapshot()
        with self._index.read() as view:
            return view.manifest.node_count
