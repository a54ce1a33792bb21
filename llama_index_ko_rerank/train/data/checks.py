"""Checks before training: rows that nothing can be learnt from, rare classes, and rows that will not be read whole."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData
from llama_index_ko_rerank.train.data.rows import QuestionRows, Rows, SentenceRows
from llama_index_ko_rerank.train.models.loading import Base

FEWEST = 10
"""Distinct contexts or sentence pairs; with fewer there is nothing to tell apart, and no tenth to hold out."""

RARE = 0.02
"""A class with a smaller share of the rows than this is told of: a classifier may never choose it."""

_COUNTED_AT_ONCE = 1000  # rows; bounds the memory that their token ids need

_log = logging.getLogger(__name__)


def check_trainable(rows: Rows) -> None:
    """Refuse training rows that tell nothing apart.

    Raises:
        EmptyCorpus: Fewer than 10 distinct contexts or sentence pairs, or all questions or sentences are one text.
        MalformedData: All labels are equal.
    """
    distinct = len(set(rows.keys()))
    if distinct < FEWEST:
        raise EmptyCorpus(f"{rows.name} holds {distinct} distinct {rows.unit}; training needs at least {FEWEST}")
    if isinstance(rows, QuestionRows):
        if len({pair.question for pair in rows.pairs}) == 1:
            raise EmptyCorpus(f"{rows.name}: all questions are one text, {rows.pairs[0].question[:40]!r}")
        return
    labels = {float(pair.label) for pair in rows.pairs}
    if len(labels) == 1:
        raise MalformedData(f"{rows.name}: every label is {labels.pop():g}; a model learns from like and unlike pairs")


def class_sizes(rows: SentenceRows, class_names: Sequence[str]) -> tuple[int, ...]:
    """Count the rows of each class, and log the rare ones.

    Args:
        rows: With the numbers of classes for labels.
        class_names: The names that were given, if any; there must be one a class.

    Returns:
        Rows by the number of the class.

    Raises:
        MalformedData: A class has no rows, or a label has no name.
    """
    counts = Counter(int(pair.label) for pair in rows.pairs)
    classes = max(counts) + 1
    if class_names and classes > len(class_names):
        raise MalformedData(
            f"{rows.name}: labels go up to {classes - 1}, and {len(class_names)} classes are named "
            f"({', '.join(class_names)}); name all of them, or correct the labels"
        )
    sizes = tuple(counts[label] for label in range(max(classes, len(class_names))))
    missing = [label for label, size in enumerate(sizes) if not size]
    if missing:
        raise MalformedData(
            f"{rows.name}: no row has the label {missing[0]}, and {len(missing)} of {len(sizes)} classes have none; "
            "number the classes 0, 1 and so on without gaps, and give each some rows"
        )
    rare = {label: size for label, size in enumerate(sizes) if size < RARE * len(rows.pairs)}
    if rare:
        _log.warning("%s: few of %d rows are of these classes (label: rows): %s", rows.name, len(rows.pairs), rare)
    return sizes


def count_truncated(base: Base[SentenceTransformer] | Base[CrossEncoder], inputs: Sequence[tuple[str, ...]]) -> int:
    """Count the inputs that have more tokens than the base reads, and log how many these are.

    Args:
        base: Nothing is counted for one that reads any length.
        inputs: What goes into the model at once: single texts for an embedding model, pairs for a cross-encoder.
    """
    if base.max_tokens is None:
        return 0
    lengths: list[int] = []
    for start in range(0, len(inputs), _COUNTED_AT_ONCE):
        columns = [list(column) for column in zip(*inputs[start : start + _COUNTED_AT_ONCE], strict=True)]
        encoded = base.model.tokenizer(*columns, truncation=False, padding=False, verbose=False)
        lengths += [len(ids) for ids in encoded["input_ids"]]
    cut = sum(length > base.max_tokens for length in lengths)
    if cut:
        _log.warning(
            "%d of %d training texts have more than the %d tokens that %s reads (the longest has %d); the rest is cut",
            *(cut, len(lengths), base.max_tokens, base.name, max(lengths)),
        )
    return cut
