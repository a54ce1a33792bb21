"""Questions with their passages as token ids, and how they are split into chunks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenPair:
    """One question with one passage, as the model reads it.

    Attributes:
        token_ids: With the special tokens and without padding, shape (tokens,), one token or more.
        segment_ids: The token types, shape (tokens,); zeros where the model's tokenizer makes none.
    """

    token_ids: NDArray[np.int32]
    segment_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.token_ids)


def token_budget_batches(
    pairs: Sequence[TokenPair], max_batch_tokens: int, *, padded: bool = False
) -> Iterator[list[int]]:
    """Split pairs into chunks that each hold a budget of tokens at most, longest pairs first.

    A pair that is longer than the budget is a chunk of its own.

    Args:
        pairs: In any order.
        max_batch_tokens: Most tokens of a chunk, 1 or more.
        padded: Whether each pair takes as many tokens as the longest of its chunk.

    Yields:
        The places of a chunk's pairs, pairs of equal length side by side; every place once in all.

    >>> ids = np.zeros(8, np.int32)
    >>> pairs = [TokenPair(ids[:length], ids[:length]) for length in (3, 8, 2, 4)]
    >>> list(token_budget_batches(pairs, 8))
    [[1], [3, 0], [2]]
    """
    chunk: list[int] = []
    tokens = 0
    for place in sorted(range(len(pairs)), key=lambda place: -len(pairs[place])):
        taken = len(pairs[chunk[0]]) if padded and chunk else len(pairs[place])
        if chunk and tokens + taken > max_batch_tokens:
            yield chunk
            chunk, tokens, taken = [], 0, len(pairs[place])
        chunk.append(place)
        tokens += taken
    if chunk:
        yield chunk
