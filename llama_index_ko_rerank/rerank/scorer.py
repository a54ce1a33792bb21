"""Pairs to logits: a cross-encoder that is loaded once and shared."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from sentence_transformers import CrossEncoder
from transformers import AutoConfig

from llama_index_ko_rerank.catalog import find_model
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.errors import InvalidSetting, ModelError, ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.text.normalize import normalize

logger = logging.getLogger(__name__)
SHORTEST_MAX_LENGTH = 16
_USUAL_MAX_LENGTH = 512


class PairScorer(Protocol):
    """Anything that judges how well passages answer a question."""

    def logits(self, query: str, texts: Sequence[str], *, batch_size: int = 16) -> NDArray[np.float64]:
        """Return one finite logit a passage, shape (passages,), larger is better, in the order given."""
        ...


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """What a cross-encoder is loaded by; equal settings share one loaded model.

    Attributes:
        model: A catalog name, a hub name, or a folder.
        device: ``cpu``, ``cuda`` and so on; torch's choice where None.
        max_length: Most tokens of question and passage together; the model's own where None.
        trust_remote_code: Whether code from the model's repository may run.
        local_files_only: Whether the hub is left alone.
    """

    model: str
    device: str | None = None
    max_length: int | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False


class CrossEncoderScorer:
    """A cross-encoder with one score a pair, safe from several threads.

    Use `load_scorer`, which gives equal settings one and the same object.

    Attributes:
        settings: What it was loaded by.
        max_length: Most tokens of question and passage together.

    Raises:
        InvalidSetting: `max_length` is under 16 or beyond the model's positions.
        ModelNotFound: There is no such model within reach.
        UnsuitableModel: It has no trained classification head, or more than one score a pair, or no vocabulary, or no
            pad token, or its files cannot be read.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._told: set[str] = set()
        if settings.max_length is not None and settings.max_length < SHORTEST_MAX_LENGTH:
            raise InvalidSetting(f"max_length must be {SHORTEST_MAX_LENGTH} or more, not {settings.max_length}")
        self._model = _load(settings)
        self._check()
        self.max_length = self._model.max_seq_length = self._longest()

    def logits(self, query: str, texts: Sequence[str], *, batch_size: int = 16) -> NDArray[np.float64]:
        """Score passages for a question, sorted by length so that short ones are not padded to long ones.

        Equal passages get equal logits. A question takes at most half of `max_length`; what is cut of questions and
        passages is counted and logged.

        Raises:
            UnsuitableModel: The model gives NaN or infinity for a passage.
            InvalidText: A text holds lone surrogates.
        """
        if not texts:
            return np.zeros(0)
        passages = [normalize(text) for text in texts]
        # Each passage is read once: equal rows of one batch may get logits that differ in the seventh digit.
        unique = list(dict.fromkeys(passages))
        # The lock is for the tokenizer too: each call sets its truncation anew.
        with self._lock, torch.inference_mode():
            question = self._cap(normalize(query))
            pairs = [(question, passage) for passage in unique]
            self._report_cuts(pairs)
            scores = self._model.predict(
                pairs, batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        logits = np.asarray(scores, np.float64).reshape(len(unique))
        if not np.isfinite(logits).all():
            broken = int(np.flatnonzero(~np.isfinite(logits))[0])
            raise UnsuitableModel(
                f"{self.settings.model!r} gives the logit {logits[broken]} for the passage {unique[broken][:60]!r}"
            )
        places = {passage: place for place, passage in enumerate(unique)}
        return logits[[places[passage] for passage in passages]]

    def _cap(self, question: str) -> str:
        encoded = self._model.tokenizer(
            question, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        most = self.max_length // 2
        if len(encoded["input_ids"]) <= most:
            return question
        self._tell("a question of %d tokens was cut to %d for reranking", len(encoded["input_ids"]), most)
        return question[: encoded["offset_mapping"][most - 1][1]]

    def _report_cuts(self, pairs: Sequence[tuple[str, str]]) -> None:
        lengths = self._model.tokenizer(
            [pair[0] for pair in pairs],
            [pair[1] for pair in pairs],
            return_length=True,
            truncation=False,
            verbose=False,
        )["length"]
        cut = sum(length > self.max_length for length in lengths)
        if cut:
            message = "%d of %d passages were cut to %d tokens for reranking; the longest has %d"
            self._tell(message, cut, len(pairs), self.max_length, max(lengths))

    def _tell(self, message: str, *values: object) -> None:
        """Log what was cut: the first time for this model as a warning, after that at INFO."""
        logger.log(logging.INFO if message in self._told else logging.WARNING, message, *values)
        self._told.add(message)

    def _check(self) -> None:
        name = self.settings.model
        if self._model.num_labels != 1:
            raise UnsuitableModel(
                f"{name!r} gives {self._model.num_labels} scores a pair; a reranker needs one (num_labels=1)"
            )
        if self._model.tokenizer.pad_token is None:
            raise UnsuitableModel(f"the tokenizer of {name!r} has no pad token, so passages cannot be batched")
        if len(self._model.tokenizer) <= len(self._model.tokenizer.all_special_ids):
            raise UnsuitableModel(f"the tokenizer of {name!r} knows no words; are its files missing?")

    def _longest(self) -> int:
        """Return the longest input in tokens: what was asked for, else what the model says, else at most 512."""
        positions = _positions(self._model)
        longest = self._model.max_seq_length or _USUAL_MAX_LENGTH
        if self.settings.max_length is None and (positions is None or longest > positions):
            return min(longest, positions or _USUAL_MAX_LENGTH, _USUAL_MAX_LENGTH)
        if positions is not None and longest > positions:
            raise InvalidSetting(f"max_length={longest} is beyond the {positions} positions of {self.settings.model!r}")
        return longest


def _positions(model: CrossEncoder) -> int | None:
    """Return how many tokens a model has places for; RoBERTa and its kin leave the first ones to padding."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.num_embeddings) - int(module.padding_idx) - 1
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    return positions


_loaded: WeakValueDictionary[ScorerSettings, CrossEncoderScorer] = WeakValueDictionary()
_loading = threading.Lock()


def load_scorer(settings: ScorerSettings) -> CrossEncoderScorer:
    """Return the scorer of these settings, loading its model unless a scorer with equal settings is in use."""
    with _loading:
        scorer = _loaded.get(settings)
        if scorer is None:
            scorer = CrossEncoderScorer(settings)
            _loaded[settings] = scorer
        return scorer


def _load(settings: ScorerSettings) -> CrossEncoder:
    known = find_model(settings.model)
    name = known.name if known else settings.model
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
    except OSError as problem:
        if Path(name).is_dir():
            raise UnsuitableModel(f"the model in the folder {name!r} cannot be read: {problem}") from problem
        raise _not_found(name, settings, problem) from problem
    except (ValueError, RuntimeError, SafetensorError) as problem:
        raise UnsuitableModel(f"{name!r} does not load as a cross-encoder: {problem}") from problem


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
    if not any(architecture.endswith("ForSequenceClassification") for architecture in architectures):
        raise UnsuitableModel(
            f"{name!r} is {' or '.join(architectures) or 'of no stated kind'} and has no trained classification head; "
            "train one with `ko-rerank train cross-encoder --base` or name a cross-encoder"
        )


def _not_found(name: str, settings: ScorerSettings, problem: OSError) -> ModelNotFound:
    if settings.local_files_only:
        return ModelNotFound(f"{name!r} is no folder and not in the local cache, and local_files_only forbids the hub")
    return ModelNotFound(
        f"{name!r} is no folder and could not be fetched from the model hub ({type(problem).__name__}); "
        "with no network, pass the folder of a model on this machine"
    )
