"""Replacing an index in one step: a build fills a new collection, of which the index's name then becomes an alias."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from uuid import uuid4

from qdrant_client import QdrantClient, models

from llama_index_ko_rerank.errors import IndexExists, IndexNotFound, StoreError
from llama_index_ko_rerank.scale.qdrant.collection import Collection, aliases
from llama_index_ko_rerank.scale.qdrant.failures import qdrant_call

logger = logging.getLogger(__name__)


def new_collection(client: QdrantClient, name: str) -> Collection:
    """Name the collection of a new build; it is not made."""
    return Collection(client, f"{name}.{uuid4().hex[:8]}")


def builds_of(client: QdrantClient, name: str) -> list[str]:
    """List the collections of all builds of a name, finished or not."""
    with qdrant_call("list the collections"):
        names = [one.name for one in client.get_collections().collections]
    return [one for one in names if re.fullmatch(re.escape(name) + r"\.[0-9a-f]{8}", one)]


def find_room(client: QdrantClient, name: str, *, overwrite: bool) -> str | None:
    """Return the collection that the name is an alias of, None where the name is free.

    Raises:
        IndexExists: There is an index of this name and ``overwrite`` is False, or a collection that is no alias.
    """
    behind = aliases(client).get(name)
    if behind is None:
        with qdrant_call(f"look for the collection {name!r}"):
            is_there = client.collection_exists(name)
        if is_there:
            raise IndexExists(f"there is a collection {name!r} that build_qdrant_index did not make; choose another")
    elif not overwrite:
        raise IndexExists(f"there is an index {name!r}; open it with open_qdrant_index, or pass overwrite=True")
    return behind


def drop_leftovers(client: QdrantClient, name: str, *, keep: Sequence[str | None]) -> None:
    """Delete what builds of this name have left that were interrupted."""
    for one in builds_of(client, name):
        if one not in keep:
            drop(client, one)


def point_to(client: QdrantClient, name: str, fresh: str, behind: str | None) -> None:
    """Let the name mean the new collection, in one step, and drop the old one."""
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=fresh, alias_name=name))
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
    with qdrant_call(f"give the index the name {name!r}"):
        client.update_collection_aliases([delete, create] if behind else [create])
    if behind:
        drop(client, behind)


def drop(client: QdrantClient, name: str) -> None:
    """Delete a collection; what cannot be deleted now is left to the next build."""
    try:
        with qdrant_call(f"delete the collection {name!r}"):
            client.delete_collection(name)
    except IndexNotFound:
        return
    except StoreError as problem:
        logger.warning("%s; the next build of that name deletes it", problem)
