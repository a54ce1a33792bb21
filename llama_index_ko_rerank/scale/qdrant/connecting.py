"""Qdrant's client by the place that it is to reach, so that another process can make its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdrant_client import QdrantClient

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.scale.qdrant.failures import qdrant_call

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
