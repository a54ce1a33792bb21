"""What identifies the model behind a vector, so that an index is never searched with another one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.errors import UnsuitableModel

Identity: TypeAlias = dict[str, str | int | float | bool | None]

_NAMES = frozenset(
    {
        "config.json",
        "modules.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    }
)
_SUFFIXES = frozenset({".safetensors", ".model"})
_LEFTOVERS = re.compile(r"\..*|checkpoint-.*|onnx|openvino")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIMENSION_FIELDS = ("dimension", "dimensions", "embed_dim")


class FileState(NamedTuple):
    """One file of a model as it was when the model was loaded."""

    path: Path
    relative_path: str
    size: int
    modified_ns: int


def model_files(folder: Path) -> tuple[FileState, ...]:
    """List the files that decide a model's vectors: weights, tokenizer and configuration, in the order of their paths.

    Checkpoints, exports to other runtimes and hidden folders are left out.

    Args:
        folder: The model's folder, or the one data file that holds all of it.
    """
    if folder.is_file():
        status = folder.stat()
        return (FileState(folder, folder.name, status.st_size, status.st_mtime_ns),)
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_wanted = path.name in _NAMES or path.suffix in _SUFFIXES
        if is_wanted and path.is_file() and not any(_LEFTOVERS.fullmatch(part) for part in relative.parts[:-1]):
            status = path.stat()
            found.append(FileState(path, relative.as_posix(), status.st_size, status.st_mtime_ns))
    return tuple(found)


def fingerprint(files: tuple[FileState, ...]) -> str:
    """Compute one sha256 over a model's files: equal for equal models in any folder, another after any training.

    Each file is read once in a process. A file of the hub's cache is named by its sha256 there and not read at all.

    Raises:
        UnsuitableModel: A file was changed or removed since the model was loaded.
    """
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_path}\n{_file_sha256(file)}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=4096)
def _file_sha256(file: FileState) -> str:
    try:
        status = file.path.stat()
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
            raise UnsuitableModel(f"{str(file.path)!r} was changed after the model was loaded; load the model again")
        blob = file.path.resolve()
        if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
            return blob.name
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnsuitableModel(f"{str(file.path)!r} was removed after the model was loaded ({error})") from error


def embedding_identity(embed_model: BaseEmbedding) -> Identity:
    """Say in JSON scalars which model makes the vectors, for an index to keep and to compare.

    A model that has an ``identity`` of its own is believed: `KoreanEmbedding` gives its name, a fingerprint of its
    files, dimension, prompts, pooling and length, so that equal models are equal in another process or folder and a
    retrained one is not. The data type is left out, since it changes a vector only by rounding. Of any other LlamaIndex
    embedding the class, the model's name and, where it says so itself, the dimension are known.
    """
    own = getattr(embed_model, "identity", None)
    if isinstance(own, Mapping):
        return dict(own)
    folder = Path(embed_model.model_name)
    dimensions = (getattr(embed_model, field, None) for field in _DIMENSION_FIELDS)
    return {
        "class_name": embed_model.class_name(),
        "model_name": folder.resolve().name if folder.is_dir() else embed_model.model_name,
        "dimension": next((number for number in dimensions if type(number) is int), None),
    }


def identity_differences(built_with: Mapping[str, object], given: Mapping[str, object]) -> tuple[str, ...]:
    """Name the keys in which two identities differ, sorted; empty for the same model.

    Where both have a fingerprint the name does not count: a folder that was renamed holds the same model.

    >>> identity_differences({"name": "a", "fingerprint": "1f"}, {"name": "b", "fingerprint": "1f"})
    ()
    >>> identity_differences({"model_name": "a", "dimension": 3}, {"model_name": "b"})
    ('dimension', 'model_name')
    """
    differing = {key for key in built_with.keys() | given.keys() if built_with.get(key) != given.get(key)}
    if built_with.get("fingerprint") and given.get("fingerprint"):
        differing -= {"name"}
    return tuple(sorted(differing))
