"""Choosing and making the shards of a collection."""

from __future__ import annotations

from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.answer.collection import index_folder
from llama_index_ko_rerank.errors import IndexExists, IndexNotFound, InvalidSetting
from llama_index_ko_rerank.evaluate.rendering import write_json_file
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.sharded_layout import SHARDS_FILE, SHARDS_FORMAT, Shards, find_shards, is_sharded
from llama_index_ko_rerank.store.sync import start_index

DEFAULT_SHARDS = 2
MOST_SHARDS = 1024


def choose_shards(folder: str | Path, count: int | None, *, source: str | None = None) -> Shards:
    """Take the shards that a collection has, or so many new ones; nothing is written.

    Args:
        folder: Of the collection.
        count: What was asked for; `DEFAULT_SHARDS` of a new collection where None.
        source: What the collection will hold, see `Shards`.

    Raises:
        InvalidSetting: The number is out of range, or not that of the collection.
        IndexExists: The collection is there and has no shards.
    """
    if count is not None and not 1 <= count <= MOST_SHARDS:
        raise InvalidSetting(f"shards must be 1 to {MOST_SHARDS}, not {count}")
    place = Path(folder).expanduser().absolute()
    if not is_sharded(place):
        if index_folder(place).exists():
            raise IndexExists(f"the collection in {place} was made as one index; shard it in another folder")
        return Shards(place, count or DEFAULT_SHARDS, source)
    known = find_shards(place)
    if count not in (None, known.count):
        raise InvalidSetting(
            f"the collection in {place} has {known.count} shards, and {count} were asked for; a document's shard "
            "depends on their number, so make it again in another folder"
        )
    return Shards(place, known.count, source)


def make_shards(shards: Shards, *, embed_model: BaseEmbedding, overwrite: bool = False) -> None:
    """Make the empty indexes that are not there yet, or all of them.

    Raises:
        StoreError: The folder cannot be written.
    """
    shards.folder.mkdir(parents=True, exist_ok=True)
    content = {"format": SHARDS_FORMAT, "shards": shards.count, "source": shards.source}
    write_json_file(shards.folder / SHARDS_FILE, content)
    for place in shards.folders:
        if overwrite or not _has_index(place):
            start_index(place, embed_model=embed_model, overwrite=overwrite)


def _has_index(place: Path) -> bool:
    try:
        IndexFolder(place, mode="open", embedding_identity=None).close()
    except IndexNotFound:
        return False
    return True
