"""What the best step of a classifier is chosen by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from llama_index_ko_rerank.train.inference import pair_logits
from llama_index_ko_rerank.train.rows import SentenceRows

MACRO_F1 = "macro-f1"


class ClassProbe:
    """The F1 of every class that the validation rows have, averaged with equal weight, so that rare ones count."""

    metric = MACRO_F1
    note = ""

    def __init__(self, rows: SentenceRows, *, batch_size: int = 32) -> None:
        self._pairs = [(pair.sentence1, pair.sentence2) for pair in rows.pairs]
        self._labels = np.array([int(pair.label) for pair in rows.pairs])
        self._batch_size = batch_size

    def value(self, model: CrossEncoder) -> float:
        """Predict the class of the highest logit, the first of equal ones, and compare."""
        return macro_f1(self._labels, np.argmax(pair_logits(model, self._pairs, self._batch_size), axis=1))


def macro_f1(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Average the F1 of each class that the labels have.

    >>> round(macro_f1(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])), 4)
    0.7333
    """
    scores = []
    for label in np.unique(labels):
        right = int(np.sum((labels == label) & (predicted == label)))
        scores.append(2 * right / int(np.sum(labels == label) + np.sum(predicted == label)))
    return float(np.mean(scores))
