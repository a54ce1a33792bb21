"""A data set that was found and not yet loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset

Kind = Literal["retrieval", "sentence-pairs"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a spec stands for.

    Attributes:
        kind: Whether it holds questions with passages, or labelled sentence pairs.
        splits: The splits that it can give, in the order of the data set.
        load: Takes one of the splits, and reads it.
    """

    kind: Kind
    splits: tuple[str, ...]
    load: Callable[[str], RetrievalDataset | PairDataset]
