"""Questions and searches made of a heading and the title above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from llama_index_ko_rerank.train.synthesis.conjugation import action_of, copula_question
from llama_index_ko_rerank.train.synthesis.draft import Draft, Piece, asking, draw_register, pieces_of
from llama_index_ko_rerank.train.synthesis.lexicon import ACTIONS
from llama_index_ko_rerank.train.synthesis.noun_types import is_vague
from llama_index_ko_rerank.train.synthesis.parsing import Sentence, Word

_SHORT_HEADING, _LONGEST_HEADING, _SHORT_TITLE, _LONGEST_TITLE = 8, 50, 15, 40
_ELSEWHERE = re.compile(
    r"(?:^|\s)(?:이|그|위|다음|아래|해당|여기서|위의|이러한|관련|추가|기타|그 밖의|그밖의|참고|참조|더)(?:\s|$)"
    r"|각 호|제\d+조"
)
_NOT_ASKED = re.compile(
    r"^(?:참고 항목|참고자료|참고|예제?|예시|다음 단계|추가 정보|자세한 정보|자세히|관련 항목|요약|결론|메모"
    r"|주의|중요|삭제|시행일|경과조치|\d+)\b"
)
_QUESTION = re.compile(r"(?:\?|까|나요|은가요|인가요|는가)\s*$")


def heading_drafts(heading: Sentence, title: str, rng: Random) -> Iterator[Draft]:
    """Ask in two ways for what a heading announces, with its title where the heading alone says little.

    Args:
        heading: The words of the heading, tidied.
        title: The title, tidied; may be empty.
        rng: Chooses.
    """
    words = _without_et_cetera(heading)
    text = " ".join(word.text for word in words)
    if not 2 <= len(text) <= _LONGEST_HEADING or _ELSEWHERE.search(text) or _NOT_ASKED.match(text):
        return
    context = title if 2 <= len(title) <= _LONGEST_TITLE and not _alike(title, text) else ""
    says_little = len(text) <= _SHORT_HEADING or not any(tag in ("NNP", "SL") for word in words for tag in word.tags)
    if says_little and len(text) <= _SHORT_HEADING and not context and not _alike(title, text):
        return
    for _ in range(2):
        with_title = context if says_little or rng.random() < 0.5 else ""
        yield replace(_asked(words, text, with_title, rng), is_titled=bool(with_title))


def _alike(title: str, heading: str) -> bool:
    return bool(title) and (title in heading or heading in title)


def _without_et_cetera(heading: Sentence) -> list[Word]:
    words = list(heading)
    while words and words[-1].text in ("등", "등의", "및"):
        words.pop()
    if words and words[-1].text.endswith("등") and len(words[-1].text) > 2 and words[-1].tags[-1:] == ("NNB",):
        last = words[-1]
        words[-1] = Word(last.text[:-1], last.noun[:-1], "", last.is_nominal, last.morphemes[:-1])
    return words


def _asked(words: list[Word], text: str, title: str, rng: Random) -> Draft:
    if _QUESTION.search(text):
        return _draft([*_context(title, rng, "에서"), *pieces_of(words)], "" if text.endswith("?") else "?")
    last = words[-1]
    if (
        last.tags[-1:] == ("ETN",)
        and last.morphemes[-1].form == "기"
        and last.tags[-2:-1] in (("VV",), ("XSV",), ("VX",))
    ):
        return _how_to_do(words, title, rng)
    if not last.is_nominal or last.particle or is_vague(last) or last.tags[-1:] == ("NNB",):
        return _draft([*_context(title, rng, ""), *pieces_of(words)], "")
    if last.noun in ACTIONS and (len(words) > 1 or title):
        return _how_to_act(words, title, rng)
    return _what(words, title, rng)


def _how_to_do(words: list[Word], title: str, rng: Random) -> Draft:
    """Ask with a heading that ends in -기: 찾기 becomes 찾으려면 or 찾는 방법."""
    last = words[-1]
    verb = last.morphemes[-2]
    front = last.text[: verb.start - last.morphemes[0].start]
    terms = tuple(last.terms)
    if_wanted = Piece(front + action_of(verb.form, verb.tag, "으려면", "EC"), "", True, terms)
    doing = Piece(front + action_of(verb.form, verb.tag, "는", "ETM"), "", True, terms)
    ends: list[tuple[list[Piece], str]] = [
        ([if_wanted, asking("어떻게 해야 하나요")], "?"),
        ([if_wanted, asking("어떻게 하나요")], "?"),
        ([doing, asking("방법은")], "?"),
        ([doing, asking("방법")], ""),
        ([doing, asking("방법 알려 주세요")], ""),
        ([doing, asking("법")], ""),
    ]
    end, mark = rng.choice(ends)
    return _draft([*_context(title, rng, "에서"), *pieces_of(words[:-1]), *end], mark)


def _how_to_act(words: list[Word], title: str, rng: Random) -> Draft:
    """Ask with a heading that ends in what is done: 결산서의 제출 becomes 결산서는 어떻게 제출하나요."""
    act = words[-1].noun
    terms = tuple(words[-1].terms)
    before = words[:-1]
    choices: list[tuple[list[Piece], str]] = [
        ([*pieces_of(words[:-1]), Piece(act, "은", terms=terms), asking("어떻게 하나요")], "?"),
        ([*pieces_of(words[:-1]), Piece(act, "", terms=terms), asking("방법")], ""),
        ([*pieces_of(words)], ""),
    ]
    if (
        before
        and before[-1].is_nominal
        and before[-1].particle in ("", "의")
        and not before[-1].noun.endswith(("ㆍ", "·"))
    ):
        front, thing = pieces_of(before[:-1]), before[-1]
        object_, topic = (Piece(thing.noun, p, terms=tuple(thing.terms)) for p in ("을", "은"))
        choices += [
            ([*front, object_, Piece(f"{act}하려면", "", True, terms), asking("어떻게 해야 하나요")], "?"),
            ([*front, topic, asking("어떻게"), Piece(f"{act}하나요", "", True, terms)], "?"),
            ([*front, object_, Piece(f"{act}하는", "", True, terms), asking("방법은")], "?"),
        ]
    pieces, mark = rng.choice(choices)
    return _draft([*_context(title, rng, "에서"), *pieces], mark)


def _what(words: list[Word], title: str, rng: Random) -> Draft:
    last, front = words[-1], pieces_of(words[:-1])
    terms = tuple(last.terms)

    def noun(particle: str) -> Piece:
        return Piece(last.noun, particle, terms=terms)

    choices: list[tuple[list[Piece], str]] = [
        ([*front, noun("은"), asking(copula_question("무엇", draw_register(rng)))], "?"),
        ([*front, noun("은")], "?"),
        ([*front, noun("")], ""),
        ([*front, noun(""), asking("알려 주세요")], ""),
        ([*front, noun("에"), asking("대해 알려 줘")], ""),
        ([*front, noun("에"), asking("대해 설명해 주세요")], ""),
        ([*front, noun("은"), asking("어떻게 되나요")], "?"),
    ]
    pieces, mark = rng.choice(choices)
    return _draft([*_context(title, rng, "의" if len(title) <= _SHORT_TITLE else "에서"), *pieces], mark)


def _context(title: str, rng: Random, particle: str) -> list[Piece]:
    """Put the title in front, with its particle or, as in a search box, without."""
    return [Piece(title, particle if rng.random() < 0.7 else "")] if title else []


def _draft(pieces: list[Piece], mark: str) -> Draft:
    return Draft("heading", tuple(pieces), mark)
