"""Files of a lexical index: arrays in safetensors, the rest in JSON, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, InvalidSetting, ModelMismatch
from llama_index_ko_rerank.files import write_bytes_file
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings, RaggedArray
from llama_index_ko_rerank.retrieve.lexical_index import Analyzer, LexicalIndex

MANIFEST = "lexical.json"
_ARRAYS = "lexical.safetensors"
_FORMAT = 3
_SIGNATURE = '{"sha256": "%s", '
_SIGNATURE_BYTES = len(_SIGNATURE % ("0" * 64))


def save_lexical_index(index: LexicalIndex, folder: Path, extra: dict[str, Any] | None = None) -> None:
    """Write an index into a folder; a crash at any moment leaves the old one or the new one, never a mixture.

    The arrays go into a file named by their sha256, and the manifest that names it is replaced last, by one rename.

    Args:
        index: What is written.
        folder: Made where missing.
        extra: JSON values kept in the manifest for the caller, such as a file entry of `write_content_addressed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entry = write_content_addressed(folder, _ARRAYS, save(_flat_arrays(index)))
    manifest = {
        "format": _FORMAT,
        "arrays": entry,
        "identity": index.identity,
        "analyzers": index.analyzers,
        "user_words": index.morphemes.user_words,
        "k1": index.settings.k1,
        "b": index.settings.b,
        "ids": index.ids,
        "vocabularies": {name: list(inverted.vocabulary) for name, inverted in index.inverted_indexes.items()},
        "extra": extra or {},
    }
    write_bytes_file(folder / MANIFEST, with_checksum(manifest))
    remove_stale(folder, _ARRAYS, entry)


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
            cast(list[Analyzer], manifest["analyzers"]),
            user_words=manifest["user_words"],
            settings=BM25Settings(manifest["k1"], manifest["b"]),
        )
        if index.identity != manifest["identity"]:
            raise ModelMismatch(
                f"the lexical index in {str(folder)!r} was built with {manifest['identity']}, "
                f"here the tokenizers are {index.identity}; rebuild it from its nodes"
            )
        _fill(index, manifest, load(read_digested(folder, manifest["arrays"])))
        return index, manifest["extra"]
    except (KeyError, TypeError, InvalidSetting, SafetensorError) as error:
        raise DamagedIndex(f"the lexical index in {str(folder)!r} cannot be read ({error}); rebuild it") from error


def with_checksum(manifest: Mapping[str, Any]) -> bytes:
    """Write a manifest as JSON whose first value is the sha256 of all that follows it."""
    rest = json.dumps(manifest, ensure_ascii=False).encode("utf-8")[1:]
    return (_SIGNATURE % hashlib.sha256(rest).hexdigest()).encode("ascii") + rest


def write_content_addressed(folder: Path, name: str, content: bytes) -> dict[str, str]:
    """Write a file with its sha256 in its name, beside older ones, and return the entry that a manifest keeps of it."""
    digest = hashlib.sha256(content).hexdigest()
    path = folder / name
    path = path.with_stem(f"{path.stem}-{digest[:16]}")
    write_bytes_file(path, content)
    return {"name": path.name, "sha256": digest}


def read_digested(folder: Path, entry: Mapping[str, str]) -> bytes:
    """Read a file by the entry that a manifest keeps of it.

    Raises:
        DamagedIndex: The file is missing, truncated or changed.
    """
    try:
        content = (folder / entry["name"]).read_bytes()
    except FileNotFoundError as error:
        raise DamagedIndex(f"{entry['name']} is missing from {str(folder)!r}; rebuild the index") from error
    except OSError as error:
        raise DamagedIndex(f"{entry['name']} in {str(folder)!r} cannot be read ({error}); rebuild the index") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise DamagedIndex(f"{entry['name']} in {str(folder)!r} is truncated or changed; rebuild the index")
    return content


def remove_stale(folder: Path, name: str, entry: Mapping[str, str]) -> None:
    """Remove what `write_content_addressed` wrote under a name before the file of this entry."""
    path = folder / name
    for older in folder.glob(f"{path.stem}-*{path.suffix}"):
        if older.name != entry["name"]:
            older.unlink(missing_ok=True)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = json.loads(content)
    except FileNotFoundError as error:
        raise IndexNotFound(f"there is no lexical index in {str(folder)!r}") from error
    except ValueError as error:
        raise DamagedIndex(f"{MANIFEST} in {str(folder)!r} is no JSON ({error}); rebuild the index") from error
    except OSError as error:
        raise DamagedIndex(f"{MANIFEST} in {str(folder)!r} cannot be read ({error}); rebuild the index") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DamagedIndex(f"{MANIFEST} in {str(folder)!r} is not in format {_FORMAT}; rebuild the index")
    if hashlib.sha256(content[_SIGNATURE_BYTES:]).hexdigest() != manifest.get("sha256"):
        raise DamagedIndex(f"{MANIFEST} in {str(folder)!r} is not what was written; rebuild the index")
    return manifest


def _ragged_arrays(index: LexicalIndex) -> dict[str, RaggedArray]:
    """Return the arrays of an index by the name that they have in the file."""
    return {"streams": index.token_streams, **{name: one.rows for name, one in index.inverted_indexes.items()}}


def _flat_arrays(index: LexicalIndex) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, ragged in _ragged_arrays(index).items():
        arrays[f"{name}.pointers"] = ragged.pointers
        arrays |= {f"{name}.{number}": column for number, column in enumerate(ragged.columns)}
    return arrays


def _fill(index: LexicalIndex, manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    index.ids = list(manifest["ids"])
    index.positions = {identity: position for position, identity in enumerate(index.ids)}
    for name, ragged in _ragged_arrays(index).items():
        ragged.pointers = arrays[f"{name}.pointers"]
        ragged.columns = [arrays[f"{name}.{number}"] for number in range(len(ragged.columns))]
    for name, tokens in manifest["vocabularies"].items():
        index.inverted_indexes[name].vocabulary = {token: number for number, token in enumerate(tokens)}
    if any(len(inverted) != len(index) for inverted in index.inverted_indexes.values()):
        raise DamagedIndex(f"{MANIFEST} names {len(index)} passages and the arrays hold others; rebuild the index")
