"""A lexical index on disk: arrays in safetensors, the rest in JSON, swapped in whole."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, ModelMismatch
from llama_index_ko_rerank.retrieve.lexical_index import VIEWS, LexicalIndex, View
from llama_index_ko_rerank.retrieve.postings import BM25Settings

MANIFEST = "lexical.json"
_FORMAT = 1


def save_lexical_index(index: LexicalIndex, folder: Path, extra: dict[str, Any] | None = None) -> None:
    """Write an index into a folder; a reader sees the old one or the new one, never a mixture.

    The arrays go into a file named by their sha256, and the manifest that names it is replaced last, by one rename.

    Args:
        index: What is written.
        folder: Made where missing.
        extra: JSON values kept in the manifest for the caller.
    """
    arrays = save({**_arrays("streams", index.streams.columns, index.streams.pointers), **_posting_arrays(index)})
    digest = hashlib.sha256(arrays).hexdigest()
    name = f"lexical-{digest[:16]}.safetensors"
    manifest = {
        "format": _FORMAT,
        "arrays": name,
        "sha256": digest,
        "identity": index.identity,
        "view": index.view,
        "user_words": index.morphemes.user_words,
        "k1": index.settings.k1,
        "b": index.settings.b,
        "ids": index.ids,
        "vocabularies": {view: list(postings.vocabulary) for view, postings in index.postings.items()},
        "extra": extra or {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / name, arrays)
    write_whole(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False).encode("utf-8"))
    for old in folder.glob("lexical-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_lexical_index(folder: Path) -> tuple[LexicalIndex, dict[str, Any]]:
    """Read an index and the caller's extra values.

    Raises:
        IndexNotFound: The folder holds no lexical index.
        DamagedIndex: A file is truncated, changed or unreadable.
        ModelMismatch: It was built with another tokenizer, Kiwi version or list of user words' tags.
    """
    manifest = _read_manifest(folder)
    try:
        index = LexicalIndex(
            cast(View, manifest["view"]),
            user_words=[(word, tag) for word, tag in manifest["user_words"]],
            settings=BM25Settings(manifest["k1"], manifest["b"]),
        )
        if index.identity != manifest["identity"]:
            raise ModelMismatch(
                f"the lexical index in {str(folder)!r} was built with {manifest['identity']}, "
                f"here the tokenizers are {index.identity}; rebuild it from its nodes"
            )
        content = (folder / manifest["arrays"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
            raise DamagedIndex(
                f"{manifest['arrays']} in {str(folder)!r} is truncated or changed; rebuild it from its nodes"
            )
        _fill(index, manifest, load(content))
    except (KeyError, TypeError, FileNotFoundError, SafetensorError) as problem:
        raise DamagedIndex(f"the lexical index in {str(folder)!r} cannot be read ({problem}); rebuild it") from problem
    return index, manifest["extra"]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, and on the disk when this returns."""
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise IndexNotFound(f"there is no lexical index in {str(folder)!r}") from problem
    except ValueError as problem:
        raise DamagedIndex(f"{MANIFEST} in {str(folder)!r} is no JSON ({problem}); rebuild the index") from problem
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DamagedIndex(f"{MANIFEST} in {str(folder)!r} is not in format {_FORMAT}; rebuild the index")
    return manifest


def _arrays(name: str, columns: list[np.ndarray[Any, Any]], pointers: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {f"{name}.pointers": pointers, **{f"{name}.{number}": column for number, column in enumerate(columns)}}


def _posting_arrays(index: LexicalIndex) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for view, postings in index.postings.items():
        arrays |= _arrays(view, postings.rows.columns, postings.rows.pointers)
    return arrays


def _fill(index: LexicalIndex, manifest: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    index.ids = list(manifest["ids"])
    index.positions = {identity: place for place, identity in enumerate(index.ids)}
    targets = {"streams": index.streams, **{view: index.postings[view].rows for view in VIEWS[index.view]}}
    for name, rows in targets.items():
        rows.pointers = arrays[f"{name}.pointers"]
        rows.columns = [arrays[f"{name}.{number}"] for number in range(len(rows.columns))]
    for view, tokens in manifest["vocabularies"].items():
        index.postings[view].vocabulary = {token: number for number, token in enumerate(tokens)}
