"""Rows of the book's experiments: for training and for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.data.load import available_splits, load_dataset, load_pair_dataset
from llama_index_ko_rerank.errors import DatasetUnavailable, InvalidSetting, UnknownDataset

SEARCH_ROWS = 1000
_LEARNT = ("train", "tune")
_MEASURED = ("validation", "test")


@dataclass(frozen=True, slots=True)
class BookData:
    """Labelled sentence pairs and questions, each to learn from and to measure on.

    Attributes:
        sts: Sentence pairs to learn from.
        sts_measured: Sentence pairs to measure on.
        mrc: Questions to learn from.
        mrc_measured: Questions whose first hundred are scored as pairs.
        searched: The questions of the search, with their contexts as the whole collection.
        shared_contexts: Contexts of `mrc_measured` that are also in `mrc`.
    """

    sts: PairDataset
    sts_measured: PairDataset
    mrc: RetrievalDataset
    mrc_measured: RetrievalDataset
    searched: RetrievalDataset
    shared_contexts: int


def load_book_data(mrc: str, sts: str, *, rows: int | None, seed: int) -> BookData:
    """Load both data sets.

    Args:
        mrc: The spec of questions with contexts; it is learnt from its split `train` or `tune` and measured on
            `validation` or `test`.
        sts: The spec of sentence pairs, with such splits too.
        rows: The most rows to learn from in either set, the first ones, and to search in; None for all, and 1,000.
        seed: Of the rows that are searched.

    Raises:
        InvalidSetting: `rows` is below 10.
        DatasetUnavailable: A file is missing, or the hub is out of reach.
        UnknownDataset: A spec is unknown, holds the other kind of data, or lacks a split.
        DataError: A file cannot be used.
    """
    if rows is not None and rows < 10:
        raise InvalidSetting(f"--rows must be 10 or more, not {rows}; models need that many to learn from")
    try:
        sts_splits, mrc_splits = _splits(sts), _splits(mrc)
        sts_learnt, sts_measured = (load_pair_dataset(sts, split) for split in sts_splits)
        mrc_learnt, mrc_measured = (load_dataset(mrc, split) for split in mrc_splits)
    except DatasetUnavailable as error:
        raise DatasetUnavailable(
            f"{error}. What is at hand can be passed: --mrc klue-mrc:PATH or squad:FILE, --sts klue-sts:PATH or "
            "pairs:FILE"
        ) from error
    contexts = {pair.context for pair in mrc_learnt.pairs()}
    return BookData(
        sts=replace(sts_learnt, pairs=sts_learnt.pairs[:rows]),
        sts_measured=sts_measured,
        mrc=mrc_learnt.with_questions(mrc_learnt.questions[:rows]),
        mrc_measured=mrc_measured,
        searched=sample_rows(mrc_measured, min(SEARCH_ROWS, rows or SEARCH_ROWS), seed=seed),
        shared_contexts=len(contexts.intersection(pair.context for pair in mrc_measured.pairs())),
    )


def sample_rows(dataset: RetrievalDataset, count: int, *, seed: int) -> RetrievalDataset:
    """Sample questions, with their contexts as the whole collection.

    The draw is that of the book, which takes ``train_test_split(test_size=count, seed=seed)["test"]`` of Hugging Face's
    datasets: the first of a permutation by NumPy's default generator. All questions are taken where there are fewer.
    """
    order = np.random.default_rng(seed).permutation(len(dataset.questions))[:count].tolist()
    questions = tuple(dataset.questions[index] for index in order)
    named = {passage_id for question in questions for passage_id in question.passage_ids}
    return replace(
        dataset,
        passages=tuple(passage for passage in dataset.passages if passage.id in named),
        questions=questions,
    )


def _splits(spec: str) -> tuple[str, str]:
    """Choose the split to learn from and the one to measure on."""
    there = available_splits(spec)
    learnt = next((split for split in _LEARNT if split in there), None)
    measured = next((split for split in _MEASURED if split in there), None)
    if learnt is None or measured is None:
        raise UnknownDataset(
            f"{spec!r} has the splits {', '.join(there)}; one is needed to learn from ({' or '.join(_LEARNT)}) "
            f"and one to measure on ({' or '.join(_MEASURED)})"
        )
    return learnt, measured
