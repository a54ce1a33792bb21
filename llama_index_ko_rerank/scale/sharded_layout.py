"""Where the shards of a collection lie, and which document belongs to which."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.answer.collection import index_folder
from llama_index_ko_rerank.errors import DamagedIndex, IndexExists, IndexNotFound, InvalidSetting
from llama_index_ko_rerank.evaluate.rendering import write_json_file
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.sync import start_index

DEFAULT_SHARDS = 2
MOST_SHARDS = 1024
_FILE = "shards.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Shards:
    """The shards of a collection.

    Attributes:
        folder: The collection's folder.
        count: How many there are; it never changes, for a document's shard depends on it.
        source: A digest of the data set that was indexed as a whole; None for files.
    """

    folder: Path
    count: int
    source: str | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders of their indexes, each as deep as the one index of a collection is."""
        return [self.folder / f"shard-{number:04d}" for number in range(self.count)]

    def of(self, document_id: str) -> int:
        """Say which shard a document belongs to."""
        return shard_of(document_id, self.count)


def shard_of(document_id: str, shards: int) -> int:
    """Say which of so many shards a document belongs to: the same on every machine and in every release.

    >>> [shard_of(name, 4) for name in ("가", "나", "다")]
    [0, 0, 3]
    """
    return int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "big") % shards


def is_sharded(folder: str | Path) -> bool:
    """Say whether a collection has shards."""
    return (Path(folder) / _FILE).exists()


def find_shards(folder: str | Path) -> Shards:
    """Read which shards a collection has.

    Raises:
        IndexNotFound: The folder holds no sharded collection.
        DamagedIndex: What it says of its shards cannot be read.
    """
    place = Path(folder).expanduser().absolute()
    try:
        content = json.loads((place / _FILE).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, and this release reads {_FORMAT}")
        return Shards(place, int(content["shards"]), content["source"])
    except FileNotFoundError as problem:
        raise IndexNotFound(
            f"{str(place)!r} holds no {_FILE}; make one with `ko-rerank index --engine ray`"
        ) from problem
    except (ValueError, KeyError, TypeError) as problem:
        raise DamagedIndex(f"{_FILE} in {str(place)!r} cannot be read: {problem}") from problem


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
    content = {"format": _FORMAT, "shards": shards.count, "source": shards.source}
    write_json_file(shards.folder / _FILE, content)
    for place in shards.folders:
        if overwrite or not _has_index(place):
            start_index(place, embed_model=embed_model, overwrite=overwrite)


def _has_index(place: Path) -> bool:
    try:
        IndexFolder(place, mode="open", embedding_identity=None).close()
    except IndexNotFound:
        return False
    return True
