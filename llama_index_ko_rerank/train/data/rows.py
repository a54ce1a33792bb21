"""Rows that the models learn from: normalised, labelled, and checked."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import ClassVar, Self

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset, SentencePair, TrainingPair
from llama_index_ko_rerank.data.random_negatives import irrelevant_contexts
from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData
from llama_index_ko_rerank.text.normalize import normalize
from llama_index_ko_rerank.train.models.loading import StartingModel
from llama_index_ko_rerank.train.synthesis.draft import drop_space


@dataclass(frozen=True, slots=True)
class QuestionRows:
    """Questions with their contexts, normalised, and the collection that they search.

    Attributes:
        name: The spec that the data set was loaded by, and its split.
        pairs: Each question with each of its contexts.
        collection: Every passage text once, in document order; contexts are among them.
    """

    name: str
    pairs: tuple[TrainingPair, ...]
    collection: tuple[str, ...]

    @property
    def contexts(self) -> tuple[str, ...]:
        """Every context that answers a question, once, in order of first appearance."""
        return tuple(dict.fromkeys(pair.context for pair in self.pairs))

    @property
    def texts(self) -> tuple[str, ...]:
        """The questions, and every context once: what a vocabulary is learnt from."""
        return tuple(pair.question for pair in self.pairs) + self.contexts

    unit: ClassVar[str] = "contexts"

    def keys(self) -> list[str]:
        """Keys that must not stand in both training and validation: each row's context."""
        return [pair.context for pair in self.pairs]

    def links(self) -> list[str]:
        """Links to rows of other contexts: each row's question."""
        return [pair.question for pair in self.pairs]

    def select(self, keep: Sequence[bool]) -> Self:
        """Return the marked rows; the collection stays whole."""
        return replace(self, pairs=tuple(compress(self.pairs, keep)))

    def answers(self) -> dict[str, frozenset[str]]:
        """Map each question's text to all contexts that answer it, under all of its ids."""
        found: dict[str, set[str]] = {}
        for pair in self.pairs:
            found.setdefault(pair.question, set()).add(pair.context)
        return {question: frozenset(contexts) for question, contexts in found.items()}


@dataclass(frozen=True, slots=True)
class SentenceRows:
    """Sentence pairs with a similarity in 0-1, normalised.

    Attributes:
        name: The spec that the data set was loaded by, and its split.
        pairs: The pairs.
    """

    name: str
    pairs: tuple[SentencePair, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Both sentences of every pair."""
        return tuple(text for pair in self.pairs for text in (pair.sentence1, pair.sentence2))

    unit: ClassVar[str] = "sentence pairs"

    def keys(self) -> list[str]:
        """Keys that must not stand in both training and validation: two sentences in any order."""
        return [" / ".join(sorted((pair.sentence1, pair.sentence2))) for pair in self.pairs]

    def links(self) -> list[str]:
        """Return the keys: one sentence may stand in several pairs."""
        return self.keys()

    def select(self, keep: Sequence[bool]) -> Self:
        """Return the marked rows."""
        return replace(self, pairs=tuple(compress(self.pairs, keep)))


Rows = QuestionRows | SentenceRows


def read_rows(dataset: RetrievalDataset | PairDataset, *, classes: bool = False) -> Rows:
    """Normalise a data set's rows and check that something can be learnt or measured on each of them.

    Args:
        dataset: The data set.
        classes: Whether labels are the numbers of classes, 0 and up, and not similarities.

    Raises:
        EmptyCorpus: There are no rows.
        MalformedData: A row is empty once normalised, or a label is no similarity in 0-1, or no class.
        InvalidText: A text holds lone surrogates.
    """
    if isinstance(dataset, RetrievalDataset):
        return _question_rows(dataset)
    return _sentence_rows(dataset, classes=classes)


def _question_rows(dataset: RetrievalDataset) -> QuestionRows:
    name = f"{dataset.name} {dataset.split}"
    pairs = [
        TrainingPair(normalize(pair.question).strip(), normalize(pair.context).strip(), normalize(pair.title).strip())
        for pair in dataset.pairs()
    ]
    _check_rows(name, [{"question": pair.question, "context": pair.context} for pair in pairs])
    collection = dict.fromkeys(normalize(passage.text).strip() for passage in dataset.passages)
    collection.pop("", None)
    return QuestionRows(name, tuple(pairs), tuple(collection))


def _sentence_rows(dataset: PairDataset, *, classes: bool) -> SentenceRows:
    name = f"{dataset.name} {dataset.split}"
    pairs = [
        SentencePair(normalize(pair.sentence1).strip(), normalize(pair.sentence2).strip(), pair.label)
        for pair in dataset.pairs
    ]
    _check_rows(name, [{"sentence1": pair.sentence1, "sentence2": pair.sentence2} for pair in pairs])
    is_label = _is_class if classes else _is_similarity
    wrong = [row for row, pair in enumerate(pairs) if not is_label(pair.label)]
    if wrong:
        learns = "classes, numbered 0, 1 and so on" if classes else "similarities in 0-1, not classes"
        raise MalformedData(
            f"{name}: row {wrong[0] + 1} has the label {pairs[wrong[0]].label!r}, and {len(wrong)} of {len(pairs)} "
            f"rows have such labels; this recipe learns {learns}"
        )
    return SentenceRows(name, tuple(pairs))


def _is_similarity(label: float) -> bool:
    return math.isfinite(label) and 0 <= label <= 1


def _is_class(label: float) -> bool:
    return math.isfinite(label) and label >= 0 and label == int(label)


def _check_rows(name: str, rows: Sequence[Mapping[str, str]]) -> None:
    if not rows:
        raise EmptyCorpus(f"{name} has no rows to train on or to measure")
    empty = [(row, field) for row, fields in enumerate(rows, start=1) for field, text in fields.items() if not text]
    if empty:
        raise MalformedData(
            f"{name}: {len(empty)} of {len(rows)} rows are empty once white space and invisible characters are gone; "
            f"the first is row {empty[0][0]}, field {empty[0][1]!r}"
        )


_log = logging.getLogger(__name__)


def labelled_pairs(rows: Rows, *, classes: bool, seed: int) -> tuple[list[str], list[str], list[float] | list[int]]:
    """Return both sides of each row, and its label: a question with its context (1), then with an irrelevant one (0).

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


def drop_spaces(questions: Sequence[str], share: float, *, seed: int) -> list[str]:
    """Take spaces out of a share of the questions; a question that stands twice loses the same ones twice.

    Args:
        questions: Normalised (NFC), which is the other half of reading what people type.
        share: How many of them, 0-1.
        seed: With the text itself it decides what is lost.

    Returns:
        As many questions, in the same order.
    """
    return [_lost(question, share, random.Random(f"{seed} {question}")) for question in questions]


def _lost(question: str, share: float, generator: random.Random) -> str:
    return drop_space(question, generator) if generator.random() < share else question


FEWEST = 10
"""Distinct contexts or sentence pairs; with fewer there is nothing to tell apart, and no tenth to hold out."""

RARE = 0.02
"""A class with a smaller share of the rows than this is logged: a classifier may never choose it."""

_COUNTED_AT_ONCE = 1000  # rows; bounds the memory that their token ids need


def check_trainable(rows: Rows) -> None:
    """Refuse training rows with nothing to tell apart.

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


def count_truncated(
    base: StartingModel[SentenceTransformer] | StartingModel[CrossEncoder], inputs: Sequence[tuple[str, ...]]
) -> int:
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
