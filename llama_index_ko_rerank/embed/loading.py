"""Loading of an embedding model: from a catalog name, a hub name or a folder to a sentence-transformers model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from llama_index_ko_rerank.catalog import CatalogModel, PoolingMode, find_model, list_models
from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound, UnsuitableModel, nearest
from llama_index_ko_rerank.models.pretrained import find_data_file, load_pretrained_embedding

DtypeName = Literal["float32", "float16", "bfloat16", "auto"]

# transformers writes "no limit" as a huge number; no model reads a million tokens.
_NO_LIMIT = 1_000_000
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Weights that could run code when read (pickles) are neither downloaded nor read, whatever a repository offers.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_UNWANTED = ("onnx/*", "openvino/*", "checkpoint-*", "consolidated*")
_PASSAGE_PROMPTS = ("passage", "document", "text", "corpus")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """An embedding model on disk.

    Attributes:
        path: The folder; for a model that another distribution carries, its data file.
        name: The hub name, or the folder's own name where the user gave a folder.
        catalog: What the catalog knows of the model.
        query_prompt: The text that the model wants before a question.
        passage_prompt: The text that the model wants before a passage.
        is_bare: True for a transformers checkpoint that does not say how to pool.
        is_local: True where the user gave a folder.
        revision: The revision at the hub; None for a folder and for the newest.
    """

    path: Path
    name: str
    catalog: CatalogModel | None
    query_prompt: str
    passage_prompt: str
    is_bare: bool
    is_local: bool = True
    revision: str | None = None


def find_model_folder(
    model_name: str,
    *,
    revision: str | None = None,
    cache_folder: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
) -> ModelFolder:
    """Find or download a model; a folder of that name wins over the catalog, and the catalog over the hub.

    Args:
        model_name: A folder, a catalog name or alias, or a hub name (``owner/name``).
        revision: A commit hash, branch or tag of the hub; defaults to the catalog's.
        cache_folder: Where downloads are kept; defaults to the hub's own cache.
        local_files_only: Look only at what was downloaded before.
        trust_remote_code: Download the repository's Python files too.

    Raises:
        InvalidSetting: The name is empty, or a revision is given for a model that does not come from the hub.
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach, or
            the distribution that carries it is not installed.
        UnsuitableModel: It is there and is no embedding model that can be loaded safely.
    """
    if not model_name.strip():
        raise InvalidSetting("model_name is empty; give a folder, a catalog name, or a hub name (owner/name)")
    path = Path(model_name).expanduser()
    if path.is_dir():
        if revision is not None:
            raise InvalidSetting(f"revision={revision!r} says nothing about the folder {model_name!r}; leave it None")
        return _read_folder(path, name=path.resolve().name)
    if path.is_file():
        raise UnsuitableModel(f"{model_name!r} is a file; give the folder that holds the whole model")
    catalog = find_model(model_name)
    if catalog is not None and catalog.kind == "rerank":
        raise UnsuitableModel(
            f"{catalog.name} is a reranker and makes no vectors; give it to CrossEncoderNodePostprocessor, "
            "and take an embedding model here"
        )
    if catalog is not None and not catalog.is_on_hub:
        if revision is not None:
            raise InvalidSetting(f"revision={revision!r} says nothing about {catalog.name!r}, which needs no hub")
        return _installed_model(catalog)
    hub_name = catalog.name if catalog else model_name
    if not _HUB_NAME.fullmatch(hub_name):
        raise ModelNotFound(f"no folder and no catalog model {model_name!r}; {_hint(model_name)}")
    revision = revision or (catalog.revision if catalog else None)
    path = _download(
        hub_name,
        revision=revision,
        cache_folder=cache_folder,
        local_files_only=local_files_only,
        wanted=(*_WANTED, "*.py") if trust_remote_code else _WANTED,
    )
    found = _read_folder(path, name=hub_name)
    prompts = (catalog.query_prompt, catalog.passage_prompt) if catalog else (found.query_prompt, found.passage_prompt)
    return replace(
        found, catalog=catalog, query_prompt=prompts[0], passage_prompt=prompts[1], is_local=False, revision=revision
    )


def _installed_model(catalog: CatalogModel) -> ModelFolder:
    """Return a model that lies in this package or in another distribution."""
    if catalog.folder is not None:
        return replace(_read_folder(catalog.folder, name=catalog.name), catalog=catalog, is_local=False)
    return ModelFolder(
        path=find_data_file(),
        name=catalog.name,
        catalog=catalog,
        query_prompt=catalog.query_prompt,
        passage_prompt=catalog.passage_prompt,
        is_bare=False,
        is_local=False,
    )


def _hint(model_name: str) -> str:
    names = [model.name for model in list_models("embedding")]
    aliases = [alias for model in list_models("embedding") for alias in (*model.aliases, model.name)]
    return nearest(model_name, names if "/" in model_name else aliases)


def _download(
    hub_name: str, *, revision: str | None, cache_folder: str | None, local_files_only: bool, wanted: tuple[str, ...]
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the client's own error, httpx or httpx2

    try:
        folder = snapshot_download(
            hub_name,
            revision=revision,
            cache_dir=cache_folder,
            local_files_only=local_files_only,
            allow_patterns=list(wanted),
            ignore_patterns=list(_UNWANTED),
        )
    except (OSError, ValueError, HTTPError) as error:
        where = "in the downloads on this machine" if local_files_only else "on the model hub and in earlier downloads"
        meant = _hint(hub_name)
        raise ModelNotFound(
            f"{hub_name!r}{f' at revision {revision}' if revision else ''} is not in reach: there is no folder of that "
            f"name, and looking {where} failed ({_first_line(error)}). A local folder works too: run `hf download "
            f"{hub_name}` where there is a network, and give the folder"
            + (f"; {meant}" if meant.startswith("did you mean") and find_model(hub_name) is None else "")
        ) from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _read_folder(path: Path, *, name: str) -> ModelFolder:
    is_bare = not (path / "modules.json").is_file()
    if is_bare and not (path / "config.json").is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise UnsuitableModel(
            f"{str(path)!r} holds no model: neither modules.json nor config.json is in it, but {found}"
        )
    settings = _read_json(path / "config_sentence_transformers.json")
    _check_task(path, settings, is_bare=is_bare)
    _check_weights(path)
    query_prompt, passage_prompt = _saved_prompts(path, settings)
    return ModelFolder(
        path=path,
        name=name,
        catalog=None,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        is_bare=is_bare,
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsuitableModel(f"{str(path)!r} is no JSON ({error}); copy or train the model again") from error
    if not isinstance(content, dict):
        raise UnsuitableModel(f"{str(path)!r} holds no JSON object; copy or train the model again")
    return content


def _check_task(path: Path, settings: dict[str, Any], *, is_bare: bool) -> None:
    architectures = _read_json(path / "config.json").get("architectures") or [""]
    is_cross_encoder = is_bare and str(architectures[0]).endswith("ForSequenceClassification")
    if is_cross_encoder or settings.get("model_type") == "CrossEncoder":
        raise UnsuitableModel(
            f"{str(path)!r} holds a cross-encoder, which scores pairs and makes no vectors; "
            "give it to CrossEncoderNodePostprocessor"
        )
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise UnsuitableModel(f"{str(path)!r} holds a {kind}, which does not make one dense vector a text")


def _check_weights(path: Path) -> None:
    safe = {file.parent for file in path.rglob("*.safetensors")}
    pickled = sorted(file for file in path.rglob("pytorch_model*.bin") if file.parent not in safe)
    if pickled:
        raise UnsuitableModel(
            f"{str(pickled[0])!r} holds pickled weights, which could run code when read; only safetensors is loaded. "
            "Save the model again with save_pretrained, or take a revision that has model.safetensors"
        )
    if not safe:
        raise UnsuitableModel(f"{str(path)!r} holds no weights: there is no .safetensors file in it")


def _saved_prompts(path: Path, settings: dict[str, Any]) -> tuple[str, str]:
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise UnsuitableModel(
            f"'prompts' in {str(path / 'config_sentence_transformers.json')!r} is no object of strings"
        )
    default = prompts.get(settings.get("default_prompt_name") or "", "")
    passage = next((prompts[key] for key in _PASSAGE_PROMPTS if prompts.get(key)), default)
    return prompts.get("query") or default, passage


def resolve_dtype(dtype: DtypeName, device: str) -> torch.dtype:
    """Turn a dtype's name into torch's; ``auto`` takes 16 bits on an accelerator and float32 on a processor."""
    if dtype != "auto":
        return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[dtype]
    kind = torch.device(device).type
    if kind == "cpu":
        return torch.float32
    return torch.bfloat16 if kind == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that CUDA was compiled in
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidSetting(f"device {device!r} cannot be used on this machine: {reason}") from error


@contextmanager
def no_library_bars() -> Iterator[None]:
    """Keep transformers from drawing a progress bar for each file that it reads or writes."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not annotated
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # not annotated


def load_model(folder: ModelFolder, *, dtype: DtypeName, device: str, trust_remote_code: bool) -> SentenceTransformer:
    """Load a model; nothing is downloaded here.

    Raises:
        InvalidSetting: This machine does not have the device.
        DamagedModel: The data file of a distribution is not the one that was pinned.
        UnsuitableModel: The folder's files are damaged, or do not fit together.
    """
    check_device(device)
    torch_dtype = resolve_dtype(dtype, device)
    if folder.path.is_file():
        return load_pretrained_embedding(device=device).to(dtype=torch_dtype)
    try:
        with no_library_bars():
            model = SentenceTransformer(
                str(folder.path),
                device=device,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                model_kwargs={"dtype": torch_dtype, "use_safetensors": True},
            )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # damaged files raise errors of every kind, plain Exception among them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsuitableModel(
            f"{str(folder.path)!r} cannot be loaded as an embedding model ({type(error).__name__}: {reason}); "
            "copy, download or train it again"
        ) from error
    # Not every module heeds the dtype of the settings: a static embedding keeps the one of its file.
    return model.to(dtype=torch_dtype)


def set_pooling(model: SentenceTransformer, folder: ModelFolder, pooling: PoolingMode | None) -> str | None:
    """Give a model the pooling that is given, or for a bare checkpoint the catalog's.

    Returns:
        The pooling's name, several joined by ``+``; None where the model has no pooling module.

    Raises:
        InvalidSetting: A pooling is given for a model that has none.
    """
    found = next(((index, module) for index, module in enumerate(model) if isinstance(module, Pooling)), None)
    if folder.is_bare and pooling is None and folder.catalog is not None:
        pooling = folder.catalog.pooling
    if found is None:
        if pooling is not None:
            raise InvalidSetting(f"{folder.name!r} has no pooling to choose; leave pooling None")
        return None
    index, current = found
    if pooling is not None:
        current = Pooling(current.embedding_dimension, pooling, include_prompt=current.include_prompt)
        model[index] = current
    return current.pooling_mode if isinstance(current.pooling_mode, str) else "+".join(current.pooling_mode)


def set_max_tokens(model: SentenceTransformer, folder: ModelFolder, max_length: int | None) -> int | None:
    """Give a model the length that is given, or the smallest of the limits that are known of it.

    Returns:
        The longest input in tokens; None where there is no limit.

    Raises:
        InvalidSetting: The length is more than the model can read.
    """
    first = model[0]
    if isinstance(first, StaticEmbedding):
        if max_length is not None:
            first.tokenizer.enable_truncation(max_length)
        truncation = first.tokenizer.truncation
        return truncation["max_length"] if truncation else None
    positions = _position_limit(model)
    if max_length is not None and positions is not None and max_length > positions:
        raise InvalidSetting(f"{folder.name!r} reads at most {positions} tokens; max_length={max_length} is too long")
    known = (model.max_seq_length, positions, folder.catalog.max_tokens if folder.catalog else None)
    limits = [int(limit) for limit in known if limit is not None and limit < _NO_LIMIT]
    max_tokens = max_length or min(limits, default=None)
    if max_tokens is not None:
        model.max_seq_length = max_tokens
    return max_tokens


def _position_limit(model: SentenceTransformer) -> int | None:
    """Count the positions that the model has position vectors for, or, with rotary ones, was trained on."""
    for module in model.modules():
        positions = getattr(module, "position_embeddings", None)
        if isinstance(positions, torch.nn.Embedding):
            padding = getattr(module, "padding_idx", None)  # RoBERTa counts its positions from after this one
            return positions.num_embeddings - (padding + 1 if isinstance(padding, int) else 0)
    return getattr(model.config, "max_position_embeddings", None)


def token_counter(model: SentenceTransformer, folder: ModelFolder) -> Callable[[Sequence[str]], list[int]]:
    """Make a function that counts the tokens of texts, special tokens included, none cut off; for one thread at a time.

    Raises:
        UnsuitableModel: The tokenizer has no vocabulary, so that all texts would be alike.
    """
    tokenizer = model.tokenizer
    if isinstance(tokenizer, Tokenizer):
        uncut = Tokenizer.from_str(tokenizer.to_str())
        uncut.no_truncation()
        return lambda texts: [len(found.ids) for found in uncut.encode_batch(list(texts), add_special_tokens=False)]
    # transformers makes an empty tokenizer, without a word, where the files are missing or of another kind of model.
    if tokenizer is None or not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise UnsuitableModel(
            f"the tokenizer of {str(folder.path)!r} knows no token: its vocabulary (tokenizer.json, vocab.txt) is "
            "missing, or is not one that this kind of model can have"
        )
    return lambda texts: [
        len(ids) for ids in tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
    ]
