"""Loading of a sentence-transformers model from its folder, with the given dtype, pooling and length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.embed.model_folder import ModelFolder
from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel
from llama_index_ko_rerank.models.pretrained import load_pretrained_embedding

DtypeName = Literal["float32", "float16", "bfloat16", "auto"]

# transformers writes "no limit" as a huge number; no model reads a million tokens.
_NO_LIMIT = 1_000_000


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
