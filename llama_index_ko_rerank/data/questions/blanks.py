"""The phrases of a clause that a question word can stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llama_index_ko_rerank.data.questions.clauses import Clause, is_verbal
from llama_index_ko_rerank.data.questions.noun_kinds import (
    NounKind,
    is_date_word,
    is_korean_name,
    is_name,
    kind_of,
    phrase_text,
)
from llama_index_ko_rerank.data.questions.passage_reading import Word
from llama_index_ko_rerank.data.questions.predicates import NO_PREDICATE, join_strength
from llama_index_ko_rerank.data.questions.word_lists import DONE_TO_PEOPLE, HUMAN_ACTS, MADE_OF, PARTS_OF_TIME

_ROLES = {
    **dict.fromkeys(("이", "가", "께서"), "subject"),
    **dict.fromkeys(("은", "는"), "topic"),
    **dict.fromkeys(("을", "를"), "object"),
    **dict.fromkeys(("에", "에는"), "at"),
    **dict.fromkeys(("에서", "에서는"), "in"),
    **dict.fromkeys(("으로", "로"), "by"),
    **dict.fromkeys(("와", "과"), "with"),
    **dict.fromkeys(("에게", "께"), "to"),
    "부터": "from",
    "까지": "until",
    "": "bare",
}
ABOUT = frozenset(["약", "총"])
_COULD = frozenset(["수", "줄"])
_HELD = frozenset(["맡", "역임", "지내", "되", "대하"])
_ONLY_TO_PEOPLE = frozenset(["만나", "설득", "체포", "구속", "살해", "암살", "처형", "결혼", "위촉", "임명"])
_EVENTS = ("월드컵", "올림픽", "대회", "총선", "대선", "선거", "시즌", "리그", "회의", "학년")
_CALLED = ("라고", "이라고", "라는", "이라는")
_LONGEST_ANSWER = 30


@dataclass(frozen=True, slots=True)
class Blank:
    """A phrase of a clause that may be asked for.

    Attributes:
        first: The place of its first word in the clause.
        last: The place of its last word, which bears the particle.
        role: What the particle makes of it: subject, object, at, in, by, with, to, from, until or bare.
        kind: What it names.
    """

    first: int
    last: int
    role: str
    kind: NounKind


def blanks_of(clause: Clause) -> Iterator[Blank]:
    """Find every phrase of a clause that a question word can stand for."""
    words = clause.words
    has_subject = any(word.is_nominal and word.particle in ("이", "가") for word in words)
    for last, word in enumerate(words[:-1]):
        role = _ROLES.get(word.particle) if word.is_nominal and word.morphemes else None
        if role is None or (role == "with" and "JKB" not in word.tags):
            continue
        first = _start(words, last)
        kind = _kind(words, first, last, role)
        role = "subject" if role == "topic" and not has_subject else role
        if kind and role != "topic" and (role not in ("bare", "from", "until") or kind in ("time", "quantity")):
            yield Blank(first, last, role, kind)


def _kind(words: Sequence[Word], first: int, last: int, role: str) -> NounKind | None:
    """Say what a phrase names, and None where its place in the clause lets no question word stand for it."""
    phrase = words[first : last + 1]
    kind = kind_of(phrase)
    if kind is None or len(phrase_text(phrase)) > _LONGEST_ANSWER or any(not part.morphemes for part in phrase):
        return None
    is_bound = _is_modified(words, first) or _in_quotation(words, first) or _goes_on(words, last)
    if is_bound or _is_before_noun(words, last):
        return None
    others = (*words[:first], *words[last + 1 :])
    if kind == "time" and (any(is_date_word(word.noun) for word in others) or _names_event(words[last + 1 : last + 4])):
        return None
    if kind == "quantity" and is_date_word(phrase[-1].noun) and phrase[-1].particle.startswith(("에", "부터", "까지")):
        return None
    verb = words[_next_verb(words, last)]
    if kind == "person" and any(m.form in _HELD for m in (*words[last + 1].morphemes, *verb.morphemes)):
        return None
    kind = _named_kind(verb, phrase, role) if kind == "thing" else kind
    return kind if kind and _fits(verb, phrase, role, kind) else None


def _names_event(words: Sequence[Word]) -> bool:
    """Say whether an event follows, to whose name a date may belong: 2010년 월드컵."""
    return any(word.noun.endswith(_EVENTS) for word in words)


def _start(words: Sequence[Word], last: int) -> int:
    """Find where the phrase that ends here begins: bare nouns and words with 의 belong to it."""
    first = last
    is_time = is_date_word(words[last].noun)
    while first:
        before = words[first - 1]
        is_part = before.is_nominal and before.particle in ("", "의") and not before.comma
        if not is_part or before.noun in ABOUT or is_date_word(before.noun) != is_time:
            break
        if kind_of(words[first : last + 1]) == "quantity" and not set(before.tags) & {"SN", "NR"}:
            break
        first -= 1
    return first


def _is_modified(words: Sequence[Word], first: int) -> bool:
    """Say whether something stands before a phrase that belongs to it or makes it part of a list."""
    if not first:
        return False
    before = words[first - 1]
    if before.noun in ABOUT or before.text in ABOUT:
        return False
    ends = before.tags[-1] if before.tags else ""
    if before.is_nominal and not before.particle and "SN" in before.tags and "SN" not in words[first].tags:
        return True
    return (
        before.comma
        or ends in ("ETM", "ETN", "MM", "JC", "JKG", "XSN")
        or before.text in ("및", "또는", "혹은")
        or ends == "MAJ"
    )


def _in_quotation(words: Sequence[Word], first: int) -> bool:
    """Say whether a quotation is open in front of a phrase."""
    before = " ".join(word.text for word in words[:first])
    return (
        before.count("“") > before.count("”")
        or before.count("‘") > before.count("’")
        or bool(before.count('"') % 2 or before.count("'") % 2)
    )


def _goes_on(words: Sequence[Word], last: int) -> bool:
    """Say whether what follows a phrase binds it: a list, or a word that reports what was said."""
    after = words[last + 1]
    if is_date_word(words[last].noun) and (is_date_word(after.noun) or after.noun in PARTS_OF_TIME):
        return True
    if any(m.form in NO_PREDICATE for m in after.morphemes[:1]) or (
        not words[last].particle
        and after.is_nominal
        and "SN" in words[last].tags
        and not is_date_word(words[last].noun)
    ):
        return True
    is_bare_list = words[last].comma and words[last].particle in ("", "와", "과")
    return (
        is_bare_list
        or after.text in ("및", "또는", "등", "등을", "등의", "하여금", "관계없이", "관련하여")
        or after.text.startswith(_CALLED)
    )


def _is_before_noun(words: Sequence[Word], last: int) -> bool:
    """Say whether a phrase belongs to a clause in which it cannot well be asked for: before a noun, or with -면."""
    if reaches_end(words, last):
        return False
    verb = words[_next_verb(words, last)]
    if words[last].particle in ("이", "가", "은", "는") and join_strength(verb) != "loose":
        return True
    return (verb.tags[-1] != "EC" and "ETN" not in verb.tags) or join_strength(verb) == "firm"


def _next_verb(words: Sequence[Word], last: int) -> int:
    """Find the predicate that a phrase belongs to; 할 수 있다 and its like are one."""
    place = next((i for i in range(last + 1, len(words)) if is_verbal(words[i])), len(words) - 1)
    while words[place].tags[-1] == "ETM" and words[place + 1].tags[0] == "NNB" and words[place + 1].noun in _COULD:
        place = next((i for i in range(place + 1, len(words)) if is_verbal(words[i])), len(words) - 1)
    return place


def reaches_end(words: Sequence[Word], last: int) -> bool:
    """Say whether a phrase belongs to the predicate at the end, an auxiliary after it counted in."""
    place = _next_verb(words, last)
    return all("VX" in word.tags for word in words[place + 1 :])


def _named_kind(verb: Word, phrase: Sequence[Word], role: str) -> NounKind | None:
    """Tell persons among names by what they do and what is done to them; None for a name that could be either."""
    stems = {m.form for m in verb.morphemes}
    if role in ("object", "with") and not is_name(phrase) and stems & _ONLY_TO_PEOPLE:
        return None
    if role in ("subject", "topic"):
        if stems & HUMAN_ACTS:
            return "person" if is_name(phrase) else None
        return None if is_name(phrase) else "thing"
    if not is_name(phrase):
        return "thing"
    is_done_to = role in ("to", "with") or bool(stems & DONE_TO_PEOPLE)
    return "person" if is_done_to and (is_korean_name(phrase[-1].noun) or role == "to") else None


def _fits(verb: Word, phrase: Sequence[Word], role: str, kind: NounKind) -> bool:
    """Say whether 무엇 can stand for a phrase: a single plain noun says too little, and 무엇으로 fits few verbs."""
    if kind != "thing":
        return True
    nouns = [m for word in phrase for m in word.morphemes if m.tag.startswith(("N", "SL", "XR", "SN"))]
    if len(nouns) == 1 and nouns[0].tag == "NNG" and (role == "subject" or len(phrase[-1].noun) < 3):
        return False
    if is_date_word(phrase[-1].noun):
        return False
    return role != "by" or any(m.form in MADE_OF for m in verb.morphemes)
