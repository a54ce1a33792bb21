"""Training rows that say nearly the same as a validation row."""

from __future__ import annotations

import logging

from llama_index_ko_rerank.data.near_copies import NEAR, near_copies, signatures
from llama_index_ko_rerank.train.rows import Rows

_log = logging.getLogger(__name__)


def near_leaks(training: Rows, validation: Rows) -> dict[str, str]:
    """Find the contexts, or sentence pairs, of the training rows that are near copies of validation ones.

    Near means an estimated Jaccard similarity of character 5-grams of at least `NEAR` (.7), spaces, punctuation and
    case left out; exact copies are an error already (see `split_rows`).

    Returns:
        By each such key of the training rows, the first key of the validation rows that it copies.
    """
    ours, theirs = list(dict.fromkeys(training.keys())), list(dict.fromkeys(validation.keys()))
    copies = near_copies(signatures(ours), signatures(theirs))
    return {key: theirs[int(found[0])] for key, found in zip(ours, copies, strict=True) if len(found)}


def without_near_leaks(training: Rows, validation: Rows, *, drop: bool) -> tuple[Rows, int]:
    """Leave out the training rows that are near copies of validation rows, or only tell of them; both are logged.

    Args:
        training: The rows to learn from.
        validation: The rows to measure on, none of which is in `training` as it is.
        drop: Leave them out; the book's recipes keep every row.

    Returns:
        The rows to learn from, and how many of `training` are near copies.
    """
    leaks = near_leaks(training, validation)
    keys = training.keys()
    count = sum(key in leaks for key in keys)
    if not leaks:
        return training, 0
    example, original = next(iter(leaks.items()))
    _log.warning(
        "%d of %d training rows nearly copy a validation row (5-grams, %g alike or more), such as %r and %r: %s",
        *(count, len(keys), NEAR, example[:60], original[:60]),
        "they are left out" if drop else "this recipe keeps them, and the figures flatter it",
    )
    return (training.select([key not in leaks for key in keys]) if drop else training), count
