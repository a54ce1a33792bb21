"""As many whole sources as an LLM can read at once."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llama_index_ko_rerank.errors import UnsuitableModel
from llama_index_ko_rerank.text.sentences import split_sentences

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FittingSources:
    """What is left of the sources.

    Attributes:
        texts: The first of them, in their order; at least one where there was one.
        cut: Whether the text of the only one left had to be cut.
    """

    texts: list[str]
    cut: bool = False


def fit_sources(
    texts: Sequence[str], *, max_tokens: int, tokens_around: int, count_tokens: Callable[[str], int]
) -> FittingSources:
    """Keep the first sources that fit, leaving whole ones out from the end.

    Where not even the first fits, it is cut after the last sentence that does. What is left out or cut is logged.

    Args:
        texts: The sources, the best first.
        max_tokens: How many tokens all of them may take together.
        tokens_around: How many tokens each takes beside its text.
        count_tokens: Counts the tokens of a text.

    Raises:
        UnsuitableModel: Not even the first sentence of the first source fits.
    """
    kept = 0
    left = max_tokens
    for text in texts:
        left -= count_tokens(text) + tokens_around
        if left < 0:
            break
        kept += 1
    left_out = len(texts) - max(kept, 1)
    if left_out > 0:
        logger.warning(
            "%d of %d sources were left out: all of them take more than the %d tokens that the LLM has for sources",
            left_out,
            len(texts),
            max_tokens,
        )
    if kept or not texts:
        return FittingSources(list(texts[:kept]))
    return FittingSources([_cut(texts[0], max_tokens - tokens_around, count_tokens)], cut=True)


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
