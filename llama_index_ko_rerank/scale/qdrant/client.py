"""One collection at Qdrant: points in, points out, every failure one of this package's errors."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from grpc import RpcError, StatusCode  # type: ignore[import-untyped]  # grpc has no types
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from llama_index_ko_rerank.errors import (
    DiskFull,
    IndexNotFound,
    IndexReadOnly,
    InvalidSetting,
    KoRerankError,
    QdrantUnavailable,
    StoreError,
)
from llama_index_ko_rerank.scale.qdrant.manifest import KEY, Manifest, read_manifest
from llama_index_ko_rerank.scale.qdrant.points import DOCUMENT, FACTS, NODE
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS


@contextmanager
def qdrant_call(deed: str) -> Iterator[None]:
    """Turn what the client raises inside the block into errors of this package.

    Args:
        deed: What was to be done, for the message, such as ``search the collection 'rules'``.

    Raises:
        QdrantUnavailable: The server cannot be reached, or fails.
        IndexNotFound: There is no such collection.
        IndexReadOnly: The server refuses the key, or the key allows less.
        DiskFull: The server has no room.
        StoreError: The server refuses the request otherwise; its words are in the message.
    """
    try:
        yield
    except KoRerankError:
        raise
    except UnexpectedResponse as problem:
        raise _of_status(problem, deed) from problem
    except RpcError as problem:
        raise _of_code(problem, deed) from problem
    except (ResponseHandlingException, QdrantException, ConnectionError, TimeoutError) as problem:
        raise QdrantUnavailable(
            f"could not {deed}: Qdrant does not answer ({problem}); see whether the server runs at this address"
        ) from problem
    except JSONDecodeError as problem:
        raise QdrantUnavailable(f"could not {deed}: what answers at this address is no Qdrant ({problem})") from problem
    except (ValueError, RuntimeError, OSError, sqlite3.Error) as problem:
        raise _of_local_mode(problem, deed) from problem


def _of_status(problem: UnexpectedResponse, deed: str) -> StoreError:
    said = problem.content.decode("utf-8", "replace")[:300]
    if problem.status_code == 404:
        return IndexNotFound(
            f"could not {deed}: there is no such collection, or it was built anew: open it again ({said})"
        )
    if problem.status_code in (401, 403):
        return IndexReadOnly(f"could not {deed}: Qdrant refuses it; give the client a key that allows it ({said})")
    if "space left" in said:
        return DiskFull(f"could not {deed}: Qdrant's disk is full ({said})")
    if problem.status_code is None or problem.status_code >= 500 or problem.status_code == 429:
        return QdrantUnavailable(f"could not {deed}: Qdrant answers {problem.status_code} ({said}); try again later")
    return StoreError(f"could not {deed}: Qdrant answers {problem.status_code} ({said})")


def _of_code(problem: RpcError, deed: str) -> StoreError:
    code = problem.code() if hasattr(problem, "code") else None
    kinds: dict[object, type[StoreError]] = {
        StatusCode.NOT_FOUND: IndexNotFound,
        StatusCode.UNAUTHENTICATED: IndexReadOnly,
        StatusCode.PERMISSION_DENIED: IndexReadOnly,
        StatusCode.INVALID_ARGUMENT: StoreError,
        StatusCode.UNIMPLEMENTED: StoreError,
    }
    return kinds.get(code, QdrantUnavailable)(f"could not {deed}: Qdrant answers {code} ({str(problem)[:300]})")


def _of_local_mode(problem: Exception, deed: str) -> StoreError:
    """The client's local mode has no statuses, only words."""
    said = str(problem)
    if isinstance(problem, ValueError) and "not found" in said:
        return IndexNotFound(
            f"could not {deed}: there is no such collection, or it was built anew: open it again ({said})"
        )
    if "disk is full" in said or "space left" in said:
        return DiskFull(f"could not {deed}: the disk is full ({said})")
    if "closed" in said:
        return QdrantUnavailable(f"could not {deed}: the client is closed; open another ({said})")
    return StoreError(f"could not {deed}: {said}")


DENSE = "dense"
_POINTS_A_REQUEST = 128
_POINTS_A_PAGE = 1024


class QdrantCollection:
    """A collection with one dense vector and one sparse vector for each lexical view.

    Args:
        client: Qdrant's client, of a server or in local mode.
        name: The collection itself, not an alias.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        self.client = client
        self.name = name

    @classmethod
    def behind(cls, client: QdrantClient, name: str) -> QdrantCollection:
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


_SECONDS_A_REQUEST = 60


def connect(location: str | Path, api_key: str | None) -> QdrantClient:
    """Make a client.

    Args:
        location: A server's URL as text, or as a path the folder of local mode, which one process at a time can open.
        api_key: What the server asks for, if anything.

    Raises:
        InvalidSetting: The text is no URL.
        StoreError: The folder cannot be opened, or another process has it open.
    """
    if isinstance(location, Path):
        with qdrant_call(f"open the folder {str(location)!r}"):
            return QdrantClient(path=str(location.expanduser().absolute()))
    check_url(location)
    with qdrant_call(f"reach {location!r}"):
        return QdrantClient(url=location, api_key=api_key, timeout=_SECONDS_A_REQUEST, check_compatibility=False)


def check_url(url: str) -> None:
    """Refuse what names no server.

    Raises:
        InvalidSetting: It does not begin as a URL does.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidSetting(f"a Qdrant server is named by a URL such as http://127.0.0.1:6333, not by {url!r}")


@contextmanager
def connected(location: str | Path, api_key: str | None) -> Iterator[QdrantClient]:
    """Make a client, and close it; raises what `connect` does."""
    client = connect(location, api_key)
    try:
        yield client
    finally:
        client.close()
