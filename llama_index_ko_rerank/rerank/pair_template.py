"""How a tokenizer joins a question and a passage: which special tokens stand where, and which segment each part is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from llama_index_ko_rerank.rerank.text_tokens import TokenReader
from llama_index_ko_rerank.rerank.token_pairs import TokenPair

_PROBES = (
    ("연차는 누구에게 신청하나?", "연차는 사흘 전에 팀장에게 신청한다."),
    ("a 1", "b 22 c"),
    (" 띄어쓰기로 시작한다", "\n줄바꿈과  두 칸, Latin 2,000 m² "),
    ("한 번", "한 번"),
)


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The special tokens around a question and a passage.

    Attributes:
        before: The ids before the question.
        between: The ids between question and passage.
        after: The ids after the passage.
        segments: The segment of each of the five parts, special or not, in order.
    """

    before: NDArray[np.int32]
    between: NDArray[np.int32]
    after: NDArray[np.int32]
    segments: tuple[int, int, int, int, int]

    @property
    def special_tokens(self) -> int:
        """How many tokens a pair has beside those of its two texts."""
        return len(self.before) + len(self.between) + len(self.after)

    def pair(self, question: NDArray[np.int32], passage: NDArray[np.int32]) -> TokenPair:
        """Join the tokens of a question and of a passage."""
        parts = (self.before, question, self.between, passage, self.after)
        segments = np.repeat(np.array(self.segments, np.int32), [len(part) for part in parts])
        return TokenPair(np.concatenate(parts), segments)


def derive_template(tokenizer: PreTrainedTokenizerBase) -> PairTemplate | None:
    """Find out how a tokenizer joins pairs, from a few that it joined.

    Returns:
        The template, by which every one of those pairs comes out as the tokenizer made it; None where there is none,
        such as where the passage stands before the question.
    """
    reader = TokenReader(tokenizer, offsets_beyond=0)
    joined = [join_pair(tokenizer, question, passage) for question, passage in _PROBES]
    texts = [(reader.read([question])[0].ids, reader.read([passage])[0].ids) for question, passage in _PROBES]
    template = _between(joined[0], *texts[0])
    if template is None:
        return None
    made = [template.pair(question, passage) for question, passage in texts]
    return template if all(_equal(one, other) for one, other in zip(joined, made, strict=True)) else None


def join_pair(
    tokenizer: PreTrainedTokenizerBase, question: str, passage: str, *, longest: int | None = None
) -> TokenPair:
    """Have a tokenizer join one pair, the longer of the two texts cut where the pair has more tokens than `longest`.

    A tokenizer that names no segments has all tokens in segment 0, as the models take it.
    """
    # A list of one, since an empty passage by itself would be taken for none.
    rows = tokenizer(
        [question], [passage], truncation=longest is not None, max_length=longest, padding=False, verbose=False
    )
    ids = np.array(rows["input_ids"][0], np.int32)
    segments = rows["token_type_ids"][0] if "token_type_ids" in rows else np.zeros(len(ids))
    return TokenPair(ids, np.array(segments, np.int32))


def _between(pair: TokenPair, question: NDArray[np.int32], passage: NDArray[np.int32]) -> PairTemplate | None:
    starts = _places(pair.token_ids, question)
    ends = [start + len(passage) for start in _places(pair.token_ids, passage)]
    if not starts or not ends or starts[0] + len(question) > ends[-1] - len(passage):
        return None
    cuts = [0, starts[0], starts[0] + len(question), ends[-1] - len(passage), ends[-1], len(pair.token_ids)]
    parts = [pair.token_ids[cut:following] for cut, following in pairwise(cuts)]
    firsts = [pair.segment_ids[cut] if len(part) else 0 for cut, part in zip(cuts, parts, strict=False)]
    first, second, third, fourth, fifth = (int(segment) for segment in firsts)
    return PairTemplate(parts[0], parts[2], parts[4], (first, second, third, fourth, fifth))


def _places(whole: NDArray[np.int32], part: NDArray[np.int32]) -> Sequence[int]:
    return [place for place in range(len(whole) - len(part) + 1) if np.array_equal(whole[place:][: len(part)], part)]


def _equal(one: TokenPair, other: TokenPair) -> bool:
    return np.array_equal(one.token_ids, other.token_ids) and np.array_equal(one.segment_ids, other.segment_ids)
