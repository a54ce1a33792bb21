"""One collection at Qdrant: points in, points out, every failure one of this package's errors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import QdrantClient, models

from llama_index_ko_rerank.errors import StoreError
from llama_index_ko_rerank.scale.qdrant.failures import qdrant_call
from llama_index_ko_rerank.scale.qdrant.manifest import KEY, Manifest, read_manifest
from llama_index_ko_rerank.scale.qdrant.payloads import DOCUMENT, FACTS, NODE
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS

DENSE = "dense"
_POINTS_A_REQUEST = 128
_POINTS_A_PAGE = 1024


class Collection:
    """A collection with one dense vector and one sparse vector for each lexical view.

    Args:
        client: Qdrant's client, of a server or in local mode.
        name: The collection itself, not an alias.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        self.client = client
        self.name = name

    @classmethod
    def behind(cls, client: QdrantClient, name: str) -> Collection:
        """Find the collection that a name is an alias of now, or else that has this name.

        What is opened thus stays the same when the alias moves on to another collection.
        """
        return cls(client, aliases(client).get(name, name))

    def create(self, manifest: Manifest) -> None:
        """Make the collection, which must not be there."""
        dense = models.VectorParams(size=manifest.dimension, distance=models.Distance.COSINE)
        sparse = {view: models.SparseVectorParams(modifier=models.Modifier.IDF) for view in VIEWS}
        with qdrant_call(f"make the collection {self.name!r}"):
            self.client.create_collection(
                self.name,
                vectors_config={DENSE: dense},
                sparse_vectors_config=sparse,
                metadata=manifest.to_metadata(),
            )
            kept = self.client.get_collection(self.name).config.metadata
        if not kept or KEY not in kept:
            raise StoreError("this Qdrant server keeps no metadata of collections; upgrade it to 1.16 or newer")
        self.index_payloads()

    def index_payloads(self) -> None:
        """Let the server index what filters ask for; what is indexed already stays."""
        with qdrant_call(f"index the payloads of {self.name!r}"), warnings.catch_warnings():
            # Local mode has no payload indexes and says so each time; it filters all the same.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            for field in (DOCUMENT, FACTS):
                self.client.create_payload_index(self.name, field, field_schema=models.PayloadSchemaType.KEYWORD)

    def complete(self, manifest: Manifest) -> None:
        """Write into the collection that its build came to its end."""
        with qdrant_call(f"finish the collection {self.name!r}"):
            self.client.update_collection(self.name, metadata=manifest.completed().to_metadata())

    def manifest(self, *, unfinished: bool = False) -> Manifest:
        """Read what the collection was built with.

        Args:
            unfinished: Whether its build need not have come to an end.

        Raises:
            IndexNotFound: There is no such collection, or its build was interrupted.
            DamagedIndex: Something else made it.
        """
        with qdrant_call(f"open the collection {self.name!r}"):
            metadata = self.client.get_collection(self.name).config.metadata
        return read_manifest(metadata, self.name, unfinished=unfinished)

    def count(self) -> int:
        """Count the points."""
        with qdrant_call(f"count the nodes of {self.name!r}"):
            return self.client.count(self.name, exact=True).count

    def size(self) -> int:
        """Say roughly how many points there are, without counting them."""
        with qdrant_call(f"ask for the size of {self.name!r}"):
            return self.client.get_collection(self.name).points_count or 0

    def upsert(self, points: Sequence[models.PointStruct]) -> None:
        """Write points, replacing those of the same ids; each request is one change at the server.

        Raises:
            StoreError: One of its kinds, saying how many points were written before it; writing all of them again
                is safe.
        """
        for start in range(0, len(points), _POINTS_A_REQUEST):
            deed = (
                f"write {len(points)} nodes into {self.name!r} ({start} were written; add all of them again, what is "
                "there is replaced)"
            )
            with qdrant_call(deed):
                self.client.upsert(self.name, list(points[start : start + _POINTS_A_REQUEST]), wait=True)

    def delete(self, selected: models.Filter) -> None:
        """Delete the points that a filter selects, in one request."""
        with qdrant_call(f"delete nodes from {self.name!r}"):
            self.client.delete(self.name, models.FilterSelector(filter=selected), wait=True)

    def payloads(self, selected: models.Filter | None = None, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the payloads of the points that a filter selects, in the order of the server."""
        offset, left = None, limit
        while left is None or left > 0:
            page = _POINTS_A_PAGE if left is None else min(left, _POINTS_A_PAGE)
            with qdrant_call(f"read the nodes of {self.name!r}"):
                records, offset = self.client.scroll(
                    self.name, scroll_filter=selected, limit=page, offset=offset, with_payload=[NODE]
                )
            for record in records:
                yield record.payload or {}
            left = None if left is None else left - len(records)
            if offset is None:
                return

    def retrieve(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Read the payloads of some points by their ids; those that are not there are left out."""
        if not ids:
            return {}
        with qdrant_call(f"read nodes of {self.name!r}"):
            records = self.client.retrieve(self.name, list(ids), with_payload=[NODE])
        return {str(record.id): record.payload or {} for record in records}

    def nearest(
        self, vector: Sequence[float], *, limit: int, selected: models.Filter | None
    ) -> list[models.ScoredPoint]:
        """Find the points of the largest cosines, best first, with their payloads."""
        with qdrant_call(f"search the collection {self.name!r}"):
            return self.client.query_points(
                self.name, query=list(vector), using=DENSE, query_filter=selected, limit=limit, with_payload=[NODE]
            ).points

    def matching(
        self,
        searches: Sequence[tuple[str, models.SparseVector, int, models.Filter | None]],
        *,
        with_vectors: bool = False,
    ) -> list[list[models.ScoredPoint]]:
        """Answer several searches by words in one request.

        Args:
            searches: The view, the question's vector, the most points, and a filter, of each.
            with_vectors: Whether the points come with their vectors of that view.
        """
        requests = [
            models.QueryRequest(
                query=models.NearestQuery(nearest=vector),
                using=view,
                limit=limit,
                filter=selected,
                with_payload=False,
                with_vector=[view] if with_vectors else False,
            )
            for view, vector, limit, selected in searches
        ]
        if not requests:
            return []
        with qdrant_call(f"search the collection {self.name!r}"):
            return [answer.points for answer in self.client.query_batch_points(self.name, requests)]


def aliases(client: QdrantClient) -> dict[str, str]:
    """Return the collection of each alias at the server."""
    with qdrant_call("read the aliases of the collections"):
        return {one.alias_name: one.collection_name for one in client.get_aliases().aliases}
