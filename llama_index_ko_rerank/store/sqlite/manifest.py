"""What an index says of itself: the one row of its table ``manifest``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llama_index_ko_rerank.embed import identity_differences
from llama_index_ko_rerank.errors import ModelMismatch
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType, check_vector_type

UNIT_LENGTH = "unit length"
"""How vectors are normalised, so that their inner product is their cosine."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state of an index at one generation.

    Attributes:
        generation: Counts the transactions that changed nodes, from 0.
        node_count: How many nodes there are.
        dimension: Length of the vectors; None while no node was ever added.
        normalisation: Always `UNIT_LENGTH`.
        embedding_identity: What identifies the embedding model; None where nobody said.
        settings: What the index was built with besides its model, such as ``{"chunk_tokens": 256}``.
        complete: False between the start of a first build and its end.
        log_starts_at: The log of deletions is whole from this generation on.
        snapshot_generation: The generation at which a FAISS snapshot was last due; None where none was.
        snapshot_sha256: That snapshot's checksum in hexadecimal; None where its kind of index needs none.
        vector_dtype: How the table keeps vectors.
        index_settings: Which FAISS index is made of them.
    """

    generation: int
    node_count: int
    dimension: int | None
    normalisation: str
    embedding_identity: dict[str, Any] | None
    settings: dict[str, Any]
    complete: bool
    log_starts_at: int
    snapshot_generation: int | None
    snapshot_sha256: str | None
    vector_dtype: VectorType
    index_settings: IndexSettings

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Manifest:
        """Read the row, which costs one SELECT of one page.

        Raises:
            sqlite3.DatabaseError: The row is missing or cannot be read.
        """
        row = connection.execute(_SELECT).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("its manifest is missing")
        values = dict(zip(_COLUMNS, row, strict=True))
        try:
            values["embedding_identity"] = json.loads(values["embedding_identity"] or "null")
            values["settings"] = json.loads(values["settings"])
            values["index_settings"] = IndexSettings.of(json.loads(values["index_settings"]))
            values["vector_dtype"] = check_vector_type(values["vector_dtype"])
        except (ValueError, TypeError) as problem:
            raise sqlite3.DatabaseError(f"its manifest cannot be read: {problem}") from problem
        values["complete"] = bool(values["complete"])
        return cls(**values)


def as_json(value: Mapping[str, Any] | None) -> str | None:
    """Write an identity or settings as the manifest keeps them."""
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


_COLUMNS = tuple(field.name for field in fields(Manifest))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM manifest"  # noqa: S608  # our own names


def check_model(recorded: Mapping[str, Any] | None, given: Mapping[str, Any] | None, folder: object) -> None:
    """Refuse an index that another model built.

    Args:
        recorded: The identity in the manifest; None where nobody said.
        given: The identity of the model at hand; None where nobody says.
        folder: Where the index lies, for the message.

    Raises:
        ModelMismatch: Both are known and they differ; the message names both and what differs.
    """
    if recorded is None or given is None:
        return
    differing = identity_differences(recorded, given)
    if differing:
        details = "; ".join(f"{key}: {_short(recorded.get(key))} against {_short(given.get(key))}" for key in differing)
        raise ModelMismatch(
            f"the index in {folder} was built with {_name(recorded)} and is opened with {_name(given)} ({details}); "
            "pass the model it was built with, or build the index again with build_index(..., overwrite=True)"
        )


def _name(identity: Mapping[str, Any]) -> str:
    return repr(identity.get("name") or identity.get("model_name") or dict(identity))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
