"""The order of passages, their logits and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llama_index_ko_rerank.rerank.order import sigmoid
from llama_index_ko_rerank.rerank.scorer import CrossEncoderScorer
from llama_index_ko_rerank.text.normalize import check_query, normalize


class Ranked(NamedTuple):
    """A passage.

    Attributes:
        place: Its place among those that were given.
        logit: What the model said; of a blank passage one less than the lowest.
        probability: In 0-1; of a blank passage 0.
    """

    place: int
    logit: float
    probability: float


async def rank(
    scorer: CrossEncoderScorer, query: str, texts: Sequence[str], *, top_n: int | None = None
) -> list[Ranked]:
    """Order passages by how well they answer a question, as `CrossEncoderNodePostprocessor` does.

    Questions that come at the same time share a forward.

    Args:
        scorer: The model.
        query: The question.
        texts: The passages; blank ones come last.
        top_n: How many come back at most; all where None.

    Returns:
        Best first; equal ones in the order given.

    Raises:
        BlankQuery: The question is blank.
        InvalidText: A text holds lone surrogates.
        UnsuitableModel: The model gives NaN or infinity for a passage.
    """
    query = check_query(query)
    readable = np.array([_is_readable(text) for text in texts], bool)
    shown = [text for text, there in zip(texts, readable, strict=True) if there]
    most = len(texts) if top_n is None else top_n
    logits, probabilities = np.zeros(len(texts)), np.zeros(len(texts))
    eligible = np.ones(len(texts), bool)
    if shown:
        judgement = await scorer.ajudge(query, shown, top_n=top_n)
        logits[readable], probabilities[readable] = judgement.logits, sigmoid(judgement.logits)
        eligible[readable] = judgement.exact
        logits[~readable] = judgement.logits[judgement.exact].min() - 1.0
    order = np.argsort(-logits, kind="stable")
    return [
        Ranked(place, logit, probability)
        for place, logit, probability in zip(
            order.tolist(), logits[order].tolist(), probabilities[order].tolist(), strict=True
        )
        if eligible[place]
    ][:most]


def _is_readable(text: str) -> bool:
    return any(character.isalnum() for character in text) or bool(normalize(text).strip())
