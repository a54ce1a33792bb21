"""Where the shards of a collection lie, and which document belongs to which."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound

SHARDS_FILE = "shards.json"
SHARDS_FORMAT = 1


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
    return (Path(folder) / SHARDS_FILE).exists()


def find_shards(folder: str | Path) -> Shards:
    """Read which shards a collection has.

    Raises:
        IndexNotFound: The folder holds no sharded collection.
        DamagedIndex: What it says of its shards cannot be read.
    """
    place = Path(folder).expanduser().absolute()
    try:
        content = json.loads((place / SHARDS_FILE).read_text(encoding="utf-8"))
        if content["format"] != SHARDS_FORMAT:
            raise ValueError(f"its format is {content['format']!r}, and this release reads {SHARDS_FORMAT}")
        return Shards(place, int(content["shards"]), content["source"])
    except FileNotFoundError as problem:
        raise IndexNotFound(
            f"{str(place)!r} holds no {SHARDS_FILE}; make one with `ko-rerank index --engine ray`"
        ) from problem
    except (ValueError, KeyError, TypeError) as problem:
        raise DamagedIndex(f"{SHARDS_FILE} in {str(place)!r} cannot be read: {problem}") from problem
