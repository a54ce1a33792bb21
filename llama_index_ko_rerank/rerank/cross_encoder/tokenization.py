"""A question and its passages as pairs of tokens, none longer than the model reads."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.forward.batches import TokenPair
from llama_index_ko_rerank.rerank.lru_cache import LRUCache, text_hash
from llama_index_ko_rerank.rerank.nodes import Span
from llama_index_ko_rerank.text.sentences import split_sentences

KEPT_TOKENS = 2_000_000
"""How many tokens of texts are remembered: 10,000 passages of 200 tokens in 8 MB, or 24 MB where all are long."""


class WarnOnce:
    """Logger of each kind of message as a warning the first time, and at INFO after that.

    Args:
        logger: Destination of the messages.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._logged: set[str] = set()

    def log(self, message: str, *values: object) -> None:
        """Log a message; its kind is the text before the values are filled in."""
        self._logger.log(logging.INFO if message in self._logged else logging.WARNING, message, *values)
        self._logged.add(message)


@dataclass(frozen=True, slots=True)
class TextTokens:
    """A text's tokens without special ones.

    Attributes:
        ids: Shape (tokens,).
        starts: The offset of the first character of each token, None where the text is short or the tokenizer cannot
            tell.
        ends: The offset after its last character.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int32] | None = None
    ends: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class CachingTokenizer:
    """Turns texts into token ids and remembers them by the hash of the text; safe from several threads.

    Args:
        tokenizer: The model's tokenizer; it is not changed.
        offsets_beyond: Only texts of more tokens than this have their offsets kept.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, offsets_beyond: int) -> None:
        self._encode = _fast_encode(tokenizer) if tokenizer.is_fast else _slow_encode(tokenizer)
        self._offsets_beyond = offsets_beyond
        self._known: LRUCache[bytes, TextTokens] = LRUCache(KEPT_TOKENS, weight=len)

    def read(self, texts: Sequence[str]) -> list[TextTokens]:
        """Return the tokens of each text; those that were not read before are read in one go."""
        keys = [text_hash(text) for text in texts]
        known = self._known.get_all(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        for key, tokens in zip(new, self._encode(list(new.values())), strict=True):
            kept = tokens if len(tokens) > self._offsets_beyond else TextTokens(tokens.ids)
            known[key] = kept
            self._known.put(key, kept)
        return [known[key] for key in keys]

    def clear_cache(self) -> None:
        """Forget the tokens of all texts."""
        self._known.clear()


Encode = Callable[[list[str]], list[TextTokens]]


def _fast_encode(tokenizer: PreTrainedTokenizerBase) -> Encode:
    """Encode by a copy of the fast tokenizer that cuts and pads nothing, and which no other call can set otherwise."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = tokenizer.backend_tokenizer.encode_special_tokens

    def encode(texts: list[str]) -> list[TextTokens]:
        found = []
        for encoding in copy.encode_batch(texts, add_special_tokens=False):
            starts, ends = np.array(encoding.offsets, np.int32).reshape(-1, 2).T
            found.append(TextTokens(np.array(encoding.ids, np.int32), starts, ends))
        return found

    return encode


def _slow_encode(tokenizer: PreTrainedTokenizerBase) -> Encode:
    lock = threading.Lock()

    def encode(texts: list[str]) -> list[TextTokens]:
        with lock:
            rows = [tokenizer(text, add_special_tokens=False, truncation=False, verbose=False) for text in texts]
        return [TextTokens(np.array(row["input_ids"], np.int32)) for row in rows]

    return encode


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


def infer_pair_template(tokenizer: PreTrainedTokenizerBase) -> PairTemplate | None:
    """Find out how a tokenizer joins pairs, from a few that it joined.

    Returns:
        The template, by which every one of those pairs comes out as the tokenizer made it; None where there is none,
        such as where the passage stands before the question.
    """
    reader = CachingTokenizer(tokenizer, offsets_beyond=0)
    joined = [join_pair(tokenizer, question, passage) for question, passage in _PROBES]
    texts = [(reader.read([question])[0].ids, reader.read([passage])[0].ids) for question, passage in _PROBES]
    template = _split_template(joined[0], *texts[0])
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


def _split_template(pair: TokenPair, question: NDArray[np.int32], passage: NDArray[np.int32]) -> PairTemplate | None:
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


OVERLAP = 8
"""One part in this many of a window is shared with the next one."""


def split_windows(length: int, room: int, *, breaks: Sequence[int] = ()) -> list[Span]:
    """Cut a passage into windows of tokens, each of which shares some with the next.

    A window ends at the last break in the second half of its room, or else where the room ends. The next one starts at
    the first break within the last eighth of that room, or else takes an eighth of it. The last window reaches back to
    half the room, so that no window is shorter than that and none is judged by a mere remainder.

    Args:
        length: The passage's number of tokens.
        room: Most tokens of a window, 4 or more.
        breaks: At which tokens sentences start, ascending.

    Returns:
        Where each window starts and ends, in order; one window where the passage fits. Every token is in at least one
        window, and no window holds another.

    >>> split_windows(20, 16)
    [(0, 16), (12, 20)]
    >>> split_windows(20, 16, breaks=[0, 9, 13])
    [(0, 13), (11, 20)]
    """
    shared, half = max(1, room // OVERLAP), (room + 1) // 2
    windows: list[Span] = []
    start, covered = 0, 0
    while length - start > room:
        end = _last_break(breaks, max(covered + 1, start + half), start + room) or start + room
        windows.append((start, end))
        following = _first_break(breaks, end - shared, end)
        covered, start = end, end - shared if following is None else following
    if windows and length - start < half:
        earliest = max(length - room, windows[-1][0] + 1)
        start = _last_break(breaks, earliest, length - half) or length - half
    return [*windows, (start, length)]


def sentence_breaks(text: str, token_ends: NDArray[np.int32]) -> list[int]:
    """Find the tokens at which the sentences of a text start.

    Args:
        text: The text.
        token_ends: The offset after the last character of each token, ascending.

    Returns:
        Places of tokens, ascending, each once.
    """
    starts = [sentence.start for sentence in split_sentences(text)]
    # A token that lies across the end of one sentence and the start of the next belongs to the next.
    return sorted(set(np.searchsorted(token_ends, starts, side="right").tolist()))


def _last_break(breaks: Sequence[int], first: int, last: int) -> int | None:
    place = bisect_right(breaks, last) - 1
    return breaks[place] if place >= 0 and breaks[place] >= first else None


def _first_break(breaks: Sequence[int], first: int, stop: int) -> int | None:
    place = bisect_left(breaks, first)
    return breaks[place] if place < len(breaks) and breaks[place] < stop else None


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


class PairEncoder(Protocol):
    """Makes the pairs of a question and its passages; safe from several threads."""

    def pairs(self, question: str, passages: Sequence[str]) -> list[PassagePairs]:
        """Return the pairs of each passage, in the order given."""
        ...

    def clear_cache(self) -> None:
        """Forget what was remembered of earlier texts."""
        ...


def pair_encoder(
    tokenizer: PreTrainedTokenizerBase, *, max_length: int, overflow: LongPassage, warnings: WarnOnce
) -> PairEncoder:
    """Return what makes pairs for a tokenizer.

    Args:
        tokenizer: The model's tokenizer.
        max_length: Most tokens of a pair, special ones included.
        overflow: Whether a passage beyond that is read in windows or cut.
        warnings: Log of what was cut.

    Raises:
        InvalidSetting: `max_length` leaves a passage no room beside the special tokens.
    """
    template = infer_pair_template(tokenizer)
    if template is None:
        return TokenizerPairEncoder(tokenizer, max_length=max_length, warnings=warnings)
    room = max_length - max_length // 2 - template.special_tokens
    if room < _SMALLEST_ROOM:
        raise InvalidSetting(f"max_length={max_length} leaves {room} tokens for a passage; give a larger one")
    reader = CachingTokenizer(tokenizer, offsets_beyond=room)
    return TemplatePairEncoder(reader, template, max_length=max_length, overflow=overflow, warnings=warnings)


class TemplatePairEncoder:
    """Joins the tokens of question and passage by the tokenizer's template; each text is tokenised once.

    The question has at most half of `max_length`, and a passage what the question and the special tokens leave.
    """

    def __init__(
        self,
        reader: CachingTokenizer,
        template: PairTemplate,
        *,
        max_length: int,
        overflow: LongPassage,
        warnings: WarnOnce,
    ) -> None:
        self._reader = reader
        self._template = template
        self._max_length = max_length
        self._long_passage = overflow
        self._warnings = warnings
        self._breaks: LRUCache[bytes, list[int]] = LRUCache(_KEPT_BREAKS, weight=len)

    def pairs(self, question: str, passages: Sequence[str]) -> list[PassagePairs]:
        """Return the pairs of each passage, in the order given."""
        asked, *read = self._reader.read([question, *passages])
        most = self._max_length // 2
        if len(asked) > most:
            self._warnings.log("a question of %d tokens was cut to %d for reranking", len(asked), most)
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

    def clear_cache(self) -> None:
        """Forget the tokens and the sentences of all texts."""
        self._reader.clear_cache()
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
            self._warnings.log(message, cut, len(lengths), self._max_length, longest)


class TokenizerPairEncoder:
    """Leaves the joining of pairs to the tokenizer, which cuts the longer text of a pair that is too long.

    It stands in where a tokenizer joins pairs in a way that no template tells. Nothing is remembered, and no passage is
    read in windows.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_length: int, warnings: WarnOnce) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._warnings = warnings
        self._lock = threading.Lock()

    def pairs(self, question: str, passages: Sequence[str]) -> list[PassagePairs]:
        """Return the pairs of each passage, in the order given, one each."""
        with self._lock:
            whole = [join_pair(self._tokenizer, question, passage) for passage in passages]
            kept = [self._cut(pair, question, passage) for pair, passage in zip(whole, passages, strict=True)]
        cut = sum(len(pair) > self._max_length for pair in whole)
        if cut:
            message = "%d of %d pairs were cut to %d tokens for reranking; the longest has %d"
            self._warnings.log(message, cut, len(whole), self._max_length, max(map(len, whole)))
        return [PassagePairs((pair,), (None,)) for pair in kept]

    def clear_cache(self) -> None:
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
