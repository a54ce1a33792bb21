"""Batches: which rows share one, shared by processes, with cached token ids."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

_BLOCK = 16  # batches whose rows are sorted by length together

_log = logging.getLogger(__name__)


class SeededBatchSampler(DefaultBatchSampler):
    """Batches in an order that seed and epoch alone decide, each of rows of like length so that little is padded.

    The library's default goes on with one generator from epoch to epoch, so that a run resumed in the third epoch
    would get the batches of the first. Rows are shuffled, then sorted by length within blocks of `_BLOCK` batches.
    """

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the rows of each batch of the current epoch."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        batches: list[list[int]] = []
        for start in range(0, len(order), _BLOCK * self.batch_size):
            block = sorted(order[start : start + _BLOCK * self.batch_size], key=self._lengths.__getitem__)
            batches += [block[at : at + self.batch_size] for at in range(0, len(block), self.batch_size)]
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[index]

    def __len__(self) -> int:
        """Count the batches, a smaller one included."""
        return math.ceil(len(self._lengths) / self.batch_size)

    @cached_property
    def _lengths(self) -> list[int]:
        """The characters of each row; the library keeps the data set as `sampler`."""
        rows: Any = self.sampler
        return [sum(len(text) for text in row.values() if isinstance(text, str)) for row in rows]


class NoFalseNegativesBatchSampler(DefaultBatchSampler):
    """Batches in which no row's context is a negative for a row that it answers.

    In one batch stand neither one question twice, nor one context twice, nor a context beside a row that has it as a
    hard negative. (Two rows may share a hard negative: that only weighs it more.) The library's own sampler lets no
    text stand twice, which with several negatives a row leaves few rows to a batch.

    The columns are the question, its context, and any number of negatives. Each row goes into the first batch that has
    room and holds nothing it must be kept from; one that finds none is left out of the epoch. Seed and epoch alone
    decide.
    """

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the rows of each batch of the current epoch."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        batches = [_Batch() for _ in range(len(self))]
        first_with_room = left_out = 0
        for row in torch.randperm(len(self._rows), generator=generator).tolist():
            while first_with_room < len(batches) and len(batches[first_with_room].rows) == self.batch_size:
                first_with_room += 1
            question, context, negatives = self._rows[row]
            for batch in batches[first_with_room:]:
                if len(batch.rows) < self.batch_size and batch.accepts(question, context, negatives):
                    batch.add(row, question, context, negatives)
                    break
            else:
                left_out += 1
        if left_out:
            _log.info("%d of %d rows find no batch in this epoch", left_out, len(self._rows))
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[index].rows

    def __len__(self) -> int:
        """Count the batches, a smaller one included."""
        return math.ceil(len(self._rows) / self.batch_size)

    @cached_property
    def _rows(self) -> list[tuple[int, int, frozenset[int]]]:
        """Question, context and negatives of each row, equal texts by one number."""
        dataset: Any = self.sampler
        columns: Mapping[str, list[str]] = dataset[:]
        numbers: dict[str, int] = {}
        numbered = [[numbers.setdefault(text, len(numbers)) for text in column] for column in columns.values()]
        return [(row[0], row[1], frozenset(row[2:])) for row in zip(*numbered, strict=True)]


class _Batch:
    """The rows of one batch, and what they must be kept from."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._questions: set[int] = set()
        self._contexts: set[int] = set()
        self._negatives: set[int] = set()

    def accepts(self, question: int, context: int, negatives: frozenset[int]) -> bool:
        return (
            question not in self._questions
            and context not in self._contexts
            and context not in self._negatives
            and self._contexts.isdisjoint(negatives)
        )

    def add(self, row: int, question: int, context: int, negatives: frozenset[int]) -> None:
        self.rows.append(row)
        self._questions.add(question)
        self._contexts.add(context)
        self._negatives |= negatives


class CachedTokenCollator:
    """Collator of a static embedding: its `preprocess`, with a cache of every text's token ids.

    Tokenising takes far longer than everything else that a static embedding does with a text, and in training the same
    texts come again with every epoch and every question. Four bytes a token are kept.
    """

    def __init__(self, module: StaticEmbedding) -> None:
        self._tokenizer = module.tokenizer
        self._ids: dict[str, NDArray[np.int32]] = {}

    def __call__(
        self,
        inputs: list[str],
        prompt: str | None = None,
        task: str | None = None,  # noqa: ARG002  the library's call
    ) -> dict[str, torch.Tensor]:
        """Return the ids of all texts end to end, and the offset of each text."""
        texts = [prompt + text for text in inputs] if prompt else inputs
        new = [text for text in dict.fromkeys(texts) if text not in self._ids]
        for text, encoding in zip(new, self._tokenizer.encode_batch(new, add_special_tokens=False), strict=True):
            self._ids[text] = np.asarray(encoding.ids, np.int32)
        ids = [self._ids[text] for text in texts]
        starts = np.cumsum([0, *(len(found) for found in ids[:-1])])
        return {
            "input_ids": torch.from_numpy(np.concatenate(ids).astype(np.int64)),
            "offsets": torch.from_numpy(starts.astype(np.int64)),
        }


class SharedBatches:
    """The batches of one process, each cut into one even part for every process.

    The trainer gives the parts out in turn, so that all processes together learn from the batch that a single one would
    have. Rows that are too many to be even are left out of that batch; the rows of a batch that is too small for all
    processes are repeated. It has no ``batch_size``, since parts may be smaller than others.

    >>> list(SharedBatches([[1, 2, 3, 4], [5, 6, 7], [8]], 2))
    [[1, 2], [3, 4], [5], [6], [8], [8]]
    """

    def __init__(self, batches: Any, count: int) -> None:
        self._batches = batches
        self._count = count

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the parts of each batch."""
        for batch in self._batches:
            rows = list(batch)
            while len(rows) < self._count:
                rows += batch
            size = len(rows) // self._count
            yield from (rows[part * size : (part + 1) * size] for part in range(self._count))

    def __len__(self) -> int:
        """Count the parts."""
        return len(self._batches) * self._count

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on, by which rows are shuffled."""
        self._batches.set_epoch(epoch)
