"""What training starts from: a model on disk or on the hub, or one made from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from llama_index_ko_rerank.catalog import PoolingMode, find_model
from llama_index_ko_rerank.embed.loading import load_model, no_library_bars, set_max_tokens, set_pooling, token_counter
from llama_index_ko_rerank.embed.model_folder import find_model_folder
from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.train.recipes import SCRATCH
from llama_index_ko_rerank.train.scratch import small_cross_encoder, static_model

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)

LONGEST_PAIR = 512
"""Question and context together are trained on up to this many tokens, whatever more a base could read."""


@dataclass(frozen=True, slots=True)
class Base(Generic[_Model]):
    """A model before training.

    Attributes:
        name: ``scratch``, a hub name, or the folder that was given.
        revision: The commit of the hub that was asked for; None for the newest, a folder, or ``scratch``.
        model: The model in float32, on its device; training changes it.
        max_tokens: The longest input in tokens; None where there is no limit.
        pooling: How token vectors become one; None where the model has no pooling.
    """

    name: str
    revision: str | None
    model: _Model
    max_tokens: int | None
    pooling: str | None = None

    @property
    def is_scratch(self) -> bool:
        """Whether the model starts from nothing."""
        return self.name == SCRATCH


def bi_encoder_base(
    base: str, *, texts: Sequence[str], pooling: PoolingMode | None, device: str, seed: int
) -> Base[SentenceTransformer]:
    """Load or make an embedding model to train, with its prompts under ``query`` and ``document``.

    Args:
        base: ``scratch``, a folder, a catalog name, or a hub name.
        texts: What the vocabulary of ``scratch`` is learnt from.
        pooling: None is what the model or the catalog says, and otherwise the mean.
        device: A torch device.
        seed: Of the random vectors of ``scratch``.

    Raises:
        InvalidSetting: A pooling was asked of a static embedding, which has none.
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach.
        UnsuitableModel: It is no embedding model, is damaged, or its tokenizer has no pad token.
    """
    if base == SCRATCH:
        if pooling not in (None, "mean"):
            raise InvalidSetting(
                f"base='scratch' is a static embedding, the mean of its tokens; pooling={pooling!r} needs a transformer"
            )
        return Base(SCRATCH, None, static_model(texts, seed=seed, device=device), max_tokens=None)
    folder = find_model_folder(base)
    model = load_model(folder, dtype="float32", device=device, trust_remote_code=False)
    found_pooling = set_pooling(model, folder, pooling)
    token_counter(model, folder)  # refuses a tokenizer with no vocabulary
    if not isinstance(model[0], StaticEmbedding):
        _check_pad_token(base, model)
    model.prompts = {"query": folder.query_prompt, "document": folder.passage_prompt}
    name = base if folder.is_local else folder.name
    return Base(name, folder.revision, model, set_max_tokens(model, folder, None), found_pooling)


def cross_encoder_base(base: str, *, texts: Sequence[str], device: str, seed: int) -> Base[CrossEncoder]:
    """Load or make a cross-encoder to train, with one logit; a base without such a head gets a random one.

    Args:
        base: ``scratch``, a folder, a catalog name, or a hub name.
        texts: What the vocabulary of ``scratch`` is learnt from.
        device: A torch device.
        seed: Of the weights of ``scratch``, and of a new head.

    Raises:
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach.
        UnsuitableModel: It cannot become a cross-encoder with one logit, or its tokenizer has no pad token.
    """
    if base == SCRATCH:
        with no_library_bars():
            model = small_cross_encoder(texts, seed=seed, device=device)
        return Base(SCRATCH, None, model, max_tokens=model.max_seq_length)
    is_local = Path(base).expanduser().is_dir()
    known = None if is_local else find_model(base)
    name = known.name if known else str(Path(base).expanduser()) if is_local else base
    revision = known.revision if known else None
    model = _load_cross_encoder(name, revision=revision, is_local=is_local, device=device, seed=seed)
    _check_pad_token(base, model)
    model.max_seq_length = min(_longest_input(model), known.max_tokens if known else LONGEST_PAIR, LONGEST_PAIR)
    return Base(base if is_local else name, revision, model, max_tokens=model.max_seq_length)


def _load_cross_encoder(name: str, *, revision: str | None, is_local: bool, device: str, seed: int) -> CrossEncoder:
    try:
        with no_library_bars(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: CrossEncoder = CrossEncoder(
                name,
                num_labels=1,
                revision=revision,
                device=device,
                local_files_only=is_local,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
    except OSError as error:
        raise ModelNotFound(
            f"{name!r} is no folder with a model, and could not be fetched from the model hub "
            f"({_first_line(error)}); pass a folder of this machine or 'scratch'"
        ) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise UnsuitableModel(f"{name!r} cannot become a cross-encoder with one logit: {_first_line(error)}") from error
    if model.model is None or model.num_labels != 1:
        raise UnsuitableModel(f"{name!r} has no transformer with one logit to train")
    return model


def _check_pad_token(base: str, model: SentenceTransformer | CrossEncoder) -> None:
    if getattr(model.tokenizer, "pad_token", None) is None:
        raise UnsuitableModel(
            f"the tokenizer of {base!r} has no pad token, so texts of different length cannot be batched; "
            "give it one and save it again"
        )


def _longest_input(model: CrossEncoder) -> int:
    """Give the smaller of the tokenizer's limit and the number of positions that the model has vectors for."""
    longest = model.max_seq_length or LONGEST_PAIR
    for module in model.modules():
        positions = getattr(module, "position_embeddings", None)
        if isinstance(positions, torch.nn.Embedding):
            taken = positions.padding_idx  # RoBERTa counts its positions from after this one
            return min(longest, positions.num_embeddings - (0 if taken is None else taken + 1))
    return longest


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
