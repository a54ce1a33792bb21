"""Splits: validation rows held out by context or checked against training, and whole documents held out."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from llama_index_ko_rerank.data.dataset import Passage
from llama_index_ko_rerank.data.near_duplicates import NEAR, find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, SplitLeak
from llama_index_ko_rerank.train.data.rows import Rows

_logger = logging.getLogger(__name__)

HELD_OUT_SHARE = 0.1
"""The share of contexts, or of sentence pairs, that validates where no validation data are given."""


def split_rows(training: Rows, validation: Rows | None, *, seed: int) -> tuple[Rows, Rows]:
    """Split off validation rows: training rows and validation rows that share no context.

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


@dataclass(frozen=True, slots=True)
class DocumentSplit:
    """Passages to train on, and passages to measure on.

    Attributes:
        training: Passages of the documents that stay, in the order they were given.
        held_out: Passages of the documents that were drawn, less those in `left_out`.
        left_out: Passages of drawn documents that training holds a copy or a near copy of, such as boilerplate. They
            belong to the searched collection, and questions on them measure nothing.
    """

    training: tuple[Passage, ...]
    held_out: tuple[Passage, ...]
    left_out: tuple[Passage, ...]


def split_by_document(
    passages: Sequence[Passage], *, seed: int, held_out_share: float = 0.1, documents: Sequence[str] | None = None
) -> DocumentSplit:
    """Hold out documents, drawn by the seed, until they make up a share of the passages.

    Args:
        passages: The collection.
        seed: Of the draw; the order of the passages does not matter to it.
        held_out_share: The share of the passages whose documents are held out, above 0 and below 1.
        documents: The document of each passage; its title where None. A passage with neither is a document of its own.

    Raises:
        InvalidSetting: The share is out of range, or `documents` does not match the passages.
        EmptyCorpus: There are fewer than two documents, or everything held out is a copy of what stays.
    """
    if not 0 < held_out_share < 1:
        raise InvalidSetting(f"held_out_share must be above 0 and below 1, not {held_out_share}")
    if documents is not None and len(documents) != len(passages):
        raise InvalidSetting(f"there are {len(passages)} passages and {len(documents)} documents; name one a passage")
    names = [
        name or f"\0{passage.id}"
        for name, passage in zip(documents or [passage.title for passage in passages], passages, strict=True)
    ]
    drawn = _drawn(names, seed, held_out_share)
    training = [passage for passage, name in zip(passages, names, strict=True) if name not in drawn]
    outside = [passage for passage, name in zip(passages, names, strict=True) if name in drawn]
    copies = find_near_duplicates(
        minhash_signatures([p.text for p in outside]), minhash_signatures([p.text for p in training])
    )
    held_out = tuple(passage for passage, rows in zip(outside, copies, strict=True) if not len(rows))
    left_out = tuple(passage for passage, rows in zip(outside, copies, strict=True) if len(rows))
    if not held_out:
        raise EmptyCorpus(
            f"all {len(outside)} passages of the {len(drawn)} documents held out are copies of passages that stay; "
            "take copies out of the collection, or hold out more"
        )
    _logger.info(
        "held out %d documents: %d passages to train on, %d to measure on, %d left out as near copies",
        len(drawn),
        len(training),
        len(held_out),
        len(left_out),
    )
    return DocumentSplit(tuple(training), held_out, left_out)


def _drawn(names: Sequence[str], seed: int, share: float) -> set[str]:
    """Draw documents up to the share, at least one, and never all."""
    sizes: dict[str, int] = {}
    for name in names:
        sizes[name] = sizes.get(name, 0) + 1
    if len(sizes) < 2:
        raise EmptyCorpus(
            f"holding out documents needs two or more, and there are {len(sizes)}; name the documents of the passages, "
            "or give each a title"
        )
    order = sorted(sizes)
    Random(seed).shuffle(order)
    wanted = share * len(names)
    drawn = {order[0]}
    taken = sizes[order[0]]
    for name in order[1:-1]:
        if taken + sizes[name] <= wanted:
            drawn.add(name)
            taken += sizes[name]
    return drawn
