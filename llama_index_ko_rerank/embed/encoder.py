"""A loaded model behind a lock: how long texts are in its tokens, and texts to unit vectors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import torch
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.embed.loading import load_model, set_max_tokens, set_pooling, token_counter
from llama_index_ko_rerank.embed.model_folder import ModelFolder
from llama_index_ko_rerank.embed.settings import DtypeName
from llama_index_ko_rerank.errors import InvalidSetting, InvalidText, UnsuitableModel

_COUNTED_AT_ONCE = 1000  # texts; bounds the memory that their token ids need

_log = logging.getLogger(__name__)


class Encoder:
    """A model, its tokenizer, and the lock that lets one thread at a time use them.

    Attributes:
        model: The sentence-transformers model; not to be changed.
        dimension: The length of a vector.
        max_tokens: The longest input in tokens, special tokens and prompt included; None where there is no limit.
        pooling: The pooling's name, several joined by ``+``, or None where the model has no pooling module.
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
    ) -> None:
        """Load a model from its folder; nothing is downloaded here.

        Raises:
            InvalidSetting: The device is not there, or this model cannot have the pooling or the length.
            UnsuitableModel: The folder's files are damaged or do not fit together, or they make no sentence vectors.
        """
        self.model = load_model(folder, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        self.pooling = set_pooling(self.model, folder, pooling)
        dimension = self.model.get_embedding_dimension()
        if dimension is None:
            raise UnsuitableModel(f"{folder.name!r} does not say how long its vectors are, so it cannot be indexed")
        self.dimension = dimension
        self._count = token_counter(self.model, folder)
        self.max_tokens = set_max_tokens(self.model, folder, max_length)
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
        if cut:
            _log.warning(
                "%d of %d texts have more than the %d tokens that %s reads (the longest has %d), and what is beyond is "
                "not in their vectors: split them into smaller nodes",
                *(cut, len(counts), self.max_tokens, self._name, max(counts)),
            )

    @property
    def pads(self) -> bool:
        """Whether a text in a batch is padded to the longest one."""
        return not isinstance(self.model[0], StaticEmbedding)

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
        encode = self.model.encode_query if is_query else self.model.encode_document
        with self._lock:
            raw = encode(
                list(texts), prompt=prompt, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
            )
        vectors = raw.float()
        norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        self._check_norms(norms.flatten(), texts)
        unit: list[list[float]] = (vectors / norms).cpu().tolist()
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
