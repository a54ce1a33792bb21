"""Pairs with a label, as the book's cross-encoder and a classifier learn from them."""

from __future__ import annotations

import logging

from llama_index_ko_rerank.data.irrelevant import irrelevant_contexts
from llama_index_ko_rerank.train.rows import QuestionRows, Rows

_log = logging.getLogger(__name__)


def labelled_pairs(rows: Rows, *, classes: bool, seed: int) -> tuple[list[str], list[str], list[float] | list[int]]:
    """Give both sides of each row, and its label: a question with its context (1), then with an irrelevant one (0).

    Args:
        rows: Questions with contexts, or labelled sentence pairs, which are taken as they are.
        classes: Whether labels are the numbers of classes.
        seed: Of the irrelevant contexts; one that answers its question under another title is left out and counted.

    Raises:
        EmptyCorpus: A question has no irrelevant context.
    """
    if not isinstance(rows, QuestionRows):
        pairs = rows.pairs
        labels = [int(p.label) for p in pairs] if classes else [float(p.label) for p in pairs]
        return [p.sentence1 for p in pairs], [p.sentence2 for p in pairs], labels
    answers = rows.answers()
    first, second, marks = [], [], []
    also_right = 0
    for pair, irrelevant in zip(rows.pairs, irrelevant_contexts(rows.pairs, seed=seed), strict=True):
        first.append(pair.question)
        second.append(pair.context)
        marks.append(1.0)
        if irrelevant in answers[pair.question]:
            also_right += 1
            continue
        first.append(pair.question)
        second.append(irrelevant)
        marks.append(0.0)
    if also_right:
        _log.warning(
            "%d of %d irrelevant contexts answer their question too, and were left out", also_right, len(rows.pairs)
        )
    return first, second, marks
