"""Validation rows: held out by context, or given and then checked to share nothing with training."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Sequence

from llama_index_ko_rerank.data.near_duplicates import NEAR, find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, SplitLeak
from llama_index_ko_rerank.train.data.rows import Rows

HELD_OUT_SHARE = 0.1
"""The share of contexts, or of sentence pairs, that validates where no validation data are given."""


def split_rows(training: Rows, validation: Rows | None, *, seed: int) -> tuple[Rows, Rows]:
    """Give training rows and validation rows that share no context.

    Args:
        training: All rows to train on.
        validation: The rows to validate on; defaults to a tenth of the contexts of `training`.
        seed: Of the tenth.

    Raises:
        InvalidSetting: The two are not of one kind.
        SplitLeak: They share contexts or sentence pairs.
        EmptyCorpus: Nothing can be held out, since all rows hang together.
    """
    if validation is None:
        return _group_split(training, seed=seed)
    if type(training) is not type(validation):
        raise InvalidSetting(
            f"the training data {training.name!r} hold {training.unit} and the validation data {validation.name!r} "
            f"{validation.unit}; pass two of one kind"
        )
    _check_no_leak(training, validation)
    return training, validation


def _check_no_leak(training: Rows, validation: Rows) -> None:
    """Compare normalised texts, so that one context under two ids, or in two Unicode forms, is found."""
    shared = sorted(set(validation.keys()).intersection(training.keys()))
    if shared:
        raise SplitLeak(
            f"{len(shared)} {training.unit} of the validation data {validation.name!r} are also in the training data "
            f"{training.name!r}, such as {shared[0][:80]!r}; split by {training.unit}, or pass no validation data, and "
            "a tenth is held out"
        )


def _group_split(rows: Rows, *, seed: int) -> tuple[Rows, Rows]:
    """Take a share of the contexts out, each with all its questions; rows keep their order.

    Contexts that share a question's text stay together, and copies of one sentence pair too.
    """
    keys = rows.keys()
    groups = _connected_components(keys, rows.links())
    keys_of_group: dict[int, set[str]] = defaultdict(set)
    for key, group in zip(keys, groups, strict=True):
        keys_of_group[group].add(key)
    wanted = max(1, round(HELD_OUT_SHARE * len(set(keys))))
    order = sorted(keys_of_group)
    random.Random(seed).shuffle(order)
    held: set[int] = set()
    taken = 0
    for group in order:
        if taken + len(keys_of_group[group]) <= wanted:
            held.add(group)
            taken += len(keys_of_group[group])
    if not held:
        raise EmptyCorpus(
            f"{rows.name}: its {rows.unit} share so many questions that none can be held out; pass validation data"
        )
    is_held = [group in held for group in groups]
    return rows.select([not out for out in is_held]), rows.select(is_held)


def _connected_components(keys: Sequence[str], links: Sequence[str]) -> list[int]:
    """Number the groups of rows that hang together by equal keys or equal links, in order of their first row."""
    first_with: dict[tuple[str, str], int] = {}
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for row, (key, link) in enumerate(zip(keys, links, strict=True)):
        for other in (first_with.setdefault(("key", key), row), first_with.setdefault(("link", link), row)):
            left, right = sorted((root(row), root(other)))
            parent[right] = left
    return [root(row) for row in range(len(keys))]


_log = logging.getLogger(__name__)


def find_contamination(training: Rows, validation: Rows) -> dict[str, str]:
    """Find the contexts, or sentence pairs, of the training rows that are near copies of validation ones.

    Near means an estimated Jaccard similarity of character 5-grams of at least `NEAR` (.7), spaces, punctuation and
    case left out; exact copies are an error already (see `split_rows`).

    Returns:
        By each such key of the training rows, the first key of the validation rows that it copies.
    """
    ours, theirs = list(dict.fromkeys(training.keys())), list(dict.fromkeys(validation.keys()))
    copies = find_near_duplicates(minhash_signatures(ours), minhash_signatures(theirs))
    return {key: theirs[int(found[0])] for key, found in zip(ours, copies, strict=True) if len(found)}


def drop_contaminated(training: Rows, validation: Rows, *, drop: bool) -> tuple[Rows, int]:
    """Leave out the training rows that are near copies of validation rows, or only log them.

    Args:
        training: The rows to learn from.
        validation: The rows to measure on, none of which is in `training` as it is.
        drop: Leave them out; the book's recipes keep every row.

    Returns:
        The rows to learn from, and how many of `training` are near copies.
    """
    leaks = find_contamination(training, validation)
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
