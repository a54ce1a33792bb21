"""What goes wrong at Qdrant, said in this package's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from grpc import RpcError, StatusCode  # type: ignore[import-untyped]  # grpc has no types
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from llama_index_ko_rerank.errors import (
    DiskFull,
    IndexNotFound,
    IndexReadOnly,
    KoRerankError,
    QdrantUnavailable,
    StoreError,
)


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
