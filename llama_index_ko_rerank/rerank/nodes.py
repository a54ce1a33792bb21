"""Ranking of texts and of nodes by the scores that a reranker gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.text.normalize import check_text, normalize
from llama_index_ko_rerank.types import RankedNode, SourceHit, sources_of

Span = tuple[int, int]
"""Where something starts and where it ends, the end not included."""


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn logits into probabilities in 0-1, in float64 so that large logits stay apart, and without overflow.

    >>> sigmoid(np.array([0.0, -np.inf, 800.0])).tolist()
    [0.5, 0.0, 1.0]
    """
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def interpolate_scores(
    retrieval_scores: NDArray[np.float64], probabilities: NDArray[np.float64], *, retrieval_weight: float
) -> NDArray[np.float64]:
    """Mix what the first stage said of a question's candidates with what the reranker says.

    Each is ``w * retrieval + (1 - w) * probability``, w being `retrieval_weight` and ``retrieval`` the score brought to
    0-1: from the lowest of the list at 0 to the largest at 1, or 1 throughout where they are all equal. The range and
    not the maximum is the scale, since cosines and fused ranks lie close together and far from 0.

    Args:
        retrieval_scores: One a candidate, on any scale, larger is better.
        probabilities: One a candidate, in 0-1.
        retrieval_weight: The share of the first stage, in 0-1.

    Returns:
        One a candidate, in 0-1.

    Source: Bruch, Gai, Ingber, "An analysis of fusion functions for hybrid retrieval", TOIS 2023.

    >>> interpolate_scores(np.array([7.0, 5.0, 6.0]), np.array([0.2, 0.9, 0.4]), retrieval_weight=0.5).round(3).tolist()
    [0.6, 0.45, 0.45]
    """
    low, high = retrieval_scores.min(initial=np.inf), retrieval_scores.max(initial=-np.inf)
    scaled = (retrieval_scores - low) / (high - low) if high > low else np.ones_like(retrieval_scores)
    mixed: NDArray[np.float64] = retrieval_weight * scaled + (1 - retrieval_weight) * probabilities
    return mixed


class RankedPassage(NamedTuple):
    """A passage, by its position among those that were given (from 0), its logit, and its probability in 0-1."""

    position: int
    logit: float
    probability: float


class BlankLast:
    """Texts of which a model reads those that are not blank; blank ones rank after all others.

    A text is blank where its normal form holds only white space. It has the probability 0 and a logit of 1 less than
    the lowest that was read, or of -1 where none was.

    Args:
        texts: In the order of the first stage.

    Attributes:
        texts: Those that are not blank, as they were given and in that order.
        blank: Which of those given are blank, shape (texts,).

    Raises:
        InvalidText: A text of only white space and signs holds lone surrogates.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.blank = np.array([_is_blank(text) for text in texts], bool)
        self.texts = [text for text, blank in zip(texts, self.blank, strict=True) if not blank]

    def fill(self, values: NDArray[np.float64], blank: float = 0.0) -> NDArray[np.float64]:
        """Return a value for every text: those of `texts`, and `blank` for the others."""
        filled = np.full(len(self.blank), blank)
        filled[~self.blank] = values
        return filled

    def fill_logits(self, logits: NDArray[np.float64], exact: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return a logit for every text from those of `texts`, of which only `exact` ones count as the lowest."""
        counting = logits if exact is None else logits[exact]
        return self.fill(logits, (float(counting.min()) if len(counting) else 0.0) - 1.0)

    def fill_exact(self, exact: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which texts may come back: blank ones, and those whose logit was computed exactly."""
        return self.fill(exact.astype(np.float64), 1.0) > 0

    def rank(
        self, logits: NDArray[np.float64], *, exact: NDArray[np.bool_] | None = None, top_n: int | None = None
    ) -> list[RankedPassage]:
        """Rank all texts by the logits of `texts`.

        Args:
            logits: One for each of `texts`, larger is better.
            exact: Which of those may come back. Defaults to all.
            top_n: How many come back at most. Defaults to all.

        Returns:
            Best first; equal ones keep the order given.

        >>> BlankLast(["", "가", "나"]).rank(np.array([0.0, 0.0]), top_n=2)
        [RankedPassage(position=1, logit=0.0, probability=0.5), RankedPassage(position=2, logit=0.0, probability=0.5)]
        """
        every, probabilities = self.fill_logits(logits, exact), self.fill(sigmoid(logits))
        order = best_first(every, eligible=None if exact is None else self.fill_exact(exact), last=self.blank)[:top_n]
        return [
            RankedPassage(*found)
            for found in zip(order.tolist(), every[order].tolist(), probabilities[order].tolist(), strict=True)
        ]


def _is_blank(text: str) -> bool:
    """Return whether a text is blank; letters and digits outlive normalising, which is therefore rarely needed."""
    return not any(character.isalnum() for character in text) and not normalize(text).strip()


def best_first(
    scores: NDArray[np.float64],
    *,
    eligible: NDArray[np.bool_] | None = None,
    last: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Return positions by score, largest first; equal ones keep the order given.

    Args:
        scores: Shape (passages,).
        eligible: Which of them come back. Defaults to all.
        last: Which come after all others whatever their score. Defaults to none.

    >>> best_first(np.array([0.5, 0.0, 0.9, 0.5]), last=np.array([False, False, True, False])).tolist()
    [0, 3, 1, 2]
    """
    order = np.argsort(-scores, kind="stable") if last is None else np.lexsort((-scores, last))
    return order if eligible is None else order[eligible[order]]


def rerank_nodes(
    nodes: Sequence[NodeWithScore],
    scores: NDArray[np.float64],
    *,
    top_n: int,
    eligible: NDArray[np.bool_] | None = None,
    last: NDArray[np.bool_] | None = None,
    windows: Sequence[Span | None] | None = None,
    keep_retrieval_score: bool = False,
) -> list[NodeWithScore]:
    """Return the best nodes as new objects that carry the new scores; the old ones are left as they are.

    Args:
        nodes: The candidates, in the order of the first stage.
        scores: One a node, larger is better.
        top_n: How many at most.
        eligible: Which nodes may come back. Defaults to all.
        last: Which of them come after all others. Defaults to none.
        windows: What stretch of each node's text its score rests on, None for all of it.
        keep_retrieval_score: Whether the first stage's rank and score are kept as the source ``retrieval``.

    Returns:
        Best first; equal scores keep the incoming order.
    """
    return [
        _with_score(
            nodes[position],
            float(scores[position]),
            int(position) + 1 if keep_retrieval_score else None,
            windows[position] if windows else None,
        )
        for position in best_first(scores, eligible=eligible, last=last)[:top_n]
    ]


def _with_score(found: NodeWithScore, score: float, retrieval_rank: int | None, window: Span | None) -> NodeWithScore:
    if retrieval_rank is None and window is None and not isinstance(found, RankedNode):
        return found.model_copy(update={"score": score})
    sources = sources_of(found)
    if retrieval_rank is not None:
        sources["retrieval"] = SourceHit(rank=retrieval_rank, score=float(found.score or 0.0))
    return RankedNode(node=found.node, score=score, sources=sources, window=window)


# Normalising changes nothing across white space, so that runs may be normalised one by one.
_RUN = re.compile(r"\s+|\S+")


def model_input_text(found: NodeWithScore, mode: MetadataMode) -> str:
    """Return a node's text in its normal form.

    Raises:
        InvalidText: The text holds lone surrogates; the message names the node.
    """
    text = found.node.get_content(metadata_mode=mode)
    check_text(text, f"the text of node {found.node.node_id!r}")
    return normalize(text)


def map_span_to_node(found: NodeWithScore, mode: MetadataMode, span: Span | None) -> Span | None:
    """Find the stretch of a node's own text that a stretch of its readable text is.

    Args:
        found: The node.
        mode: Which metadata its readable text has.
        span: Offsets in `model_input_text`.

    Returns:
        Offsets in the text of the node without metadata, whole words where normalising changed it; None where `span` is
        None, or holds metadata only, or where a template of the node's own hides its text.
    """
    if span is None:
        return None
    content, text = found.node.get_content(metadata_mode=mode), found.node.get_content(metadata_mode=MetadataMode.NONE)
    place = content.rfind(text.strip())
    if place < 0:
        return None
    moved = len(text) - len(text.lstrip()) - place
    start, end = (min(max(offset + moved, 0), len(text)) for offset in original_span(content, span))
    return (start, end) if start < end else None


def original_span(text: str, span: Span) -> Span:
    r"""Find what a stretch of a normalised text was before, in whole words where anything was changed.

    >>> text = "제\u200b목: ＡＢＣ"
    >>> normalize(text)[4:7], text[slice(*original_span(text, (4, 7)))]
    ('ABC', 'ＡＢＣ')
    """
    if normalize(text) == text:
        return span
    place = 0
    words = []
    for run in _RUN.finditer(text):
        length = len(normalize(run.group()))
        if place < span[1] and place + length > span[0]:
            words.append(run)
        place += length
    return (words[0].start(), words[-1].end()) if words else (0, 0)
