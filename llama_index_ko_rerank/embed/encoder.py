"""A loaded model behind a lock: how long texts are in its tokens, and texts to unit vectors."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast, get_args

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from transformers import PreTrainedModel

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.embed.loading import (
    DtypeName,
    ModelFolder,
    load_model,
    resolve_dtype,
    set_max_tokens,
    set_pooling,
    token_counter,
)
from llama_index_ko_rerank.errors import InvalidSetting, InvalidText, UnsuitableModel
from llama_index_ko_rerank.forward.bi_encoder import UnpaddedBiEncoder, make_bi_encoder

Overflow = Literal["truncate", "window"]

_COUNTED_AT_ONCE = 1000  # texts; bounds the memory that their token ids need

_WINDOW_MARGIN = 4  # tokens

_log = logging.getLogger(__name__)


class Encoder:
    """A model, its tokenizer, and the lock that lets one thread at a time use them.

    Attributes:
        model: The sentence-transformers model; not to be changed.
        dimension: The length of a vector.
        max_tokens: The longest input in tokens, special tokens and prompt included; None where there is no limit.
        pooling: The pooling's name, several joined by ``+``, or None where the model has no pooling module.
        overflow: What happens to a text that is too long.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        pooling: PoolingMode | None,
        max_length: int | None,
        dtype: DtypeName,
        device: str,
        trust_remote_code: bool,
        overflow: Overflow = "truncate",
    ) -> None:
        """Load a model from its folder; nothing is downloaded here.

        Raises:
            InvalidSetting: The device is not there, or this model cannot have the pooling or the length.
            UnsuitableModel: The folder's files are damaged or do not fit together, or they make no sentence vectors.
        """
        # On a processor the unpadded forward makes its own 16-bit copy of the layers from float32.
        loaded_as = "float32" if device == "cpu" else dtype
        self.model = load_model(folder, dtype=loaded_as, device=device, trust_remote_code=trust_remote_code)
        stored = resolve_dtype(dtype, device)
        self.pooling = set_pooling(self.model, folder, pooling)
        dimension = self.model.get_embedding_dimension()
        if dimension is None:
            raise UnsuitableModel(f"{folder.name!r} does not say how long its vectors are, so it cannot be indexed")
        self.dimension = dimension
        self._count = token_counter(self.model, folder)
        self.max_tokens = set_max_tokens(self.model, folder, max_length)
        self.overflow = overflow
        if overflow == "window" and self.max_tokens is not None and not self.model.tokenizer.is_fast:
            raise InvalidSetting(f"overflow='window' needs a fast tokenizer, which {folder.name!r} has not")
        self._unpadded = _unpadded_forward(self.model, stored)
        self.model.to(dtype=stored)
        self._name = folder.name
        self._lock = threading.Lock()

    def check_room(self, prompt: str) -> None:
        """Refuse a prompt that leaves the model no token of the text to read.

        Raises:
            InvalidSetting: The prompt and the special tokens fill the longest input.
        """
        taken = self.token_counts([prompt])[0]
        if self.max_tokens is not None and taken >= self.max_tokens:
            raise InvalidSetting(
                f"with max_length={self.max_tokens} no text is read: the prompt {prompt!r} and the special tokens "
                f"take {taken} tokens"
            )

    def token_counts(self, texts: Sequence[str], *, prompt: str = "") -> list[int]:
        """Count the tokens of each text behind the prompt, special tokens included, none cut off."""
        counts: list[int] = []
        for start in range(0, len(texts), _COUNTED_AT_ONCE):
            some = [prompt + text for text in texts[start : start + _COUNTED_AT_ONCE]]
            with self._lock:
                counts += self._count(some)
        return counts

    def log_cut(self, counts: Sequence[int]) -> None:
        """Log how many texts are too long for the model, given their numbers of tokens; say nothing where none is."""
        cut = sum(count > self.max_tokens for count in counts) if self.max_tokens is not None else 0
        if cut and self.overflow == "truncate":
            _log.warning(
                "%d of %d texts have more than the %d tokens that %s reads (the longest has %d), and what is beyond is "
                "not in their vectors: split them into smaller nodes",
                *(cut, len(counts), self.max_tokens, self._name, max(counts)),
            )

    @property
    def pads(self) -> bool:
        """Whether a text in a batch is padded to the longest one."""
        return self._unpadded is None and not isinstance(self.model[0], StaticEmbedding)

    def encode(self, texts: Sequence[str], *, prompt: str, is_query: bool, batch_size: int) -> list[list[float]]:
        """Turn texts into unit vectors.

        Args:
            texts: Normalised texts, any number.
            prompt: Put before each text.
            is_query: Whether they are questions, for the few models that have a part of their own for each.
            batch_size: How many texts go through the model at once.

        Returns:
            One list of `dimension` numbers a text, in order, each of length 1 in float32.

        Raises:
            InvalidText: The model reads no token in a text, so that its vector has no direction.
            UnsuitableModel: A vector holds NaN or infinity.
        """
        if not texts:
            return []
        if self.overflow == "truncate" or self.max_tokens is None:
            return cast(list[list[float]], self._encode(texts, prompt, is_query, batch_size).tolist())
        windows, weights, starts = self._windows(texts, prompt)
        weighted = self._encode(windows, prompt, is_query, batch_size) * torch.tensor(weights)[:, None]
        sums = torch.stack([weighted[start:stop].sum(dim=0) for start, stop in pairwise(starts)])
        return cast(list[list[float]], torch.nn.functional.normalize(sums, dim=1).tolist())

    def _windows(self, texts: Sequence[str], prompt: str) -> tuple[list[str], list[float], list[int]]:
        """Cut texts that are too long into windows of nearly equal length.

        Returns:
            The windows of all texts, how many tokens each has, and where each text's windows start, with the end.
        """
        assert self.max_tokens is not None  # without a limit nothing overflows
        # A window's first word may take a token more than it took inside the text.
        most = max(1, self.max_tokens - self.token_counts([prompt])[0] - _WINDOW_MARGIN)
        windows: list[str] = []
        weights: list[float] = []
        starts = [0]
        with self._lock:
            found = self.model.tokenizer(
                list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )["offset_mapping"]
        for text, spans in zip(texts, found, strict=True):
            count = math.ceil(len(spans) / most)
            if count <= 1:
                windows.append(text)
                weights.append(max(1, len(spans)))
            else:
                edges = [len(spans) * index // count for index in range(count + 1)]
                cuts = [0, *(spans[edge][0] for edge in edges[1:-1]), len(text)]
                windows += [text[start:stop] for start, stop in pairwise(cuts)]
                weights += [stop - start for start, stop in pairwise(edges)]
            starts.append(len(windows))
        return windows, weights, starts

    def _encode(self, texts: Sequence[str], prompt: str, is_query: bool, batch_size: int) -> torch.Tensor:
        """Return unit vectors in float32, shape (texts, dimension)."""
        with self._lock:
            if self._unpadded is not None:
                ids = self.model.tokenizer(
                    [prompt + text for text in texts], truncation=True, max_length=self.max_tokens, verbose=False
                )["input_ids"]
                vectors = self._unpadded.encode(ids)
            else:
                encode = self.model.encode_query if is_query else self.model.encode_document
                vectors = encode(
                    list(texts), prompt=prompt, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
                ).float()
        norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        self._check_norms(norms.flatten(), texts)
        unit: torch.Tensor = (vectors / norms).cpu()
        return unit

    def _check_norms(self, norms: torch.Tensor, texts: Sequence[str]) -> None:
        if not bool(torch.isfinite(norms).all()):
            raise UnsuitableModel(
                f"{self._name!r} made a vector with NaN or infinity; if dtype is float16, take bfloat16 or float32"
            )
        empty = torch.nonzero(norms == 0).flatten().tolist()
        if empty:
            raise InvalidText(
                f"{self._name!r} reads no token in {texts[empty[0]][:20]!r} ({len(empty)} such of {len(texts)} texts), "
                "so there is no vector to compare; leave empty texts out"
            )


def _unpadded_forward(model: SentenceTransformer, dtype: torch.dtype) -> UnpaddedBiEncoder | None:
    """Make the forward without padding of a model that is an encoder, one pooling and a normalisation, no more."""
    modules = list(model)
    if [type(module) for module in modules[:2]] != [Transformer, Pooling] or dtype == torch.float16:
        return None
    transformer, pooling = modules[:2]
    is_known = isinstance(pooling.pooling_mode, str) and pooling.pooling_mode in get_args(PoolingMode)
    if not is_known or not pooling.include_prompt or any(type(module) is not Normalize for module in modules[2:]):
        return None
    name: Literal["float32", "bfloat16"] = "bfloat16" if dtype == torch.bfloat16 else "float32"
    return make_bi_encoder(
        cast(PreTrainedModel, transformer.model), pooling=cast(PoolingMode, pooling.pooling_mode), dtype=name
    )
