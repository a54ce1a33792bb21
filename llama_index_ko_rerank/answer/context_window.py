"""As many whole sources as an LLM can read, in one prompt or a few."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from llama_index_ko_rerank.errors import UnsuitableModel
from llama_index_ko_rerank.text.sentences import split_sentences

logger = logging.getLogger(__name__)
MOST_PROMPTS = 3
"""How many prompts one answer may take: each is a call that the reader waits for."""


@dataclass(frozen=True, slots=True)
class SourceBatches:
    """What is left of the sources.

    Attributes:
        batches: The texts of each prompt; together the first of the sources, in their order, and at least one of them.
        cut: Whether the text of the only one left had to be cut.
    """

    batches: list[list[str]]
    cut: bool = False

    @property
    def kept(self) -> int:
        """How many sources are in the batches."""
        return sum(map(len, self.batches))


def batch_sources(
    texts: Sequence[str],
    *,
    max_tokens: int,
    max_tokens_later: int,
    tokens_around: int,
    count_tokens: Callable[[str], int],
) -> SourceBatches:
    """Divide the first sources among up to three prompts, leaving whole ones out from the end.

    A source that fits no prompt ends the batches. Where that is the first, it is cut after the last sentence that fits,
    and stands alone. What is left out or cut is logged.

    Args:
        texts: The sources, the best first.
        max_tokens: How many tokens those of the first prompt may take together.
        max_tokens_later: The same for each later prompt, which also holds the answer so far.
        tokens_around: How many tokens each takes beside its text.
        count_tokens: Counts the tokens of a text.

    Raises:
        UnsuitableModel: Not even the first sentence of the first source fits.
    """
    sizes = [count_tokens(text) + tokens_around for text in texts]
    batches: list[list[str]] = []
    start = 0
    while start < len(texts) and len(batches) < MOST_PROMPTS:
        fitting = bisect_right(list(accumulate(sizes[start:])), max_tokens_later if batches else max_tokens)
        if not fitting:
            break
        batches.append(list(texts[start : start + fitting]))
        start += fitting
    left_out = len(texts) - max(start, 1)
    if left_out > 0:
        logger.warning(
            "%d of %d sources were left out: the LLM has %d tokens for sources in the first prompt, %d in a later one",
            left_out,
            len(texts),
            max_tokens,
            max_tokens_later,
        )
    if batches or not texts:
        return SourceBatches(batches)
    return SourceBatches([[_cut(texts[0], max_tokens - tokens_around, count_tokens)]], cut=True)


def _cut(text: str, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    ends = [sentence.end for sentence in split_sentences(text)]
    fitting = bisect_right(ends, max_tokens, key=lambda end: count_tokens(text[:end]))
    if not fitting:
        raise UnsuitableModel(
            f"the LLM has {max(max_tokens, 0)} tokens for the best source, and its first sentence alone takes more; "
            "ask a shorter question, split the documents into smaller nodes, or use an LLM with a longer context"
        )
    logger.warning("the best source was cut from %d characters to %d to fit the LLM", len(text), ends[fitting - 1])
    return text[: ends[fitting - 1]]
