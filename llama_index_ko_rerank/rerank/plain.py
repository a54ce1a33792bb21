"""Reranking plain strings, for programs that know nothing of LlamaIndex."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.order import sigmoid
from llama_index_ko_rerank.rerank.scorer import PairScorer
from llama_index_ko_rerank.text.normalize import check_query


class RerankedText(NamedTuple):
    """A text, where it stood among the texts that were given (from 0), and the probability that it answers, 0-1."""

    position: int
    text: str
    probability: float


def rerank_texts(
    query: str, texts: Sequence[str], *, scorer: PairScorer, top_n: int | None = None
) -> list[RerankedText]:
    """Order texts by how well they answer a question.

    ::

        scorer = load_scorer(ScorerSettings("ko-mini-rerank"))
        best = rerank_texts(question, texts, scorer=scorer, top_n=3)

    Args:
        query: The question.
        texts: In the order of whatever found them; they come back as they are.
        scorer: The cross-encoder, from `load_scorer`, which the caller keeps: it is loaded once and remembers scores.
        top_n: How many come back at most; all where None.

    Returns:
        Best first; equal scores keep the order given. A blank text is not shown to the model, and comes last with 0.

    Raises:
        InvalidSetting: `top_n` is under 1.
        BlankQuery: The question is blank.
        InvalidText: The question or a text holds lone surrogates.
        UnsuitableModel: The model gives NaN or infinity for a text.
    """
    if top_n is not None and top_n < 1:
        raise InvalidSetting(f"top_n must be 1 or more, not {top_n}")
    question = check_query(query)
    readable = [position for position, text in enumerate(texts) if text.strip()]
    logits = np.full(len(texts), -np.inf)
    if readable:
        logits[readable] = scorer.logits(question, [texts[position] for position in readable])
    probabilities = sigmoid(logits)
    order = np.argsort(-logits, kind="stable")[:top_n]
    return [RerankedText(place, texts[place], float(probabilities[place])) for place in order.tolist()]
