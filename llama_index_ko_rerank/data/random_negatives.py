"""Irrelevant contexts: what a question's own context is set against in training and in pair correlations."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence

from llama_index_ko_rerank.data.dataset import TrainingPair
from llama_index_ko_rerank.errors import EmptyCorpus


def irrelevant_contexts(pairs: Sequence[TrainingPair], *, seed: int) -> list[str]:
    """Draw for each pair the context of another row, with another title and another text.

    Rows are drawn alike, so that a context with many questions is drawn more often. A pair with no title is set
    against any row with another text, since nothing tells its document from the others.

    Args:
        pairs: The rows.
        seed: The same seed and rows give the same contexts.

    Returns:
        One context for each pair, in the order of the pairs.

    Raises:
        EmptyCorpus: A pair has no irrelevant context: every other row has its title or its text.

    DatasetSource: the book's recipe, which pairs each question with its own context (1) and with an irrelevant one (0).
    """
    documents = [_document(pair) for pair in pairs]
    order = sorted(range(len(pairs)), key=documents.__getitem__)
    in_order = [documents[row] for row in order]
    rows_of_text = Counter(pair.context for pair in pairs)
    rows_of_both = Counter((document, pair.context) for document, pair in zip(documents, pairs, strict=True))
    generator = random.Random(seed)
    drawn = []
    for document, pair in zip(documents, pairs, strict=True):
        first, last = bisect_left(in_order, document), bisect_right(in_order, document)
        others = len(pairs) - (last - first)
        if others == rows_of_text[pair.context] - rows_of_both[document, pair.context]:
            raise EmptyCorpus(
                f"no irrelevant context for the question {pair.question[:40]!r}: "
                f"every row has its title {pair.title!r} or its text; add rows of other documents"
            )
        context = pair.context
        while context == pair.context:
            drawn_index = generator.randrange(others)
            context = pairs[order[drawn_index if drawn_index < first else drawn_index + last - first]].context
        drawn.append(context)
    return drawn


def _document(pair: TrainingPair) -> tuple[bool, str]:
    """Name the rows that can not stand against a pair: those of its title or, with no title, those of its text."""
    return (True, pair.title) if pair.title else (False, pair.context)
