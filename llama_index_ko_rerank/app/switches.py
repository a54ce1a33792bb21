"""What a person may set on the page, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from llama_index_ko_rerank.errors import InvalidSetting, nearest

Legs = Literal["hybrid", "lexical", "dense"]
RerankerKind = Literal["none", "ranker", "cross-encoder"]

MOST_SOURCES = 10


@dataclass(frozen=True, slots=True)
class Switches:
    """How a question is searched.

    Attributes:
        legs: By words and by meaning together, by words only, or by meaning only.
        reranker: What reorders the candidates.
        sources: How many passages the answer is made from, 1-10.

    Raises:
        InvalidSetting: A name is unknown or the number is out of range.
    """

    legs: Legs = "hybrid"
    reranker: RerankerKind = "ranker"
    sources: int = 5

    def __post_init__(self) -> None:
        if self.legs not in get_args(Legs):
            raise InvalidSetting(f"no search is called {self.legs!r}; {nearest(str(self.legs), get_args(Legs))}")
        if self.reranker not in get_args(RerankerKind):
            known = get_args(RerankerKind)
            raise InvalidSetting(f"no reranker is called {self.reranker!r}; {nearest(str(self.reranker), known)}")
        if isinstance(self.sources, bool) or not isinstance(self.sources, int):
            raise InvalidSetting(f"the number of sources is a whole number, not {self.sources!r}")
        if not 1 <= self.sources <= MOST_SOURCES:
            raise InvalidSetting(f"the number of sources must be 1 to {MOST_SOURCES}, not {self.sources}")
