"""Long passages as overlapping windows that end where sentences end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.text.sentences import split_sentences

Span = tuple[int, int]
"""Where something starts and where it ends, the end not included."""

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
