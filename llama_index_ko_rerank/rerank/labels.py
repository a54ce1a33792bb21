"""Which of a classifier's labels counts, and the logit of that one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, nearest


def label_place(model: str, names: Mapping[int, str], label: str | int | None) -> int:
    """Find the label that is asked for.

    Args:
        model: The model's name, for the errors.
        names: The name of each label by number, as the model's configuration has them.
        label: A name or a number; None for a model that has one label.

    Raises:
        InvalidSetting: The model has several labels and none is named, or has no such label.
    """
    listing = ", ".join(f"{number} = {names[number]!r}" for number in sorted(names))
    if label is None:
        if len(names) == 1:
            return next(iter(names))
        raise InvalidSetting(f"{model!r} has {len(names)} labels; say with label= whose probability counts: {listing}")
    if len(names) == 1:
        raise InvalidSetting(f"{model!r} gives one score a pair and has no labels to choose from; leave label None")
    if isinstance(label, int) and label in names:
        return label
    numbers = {name: number for number, name in names.items()}
    if isinstance(label, str) and label in numbers:
        return numbers[label]
    known = nearest(label, numbers) if isinstance(label, str) else f"known: {listing}"
    raise InvalidSetting(f"{model!r} has no label {label!r}; {known}")


def label_logits(logits: NDArray[np.float32], place: int) -> NDArray[np.float64]:
    """Return the logit of one label for each pair, shape (pairs,), by whose sigmoid its probability comes out.

    With one label that is its logit. With several, whose probabilities are their softmax, it is the log odds of the
    one: its logit less the logarithm of the summed exponentials of the others.

    >>> probability = 1 / (1 + np.exp(-label_logits(np.log(np.array([[1, 2, 5]], np.float32)), 1)))
    >>> round(float(probability[0]), 6)
    0.25
    """
    wide = logits.astype(np.float64)
    if wide.shape[1] == 1:
        return wide[:, 0]
    others = np.delete(wide, place, axis=1)
    odds: NDArray[np.float64] = wide[:, place] - np.logaddexp.reduce(others, axis=1)
    return odds
