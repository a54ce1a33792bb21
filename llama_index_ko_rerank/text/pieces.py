"""Long texts in pieces of bounded length, since Kiwi's time grows with the square of a text of many sentences."""

from __future__ import annotations

import re

LONGEST_PIECE = 8_000
"""Characters of a piece. Kiwi reads about 100,000 characters a second in pieces of up to 10,000, a third of that in
one of 170,000."""

# Where a piece may end, from the best place to the worst: after a line, after a sentence, between two words.
_ENDS = (re.compile(r"\n"), re.compile(r"[.!?…。]['\"”’)\]]*\s"), re.compile(r"\s"))


def bounded_pieces(text: str, most: int = LONGEST_PIECE) -> list[str]:
    r"""Cut a text into pieces of at most `most` characters, which joined are the text.

    A piece ends with the last line feed of its second half, else with its last end of a sentence, else with its last
    white space; where there is none of these it is cut anywhere. A text that is short enough is its only piece.

    >>> bounded_pieces("비가 온다. 눈도 온다.\n춥다. 얼음도 언다.", most=16)
    ['비가 온다. 눈도 온다.\n', '춥다. 얼음도 언다.']
    """
    pieces, start = [], 0
    while len(text) - start > most:
        end = _end_of_piece(text, start, most)
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def _end_of_piece(text: str, start: int, most: int) -> int:
    for place in _ENDS:
        ends = [found.end() for found in place.finditer(text, start + most // 2, start + most)]
        if ends:
            return ends[-1]
    return start + most
