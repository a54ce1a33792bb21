"""A question and its passages as pairs of tokens, none longer than the model reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from transformers import PreTrainedTokenizerBase

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.bounded_cache import BoundedCache, text_hash
from llama_index_ko_rerank.rerank.notices import Notices
from llama_index_ko_rerank.rerank.pair_template import PairTemplate, derive_template, join_pair
from llama_index_ko_rerank.rerank.text_tokens import TextTokens, TokenReader
from llama_index_ko_rerank.rerank.token_pairs import TokenPair
from llama_index_ko_rerank.rerank.windows import Span, sentence_breaks, split_windows

LongPassage = Literal["window", "truncate"]
_SMALLEST_ROOM = 4
_KEPT_BREAKS = 200_000


@dataclass(frozen=True, slots=True)
class PassagePairs:
    """One passage with its question: one pair, or several where it is read in windows.

    Attributes:
        pairs: One a window, in order.
        spans: The characters of the passage that each pair holds; None where it holds all of them, or where the
            tokenizer cannot tell.
    """

    pairs: tuple[TokenPair, ...]
    spans: tuple[Span | None, ...]


class PairMaker(Protocol):
    """Makes the pairs of a question and its passages; safe from several threads."""

    def pairs(self, question: str, passages: Sequence[str]) -> list[PassagePairs]:
        """Return the pairs of each passage, in the order given."""
        ...

    def forget(self) -> None:
        """Forget what was remembered of earlier texts."""
        ...


def pair_maker(
    tokenizer: PreTrainedTokenizerBase, *, max_length: int, long_passage: LongPassage, notices: Notices
) -> PairMaker:
    """Return what makes pairs for a tokenizer.

    Args:
        tokenizer: The model's tokenizer.
        max_length: Most tokens of a pair, special ones included.
        long_passage: Whether a passage beyond that is read in windows or cut.
        notices: Where to say what was cut.

    Raises:
        InvalidSetting: `max_length` leaves a passage no room beside the special tokens.
    """
    template = derive_template(tokenizer)
    if template is None:
        return WholePairs(tokenizer, max_length=max_length, notices=notices)
    room = max_length - max_length // 2 - template.special_tokens
    if room < _SMALLEST_ROOM:
        raise InvalidSetting(f"max_length={max_length} leaves {room} tokens for a passage; give a larger one")
    reader = TokenReader(tokenizer, offsets_beyond=room)
    return TemplatePairs(reader, template, max_length=max_length, long_passage=long_passage, notices=notices)


class TemplatePairs:
    """Joins the tokens of question and passage by the tokenizer's template; each text is tokenised once.

    The question has at most half of `max_length`, and a passage what the question and the special tokens leave.
    """

    def __init__(
        self,
        reader: TokenReader,
        template: PairTemplate,
        *,
        max_length: int,
        long_passage: LongPassage,
        notices: Notices,
    ) -> None:
        self._reader = reader
        self._template = template
        self._max_length = max_length
        self._long_passage = long_passage
        self._notices = notices
        self._breaks: BoundedCache[bytes, list[int]] = BoundedCache(_KEPT_BREAKS, weight=len)

    def pairs(self, question: str, passages: Sequence[str]) -> list[PassagePairs]:
        """Return the pairs of each passage, in the order given."""
        asked, *read = self._reader.read([question, *passages])
        most = self._max_length // 2
        if len(asked) > most:
            self._notices.tell("a question of %d tokens was cut to %d for reranking", len(asked), most)
        ids = asked.ids[:most]
        room = self._max_length - self._template.special_tokens - len(ids)
        if self._long_passage == "truncate":
            self._report_cuts([len(tokens) for tokens in read], room)
        made = []
        for text, tokens in zip(passages, read, strict=True):
            windows = self._windows(text, tokens, room)
            pairs = tuple(self._template.pair(ids, tokens.ids[start:end]) for start, end in windows)
            made.append(PassagePairs(pairs, tuple(_characters(tokens, window) for window in windows)))
        return made

    def forget(self) -> None:
        """Forget the tokens and the sentences of all texts."""
        self._reader.forget()
        self._breaks.clear()

    def _windows(self, text: str, tokens: TextTokens, room: int) -> list[Span]:
        if len(tokens) <= room or self._long_passage == "truncate":
            return [(0, min(len(tokens), room))]
        if tokens.ends is None:
            return split_windows(len(tokens), room)
        key = text_hash(text)
        breaks = self._breaks.get(key)
        if breaks is None:
            breaks = sentence_breaks(text, tokens.ends)
            self._breaks.put(key, breaks)
        return split_windows(len(tokens), room, breaks=breaks)

    def _report_cuts(self, lengths: Sequence[int], room: int) -> None:
        cut = sum(length > room for length in lengths)
        if cut:
            longest = max(lengths) + self._max_length - room
            message = "%d of %d passages were cut to %d tokens for reranking; the longest has %d"
            self._notices.tell(message, cut, len(lengths), self._max_length, longest)


class WholePairs:
    """Leaves the joining of pairs to the tokenizer, which cuts the longer text of a pair that is too long.

    It stands in where a tokenizer joins pairs in a way that no template tells. Nothing is remembered, and no passage is
    read in windows.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_length: int, notices: Notices) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._notices = notices
        self._lock = threading.Lock()

    def pairs(self, question: str, passages: Sequence[str]) -> list[PassagePairs]:
        """Return the pairs of each passage, in the order given, one each."""
        with self._lock:
            whole = [join_pair(self._tokenizer, question, passage) for passage in passages]
            kept = [self._cut(pair, question, passage) for pair, passage in zip(whole, passages, strict=True)]
        cut = sum(len(pair) > self._max_length for pair in whole)
        if cut:
            message = "%d of %d pairs were cut to %d tokens for reranking; the longest has %d"
            self._notices.tell(message, cut, len(whole), self._max_length, max(map(len, whole)))
        return [PassagePairs((pair,), (None,)) for pair in kept]

    def forget(self) -> None:
        """Do nothing: nothing is remembered here."""

    def _cut(self, pair: TokenPair, question: str, passage: str) -> TokenPair:
        if len(pair) <= self._max_length:
            return pair
        return join_pair(self._tokenizer, question, passage, longest=self._max_length)


def _characters(tokens: TextTokens, window: Span) -> Span | None:
    start, end = window
    if end - start == len(tokens) or tokens.starts is None or tokens.ends is None:
        return None
    return int(tokens.starts[start]), int(tokens.ends[end - 1])
