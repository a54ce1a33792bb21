"""Questions that go on from earlier ones, made complete without an LLM."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llama_index_ko_rerank.text.normalize import normalize
from llama_index_ko_rerank.text.tokenizers import QUESTION_WORDS, MorphemeTokenizer

_NAMES = frozenset(["NNG", "NNP", "SL", "SH"])
_TOPICLESS = frozenset(
    ["이유", "뜻", "의미", "방법", "이름", "설명", "예", "예시", "정리", "요약", "말", "이야기", "얘기", "자세", "며칠"]
)
"""Nouns that ask something of a topic and name none: 이유는?, 예를 들어 줘."""

_POINTING = re.compile(
    r"(?:그것|그거|그건|그게|그걸|이것|이거|이건|이게|이걸|저것|저거|그곳|이곳|거기|여기|그때|이때|그녀|그들|그분|그중|그렇)"
    r"|(?:그|이|저|그럼|그러면|그리고|그런데|근데|그래서|또)(?=[\s,?!.]|$)"
)
"""Words at the beginning of a question that point back."""

_LOOKED_BACK = 5


def complete_question(question: str, earlier: Sequence[str] = ()) -> str:
    """Add what a question is about where it leaves that to the questions before it.

    A question that begins with a word that points back (그건, 거기, 그럼), or that has no noun of its own, gets the
    nouns of the question before it put in front, those that it does not have itself. That question is completed first,
    from the one before it, up to five questions back. Any other question, and one with nothing to add, is returned as
    it is. The rule is made for search by words, where a few nouns too many do little harm; an LLM knows better, where
    there is one.

    Args:
        question: What is asked now.
        earlier: The questions before it as they were asked, the latest last.

    Raises:
        InvalidText: A question holds lone surrogates.

    >>> complete_question("그럼 어디에 있나요?", ["경복궁은 언제 지었나요?"])
    '경복궁 그럼 어디에 있나요?'
    >>> complete_question("남대문은 어디에 있나요?", ["경복궁은 언제 지었나요?"])
    '남대문은 어디에 있나요?'
    """
    complete = ""
    for asked in [*earlier[-_LOOKED_BACK:], question]:
        asked = normalize(asked)
        own = _nouns(asked)
        if complete and (not own or _POINTING.match(asked.lstrip())):
            topic = [noun for noun in _nouns(complete) if noun not in own]
            asked = " ".join([*topic, asked.strip()])
        complete = asked
    return complete


def _nouns(question: str) -> list[str]:
    stream = MorphemeTokenizer().analyse_query(question)
    nouns = [form for form, tag in zip(stream.forms, stream.tags, strict=True) if tag in _NAMES]
    return [noun for noun in dict.fromkeys(nouns) if noun not in _TOPICLESS and noun not in QUESTION_WORDS]
