"""The one Kiwi analyser of a process."""

from __future__ import annotations

import threading
from functools import lru_cache
from importlib.metadata import version

from kiwipiepy import Kiwi

from llama_index_ko_rerank.errors import InvalidSetting

UserWord = tuple[str, str]
"""A word of the user's own and its Kiwi tag, such as ``("한들소프트", "NNP")``."""


_loading = threading.Lock()


def analyser(user_words: tuple[UserWord, ...] = ()) -> Kiwi:
    """Return the analyser for these words of the user's own; it is made once and may be used from any thread.

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
        except ValueError as problem:
            raise InvalidSetting(f"Kiwi takes no user word {word!r} with tag {tag!r}: {problem}") from problem
    return kiwi


def kiwi_version() -> str:
    """Return the versions of Kiwi and of its language model, on which the morphemes of a text depend."""
    return f"{version('kiwipiepy')}+model.{version('kiwipiepy_model')}"
