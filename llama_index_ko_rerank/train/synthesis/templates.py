"""Questions from templates: headings with their titles, and definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from llama_index_ko_rerank.train.synthesis.clauses import is_damaged, is_verbal, points_elsewhere
from llama_index_ko_rerank.train.synthesis.draft import Draft, Piece, asking, draw_register, pieces_of
from llama_index_ko_rerank.train.synthesis.inflection import action_of, copula_question, is_declarative, join_strength
from llama_index_ko_rerank.train.synthesis.nouns import ACTIONS, has_class, is_vague, kind_of
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


_NAMED = re.compile(r"""["'“‘「]?(?P<term>.*?[^"'”’」])["'”’」]?(?:이란|란)$""")
_QUOTES = re.compile(r"""["'“”‘’「」『』《》〈〉]""")
_MEANS = frozenset(["말하", "뜻하", "의미하", "일컫", "가리키"])
_NO_TERM = re.compile(
    r"^(?:목적|이유|원인|결과|방법|다음|문제|특징|예|경우|것|장점|단점|차이|기본값|값|이|그|저|이것|위|여기|나|우리|가장|또|다른|주요|첫|두)"
)
_SET_ELSEWHERE = re.compile(r"(?:령|규칙)(?:으로|이|에서) 정하|로 정하는|정하는 바|정하는 자")
_LONGEST_TERM, _LONGEST_MEANING = 28, 48


@dataclass(frozen=True, slots=True)
class _Definition:
    """A term and what is said of it without the verb that says so.

    Attributes:
        term: The term, without quotation marks.
        term_words: Its words.
        meaning: The noun phrase that it is said to be.
        is_person: The meaning names persons.
        is_named: A verb of meaning says so (말한다), and not only 이다.
    """

    term: str
    term_words: Sequence[Word]
    meaning: Sequence[Word]
    is_person: bool
    is_named: bool


def definition_drafts(sentence: Sentence, title: str, rng: Random) -> Iterator[Draft]:
    """Ask what a term is, and what has this meaning, where a sentence defines a term."""
    definition = _definition(sentence)
    if definition is None:
        return
    yield _what_is(definition, title, rng)
    if not _SET_ELSEWHERE.search(definition.term):
        called = _what_is_called(definition, rng)
        if called:
            yield called


def _definition(sentence: Sentence) -> _Definition | None:
    if len(sentence) < 4 or not is_declarative(sentence[-1]):
        return None
    place = _term_end(sentence)
    if place is None:
        return None
    words = sentence[: place + 1]
    term = _term_text(words)
    meaning = _meaning(sentence[place + 1 :])
    is_named = "VCP" not in sentence[-1].tags
    if meaning is None or points_elsewhere(words) or not (is_named or _stands_alone(meaning)):
        return None
    if not 2 <= len(term) <= _LONGEST_TERM or _NO_TERM.match(term) or not any(word.terms for word in words):
        return None
    if not is_named and not (has_class(meaning) or kind_of(meaning[-1:]) in ("person", "organisation", "place")):
        return None
    is_person = meaning[-1].noun in ("사람", "자") or kind_of(meaning[-1:]) == "person"
    return _Definition(term, words, meaning, is_person, is_named)


def _stands_alone(meaning: Sequence[Word]) -> bool:
    """Say whether a meaning is one phrase that points at nothing outside it."""
    is_cut = is_verbal(meaning[0]) or is_vague(meaning[0]) or join_strength(meaning[0]) != "none"
    return not (is_cut or points_elsewhere(meaning) or any(join_strength(word) == "firm" for word in meaning))


def _term_end(sentence: Sentence) -> int | None:
    for place, word in enumerate(sentence[:8]):
        if (
            word.text.endswith(("이란", "란"))
            and place < len(sentence) - 2
            and word.tags[-1] in ("ETM", "JX", "EF", "EC")
        ):
            return place
        if word.is_nominal and word.particle in ("은", "는"):
            is_plain = all(w.is_nominal and w.particle in ("", "의") and not w.comma for w in sentence[:place])
            return place if is_plain and place < 4 and word.noun not in ("것", "수") else None
    return None


def _term_text(words: Sequence[Word]) -> str:
    text = " ".join(word.text for word in words)
    named = _NAMED.match(text)
    if not named:
        text = text[: len(text) - len(words[-1].particle)]
    return _QUOTES.sub("", named["term"] if named else text).strip()


def _meaning(words: Sequence[Word]) -> list[Word] | None:
    """Take the noun phrase that a sentence says a term is."""
    last = words[-1]
    stems = [
        "".join(m.form for m in last.morphemes[: i + 1]) for i, tag in enumerate(last.tags) if tag in ("VV", "XSV")
    ]
    if any(stem in _MEANS for stem in stems) and len(words) > 2 and words[-2].particle in ("을", "를"):
        return list(words[:-1])
    if "VCP" in last.tags and last.noun and kind_of([_bare(last)]) not in (None, "time", "quantity"):
        return [*words[:-1], _bare(last)]
    return None


def _bare(word: Word) -> Word:
    size = next(i for i, tag in enumerate(word.tags) if tag == "VCP")
    return Word(word.noun, word.noun, "", True, word.morphemes[:size], noun_end=word.noun_end, tags=word.tags[:size])


def _what_is(definition: _Definition, title: str, rng: Random) -> Draft:
    register = draw_register(rng)
    word = "누구" if definition.is_person and not definition.is_named else "무엇"
    topic = Piece(definition.term, "은", terms=_terms(definition.term_words))
    what = asking(copula_question(word, register))
    choices: list[tuple[list[Piece], str]] = [
        ([topic, what], "?"),
        ([Piece(topic.text, "이", terms=topic.terms), what], "?"),
    ]
    if not definition.is_person:
        choices.append(([Piece(topic.text, "이란", terms=topic.terms), what], "?"))
    if definition.is_named:
        choices += [
            ([Piece(topic.text, "의", terms=topic.terms), asking("정의는")], "?"),
            ([Piece(topic.text, "은", terms=topic.terms), asking("무엇을 말하나요")], "?"),
            ([Piece(topic.text, "", terms=topic.terms), asking("뜻")], ""),
        ]
    pieces, mark = rng.choice(choices)
    needs_title = bool(_SET_ELSEWHERE.search(definition.term)) or rng.random() < 0.1
    if title and needs_title and title not in definition.term:
        pieces = [Piece(title, "에서"), *pieces]
    return Draft("definition", tuple(pieces), mark, _span(definition.meaning), is_titled=pieces[0].text == title)


def _what_is_called(definition: _Definition, rng: Random) -> Draft | None:
    meaning = _shortened(definition.meaning)
    if meaning is None or is_damaged(meaning) or not _stands_alone(meaning):
        return None
    register = draw_register(rng)
    pieces = pieces_of(meaning)
    last = pieces[-1]
    if definition.is_person:
        ends = [
            [Piece(last.text, "은", terms=last.terms)],
            [Piece(last.text, "은", terms=last.terms), asking(copula_question("누구", register))],
        ]
    elif not definition.is_named:
        ends = [
            [Piece(last.text, "은", terms=last.terms)],
            [Piece(last.text, "은", terms=last.terms), asking(copula_question("무엇", register))],
        ]
    else:
        ends = [
            [Piece(last.text, "을", terms=last.terms), asking("뜻하는 말은")],
            [Piece(last.text, "을", terms=last.terms), asking("무엇이라고 하나요")],
            [Piece(last.text, "은", terms=last.terms), asking(copula_question("무엇", register))],
            [Piece(last.text, "은", terms=last.terms)],
        ]
    return Draft(
        "definition", (*pieces[:-1], *rng.choice(ends)), span=_span(definition.term_words), answer=definition.term
    )


def _shortened(meaning: Sequence[Word]) -> list[Word] | None:
    """Keep the end of a meaning, from where a part of it ends, so that it is short enough to ask with."""
    words = list(meaning)
    while sum(len(word.text) + 1 for word in words) > _LONGEST_MEANING:
        cut = next(
            (place for place, word in enumerate(words[:-2], start=1) if word.comma or word.tags[-1:] == ("EC",)), None
        )
        if cut is None:
            return None
        words = words[cut:]
    return words if len(words) >= 3 else None


def _terms(words: Sequence[Word]) -> tuple[str, ...]:
    return tuple(term for word in words for term in word.terms)


def _span(words: Sequence[Word]) -> tuple[int, int]:
    return words[0].morphemes[0].start, words[-1].noun_end
