"""Texts as token ids, each text read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from llama_index_ko_rerank.rerank.bounded_cache import BoundedCache, text_hash

KEPT_TOKENS = 2_000_000
"""How many tokens of texts are remembered: 10,000 passages of 200 tokens in 8 MB, or 24 MB where all are long."""


@dataclass(frozen=True, slots=True)
class TextTokens:
    """A text's tokens without special ones.

    Attributes:
        ids: Shape (tokens,).
        starts: The offset of the first character of each token, None where the text is short or the tokenizer cannot
            tell.
        ends: The offset after its last character.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int32] | None = None
    ends: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class TokenReader:
    """Turns texts into token ids and remembers them by the hash of the text; safe from several threads.

    Args:
        tokenizer: The model's tokenizer; it is not changed.
        offsets_beyond: Only texts of more tokens than this have their offsets kept.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, offsets_beyond: int) -> None:
        self._encode = _uncut(tokenizer) if tokenizer.is_fast else _one_by_one(tokenizer)
        self._offsets_beyond = offsets_beyond
        self._known: BoundedCache[bytes, TextTokens] = BoundedCache(KEPT_TOKENS, weight=len)

    def read(self, texts: Sequence[str]) -> list[TextTokens]:
        """Return the tokens of each text; those that were not read before are read in one go."""
        keys = [text_hash(text) for text in texts]
        known = self._known.get_all(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        for key, tokens in zip(new, self._encode(list(new.values())), strict=True):
            kept = tokens if len(tokens) > self._offsets_beyond else TextTokens(tokens.ids)
            known[key] = kept
            self._known.put(key, kept)
        return [known[key] for key in keys]

    def forget(self) -> None:
        """Forget the tokens of all texts."""
        self._known.clear()


Encode = Callable[[list[str]], list[TextTokens]]


def _uncut(tokenizer: PreTrainedTokenizerBase) -> Encode:
    """Encode by a copy of the fast tokenizer that cuts and pads nothing, and which no other call can set otherwise."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = tokenizer.backend_tokenizer.encode_special_tokens

    def encode(texts: list[str]) -> list[TextTokens]:
        found = []
        for encoding in copy.encode_batch(texts, add_special_tokens=False):
            starts, ends = np.array(encoding.offsets, np.int32).reshape(-1, 2).T
            found.append(TextTokens(np.array(encoding.ids, np.int32), starts, ends))
        return found

    return encode


def _one_by_one(tokenizer: PreTrainedTokenizerBase) -> Encode:
    lock = threading.Lock()

    def encode(texts: list[str]) -> list[TextTokens]:
        with lock:
            rows = [tokenizer(text, add_special_tokens=False, truncation=False, verbose=False) for text in texts]
        return [TextTokens(np.array(row["input_ids"], np.int32)) for row in rows]

    return encode
