"""Kiwi, loaded once for a process, and long texts cut for it."""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from importlib.metadata import version

from kiwipiepy import Kiwi

from llama_index_ko_rerank.errors import InvalidSetting

UserWord = tuple[str, str]
"""A word of the user's own and its Kiwi tag, such as ``("한들소프트", "NNP")``."""


_loading = threading.Lock()


def get_kiwi(user_words: tuple[UserWord, ...] = ()) -> Kiwi:
    """Return the Kiwi that knows some user words; it is made once and may be used from any thread.

    Raises:
        InvalidSetting: Kiwi refuses one of the words or its tag.
    """
    with _loading:
        return _loaded(user_words)


@lru_cache(maxsize=8)
def _loaded(user_words: tuple[UserWord, ...]) -> Kiwi:
    kiwi = Kiwi()
    for word, tag in user_words:
        try:
            kiwi.add_user_word(word, tag)
        except ValueError as error:
            raise InvalidSetting(f"Kiwi takes no user word {word!r} with tag {tag!r}: {error}") from error
    return kiwi


def kiwi_version() -> str:
    """Return the versions of Kiwi and of its language model, on which the morphemes of a text depend."""
    return f"{version('kiwipiepy')}+model.{version('kiwipiepy_model')}"


LONGEST_PIECE = 8_000
"""Characters of a piece. Kiwi reads about 100,000 characters a second in pieces of up to 10,000, a third of that in
one of 170,000."""

# Where a piece may end, from the best to the worst: after a line, after a sentence, between two words.
_ENDS = (re.compile(r"\n"), re.compile(r"[.!?…。]['\"”’)\]]*\s"), re.compile(r"\s"))


def split_long_text(text: str, most: int = LONGEST_PIECE) -> list[str]:
    r"""Cut a text into pieces of at most `most` characters, which joined are the text.

    A piece ends with the last line feed of its second half, else with its last end of a sentence, else with its last
    white space; where there is none of these it is cut anywhere. A text that is short enough is its only piece.

    >>> split_long_text("비가 온다. 눈도 온다.\n춥다. 얼음도 언다.", most=16)
    ['비가 온다. 눈도 온다.\n', '춥다. 얼음도 언다.']
    """
    pieces, start = [], 0
    while len(text) - start > most:
        end = _end_of_piece(text, start, most)
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def _end_of_piece(text: str, start: int, most: int) -> int:
    for pattern in _ENDS:
        ends = [found.end() for found in pattern.finditer(text, start + most // 2, start + most)]
        if ends:
            return ends[-1]
    return start + most
