"""Whole documents held out of training, with no text, nor a near copy of one, on both sides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from llama_index_ko_rerank.data.dataset import Passage
from llama_index_ko_rerank.data.near_duplicates import find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting

_logger = logging.getLogger(__name__)


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
