"""A cross-encoder from its files, and models that cannot be one refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from sentence_transformers import CrossEncoder
from transformers import AutoConfig

from llama_index_ko_rerank.catalog import find_model
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.errors import InvalidSetting, ModelError, ModelNotFound, UnsuitableModel, nearest
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import LongPassage

ScorerDtype = Literal["float32", "bfloat16", "auto"]
SHORTEST_MAX_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """Settings that identify a loaded cross-encoder; equal settings share one loaded model.

    Attributes:
        model: A catalog name, a hub name, or a folder.
        device: ``cpu``, ``cuda`` and so on; torch's choice where None.
        max_length: Most tokens of question and passage together; the model's own where None.
        trust_remote_code: Whether code from the model's repository may run.
        local_files_only: Whether the hub is left alone.
        dtype: ``float32``; ``bfloat16``; or ``auto``, which is bfloat16 where that was measured to be faster.
        cascade: Whether all candidates are read in bfloat16 first, and in float32 those that may be among the first.
            With ``auto`` only where bfloat16 is faster.
        max_batch_tokens: Most tokens that the model reads at once; what suits the forward where None.
        overflow: Whether a passage that is too long is read in windows or cut.
        label: The class whose probability counts, by name or number, for a model that has several.
    """

    model: str
    device: str | None = None
    max_length: int | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    dtype: ScorerDtype = "float32"
    cascade: bool = False
    max_batch_tokens: int | None = None
    overflow: LongPassage = "window"
    label: str | int | None = None


_USUAL_MAX_LENGTH = 512


def load_cross_encoder(settings: ScorerSettings) -> CrossEncoder:
    """Load a model in float32 with its tokenizer.

    Raises:
        InvalidSetting: `max_length` is under 16.
        ModelNotFound: There is no such model within reach.
        UnsuitableModel: It has no trained classification head, its tokenizer has no vocabulary or no pad token, or its
            files cannot be read.
    """
    if settings.max_length is not None and settings.max_length < SHORTEST_MAX_LENGTH:
        raise InvalidSetting(f"max_length must be {SHORTEST_MAX_LENGTH} or more, not {settings.max_length}")
    model = _load(settings)
    _check_tokenizer(settings.model, model)
    if len(model) != 1 or model.model is None:
        kinds = " and ".join(type(module).__name__ for module in model)
        raise UnsuitableModel(f"{settings.model!r} is built of {kinds}; a reranker is one transformer with a head")
    return model


def longest_input(settings: ScorerSettings, model: CrossEncoder) -> int:
    """Return the longest input in tokens: the setting, else what the model says, else at most 512.

    Raises:
        InvalidSetting: The setting is beyond the model's positions.
    """
    positions = _positions(model)
    longest: int = model.max_seq_length or _USUAL_MAX_LENGTH
    if settings.max_length is None and (positions is None or longest > positions):
        return min(longest, positions or _USUAL_MAX_LENGTH, _USUAL_MAX_LENGTH)
    if positions is not None and longest > positions:
        raise InvalidSetting(f"max_length={longest} is beyond the {positions} positions of {settings.model!r}")
    return longest


def model_labels(model: CrossEncoder) -> dict[int, str]:
    """Return the names of a model's labels by number."""
    names = getattr(model.config, "id2label", None) or {}
    return {int(number): str(name) for number, name in names.items()}


def _positions(model: CrossEncoder) -> int | None:
    """Return how many tokens a model has places for; RoBERTa and its kin leave the first ones to padding."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.num_embeddings) - int(module.padding_idx) - 1
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    return positions


def _load(settings: ScorerSettings) -> CrossEncoder:
    known = find_model(settings.model)
    name = str(known.folder or known.name) if known else settings.model
    source: dict[str, Any] = {
        "revision": known.revision if known else None,
        "trust_remote_code": settings.trust_remote_code,
        "local_files_only": settings.local_files_only,
    }
    try:
        _check_architecture(name, source)
        with no_library_bars():
            model: CrossEncoder = CrossEncoder(
                name,
                device=settings.device,
                max_length=settings.max_length,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
                **source,
            )
        return model
    except ModelError:
        raise
    except OSError as error:
        if Path(name).is_dir():
            raise UnsuitableModel(f"the model in the folder {name!r} cannot be read: {error}") from error
        raise _not_found(name, settings, error) from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise UnsuitableModel(f"{name!r} does not load as a cross-encoder: {error}") from error


def _check_architecture(name: str, source: dict[str, Any]) -> None:
    """Refuse a model whose head would be made of random numbers on loading."""
    folder = Path(name)
    if (folder / "modules.json").is_file():
        kinds = [module["type"] for module in json.loads((folder / "modules.json").read_text(encoding="utf-8"))]
        if any("Pooling" in kind or "StaticEmbedding" in kind for kind in kinds):
            raise UnsuitableModel(f"{name!r} is an embedding model; a reranker is a cross-encoder")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UnsuitableModel(f"the folder {name!r} holds no model: it has no config.json")
    config = AutoConfig.from_pretrained(name, **source)
    architectures = list(getattr(config, "architectures", None) or [])
    if any(architecture.endswith(("ForCausalLM", "LMHeadModel")) for architecture in architectures):
        raise UnsuitableModel(
            f"{name!r} is {' or '.join(architectures)}, which generates text; a reranker is a cross-encoder with a "
            "classification head"
        )
    if not any(architecture.endswith("ForSequenceClassification") for architecture in architectures):
        raise UnsuitableModel(
            f"{name!r} is {' or '.join(architectures) or 'of no stated kind'} and has no trained classification head; "
            "train one with `ko-rerank train cross-encoder --base` or name a cross-encoder"
        )


def _check_tokenizer(name: str, model: CrossEncoder) -> None:
    if model.tokenizer.pad_token is None:
        raise UnsuitableModel(f"the tokenizer of {name!r} has no pad token, so passages cannot be batched")
    if len(model.tokenizer) <= len(model.tokenizer.all_special_ids):
        raise UnsuitableModel(f"the tokenizer of {name!r} knows no words; are its files missing?")


def _not_found(name: str, settings: ScorerSettings, error: OSError) -> ModelNotFound:
    if settings.local_files_only:
        return ModelNotFound(f"{name!r} is no folder and not in the local cache, and local_files_only forbids the hub")
    return ModelNotFound(
        f"{name!r} is no folder and could not be fetched from the model hub ({type(error).__name__}); "
        "with no network, pass the folder of a model on this machine"
    )


def label_index(model: str, names: Mapping[int, str], label: str | int | None) -> int:
    """Find the label that is asked for.

    Args:
        model: The model's name, for the errors.
        names: The name of each label by number, as the model's configuration has them.
        label: A name or a number; None for a model that has one label.

    Raises:
        InvalidSetting: The model has several labels and none is named, or has no such label.
    """
    listing = ", ".join(f"{number} = {names[number]!r}" for number in sorted(names))
    if label is None:
        if len(names) == 1:
            return next(iter(names))
        raise InvalidSetting(f"{model!r} has {len(names)} labels; say with label= whose probability counts: {listing}")
    if len(names) == 1:
        raise InvalidSetting(f"{model!r} gives one score a pair and has no labels to choose from; leave label None")
    if isinstance(label, int) and label in names:
        return label
    numbers = {name: number for number, name in names.items()}
    if isinstance(label, str) and label in numbers:
        return numbers[label]
    known = nearest(label, numbers) if isinstance(label, str) else f"known: {listing}"
    raise InvalidSetting(f"{model!r} has no label {label!r}; {known}")


def label_logits(logits: NDArray[np.float32], place: int) -> NDArray[np.float64]:
    """Return the logit of one label for each pair, shape (pairs,), by whose sigmoid its probability comes out.

    With one label that is its logit. With several, whose probabilities are their softmax, it is the log odds of the
    one: its logit less the logarithm of the summed exponentials of the others.

    >>> probability = 1 / (1 + np.exp(-label_logits(np.log(np.array([[1, 2, 5]], np.float32)), 1)))
    >>> round(float(probability[0]), 6)
    0.25
    """
    wide = logits.astype(np.float64)
    if wide.shape[1] == 1:
        return wide[:, 0]
    others = np.delete(wide, place, axis=1)
    odds: NDArray[np.float64] = wide[:, place] - np.logaddexp.reduce(others, axis=1)
    return odds
