"""The phrases of a clause that a question word can stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from llama_index_ko_rerank.train.synthesis.clauses import Clause, is_verbal
from llama_index_ko_rerank.train.synthesis.draft import Draft, Piece, asking, draw_register, piece_of, pieces_of
from llama_index_ko_rerank.train.synthesis.inflection import (
    NO_PREDICATE,
    Register,
    copula_question,
    is_declarative,
    join_strength,
    to_adnominal,
    to_question,
)
from llama_index_ko_rerank.train.synthesis.nouns import (
    DONE_TO_PEOPLE,
    HUMAN_ACTS,
    MADE_OF,
    PARTS_OF_TIME,
    NounKind,
    head_noun,
    how_many,
    is_date_word,
    is_korean_name,
    is_name,
    is_year,
    kind_of,
    phrase_text,
)
from llama_index_ko_rerank.train.synthesis.parsing import Word

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
class ClozeSpan:
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


def cloze_spans(clause: Clause) -> Iterator[ClozeSpan]:
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
            yield ClozeSpan(first, last, role, kind)


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


_ASKED: dict[NounKind, dict[str, str]] = {
    "person": {"subject": "누가", "object": "누구를", "to": "누구에게", "with": "누구와"},
    "organisation": {"at": "어디에", "in": "어디에서", "to": "누구에게"},
    "place": {"at": "어디에", "in": "어디에서", "by": "어디로"},
    "time": {"at": "언제", "bare": "언제", "from": "언제부터", "until": "언제까지"},
    "class": {},
    "thing": {"subject": "무엇이", "object": "무엇을", "by": "무엇으로", "with": "무엇과"},
}
_DESCRIBED: dict[NounKind, tuple[str, ...]] = {
    "person": ("사람", "인물"),
    "organisation": ("곳", "기관"),
    "place": ("곳", "장소"),
    "time": ("때", "시기"),
    "thing": ("것",),
}
_ASKS_FOR: dict[NounKind, str] = {"person": "누구", "organisation": "어디", "place": "어디", "time": "언제"}
_CLASS_ROLES = frozenset(["subject", "object", "by", "with", "to"])
_NO_QUESTION = frozenset(["같", "아니", "위하", "이르", "그러", "이러", "어떠하", "이"])
_PLAIN = {"에서는": "에서", "에는": "에", "으로는": "으로", "로는": "로", "에게는": "에게"}


def cloze_drafts(clause: Clause, rng: Random) -> Iterator[Draft]:
    """Ask for each phrase of a clause that a question word fits, in one of the two ways, by chance."""
    if _cannot_be_asked(clause.predicate):
        return
    for span in cloze_spans(clause):
        register = draw_register(rng)
        in_place, described = _in_place(clause, span, register), _described(clause, span, register, rng)
        if in_place and described:
            yield described if rng.random() < 0.6 else in_place
        elif in_place or described:
            yield in_place or described  # type: ignore[misc]  # one of the two is there


def _cannot_be_asked(predicate: Word) -> bool:
    if not is_declarative(predicate) and join_strength(predicate) == "none":
        return True
    stems = [m.form for m in predicate.morphemes if m.tag.startswith(("V", "XS"))]
    if any(m.form == "겠" or m.tag in ("SSC", "SSO") for m in predicate.morphemes):
        return True
    return not stems or stems[-1] in _NO_QUESTION or "VCP" in predicate.tags or predicate.text.startswith("것")


def _in_place(clause: Clause, span: ClozeSpan, register: Register) -> Draft | None:
    words = clause.words
    phrase = words[span.first : span.last + 1]
    question_piece = _question_piece(phrase, span)
    if question_piece is None:
        return None
    if len(words) - len(phrase) < 3:
        return None
    before = [piece for piece in pieces_of(words[: span.first]) if piece.text not in ABOUT]
    pieces = [*before, question_piece, *pieces_of(words[span.last + 1 : -1])]
    ending = Piece(to_question(clause.predicate, register, past=clause.past), "", True, tuple(clause.predicate.terms))
    return _draft([*pieces, ending], phrase, span.kind)


def _question_piece(phrase: Sequence[Word], span: ClozeSpan) -> Piece | None:
    particle = phrase[-1].particle
    if span.kind == "quantity":
        return Piece(how_many(phrase_text(phrase)), "이" if particle in ("은", "는") else particle, fixed=True)
    word = _ASKED[span.kind].get(span.role)
    if word:
        return asking(word)
    head = head_noun(phrase)
    if (
        span.kind in ("class", "organisation", "place")
        and head
        and span.role in _CLASS_ROLES
        and head != phrase_text(phrase)
    ):
        return Piece(f"어떤 {head}", "이" if span.role == "subject" else particle, fixed=True)
    return None


def _described(clause: Clause, span: ClozeSpan, register: Register, rng: Random) -> Draft | None:
    words = clause.words
    is_place = span.kind in ("place", "organisation") and span.role in ("at", "in")
    is_time = span.kind == "time" and span.role in ("at", "bare")
    if span.kind == "quantity" or not (span.role in ("subject", "object") or is_place or is_time):
        return None
    if not (reaches_end(words, span.last) or words[span.last].particle in ("은", "는")):
        return None
    phrase = words[span.first : span.last + 1]
    if words[span.last].particle in ("이", "가") and not _is_subject_alone(words, span):
        return None
    rest = [*words[: span.first], *words[span.last + 1 : -1]]
    head = _head(phrase, span, rng)
    if not head or len(rest) < 3:
        return None
    pieces = _with_subject(rest, needs_one=span.role == "object")
    if pieces is None:
        return None
    predicate = Piece(to_adnominal(clause.predicate, past=clause.past), "", True, tuple(clause.predicate.terms))
    return _draft([*pieces, predicate, *_asking_end(head, span.kind, register, rng)], phrase, span.kind)


def _is_subject_alone(words: Sequence[Word], span: ClozeSpan) -> bool:
    """Say whether a subject is the clause's only one: a topic beside it is the object, and 되다 has a complement."""
    others = (*words[: span.first], *words[span.last + 1 :])
    has_topic = any(word.is_nominal and word.particle in ("은", "는") for word in others)
    return not has_topic and words[span.last + 1].morphemes[0].form != "되"


def _head(phrase: Sequence[Word], span: ClozeSpan, rng: Random) -> str:
    """Choose the noun that the clause will describe."""
    head = head_noun(phrase)
    if span.kind == "time":
        return rng.choice(("해", "연도")) if is_year(phrase_text(phrase)) else rng.choice(_DESCRIBED["time"])
    if span.kind in ("class", "organisation", "place") and head and head != phrase_text(phrase):
        return head
    if span.kind == "place" and span.role in ("subject", "object"):
        return ""
    return rng.choice(_DESCRIBED[span.kind]) if span.kind in _DESCRIBED else ""


def _with_subject(rest: Sequence[Word], *, needs_one: bool) -> list[Piece] | None:
    """Turn a topic into a subject, as a clause before a noun wants it; None where it has a subject besides."""
    topics = [place for place, word in enumerate(rest) if word.is_nominal and word.particle in ("은", "는")]
    subjects = [word for word in rest if word.is_nominal and word.particle in ("이", "가")]
    also = [word for word in rest if word.is_nominal and word.particle.endswith(("도", "만"))]
    if len(topics) > 1 or (topics and subjects) or also or (needs_one and not topics and not subjects):
        return None
    return [
        Piece(word.noun, "이" if place in topics else _PLAIN.get(word.particle, word.particle), terms=tuple(word.terms))
        if word.is_nominal and (place in topics or word.particle in _PLAIN)
        else piece_of(word)
        for place, word in enumerate(rest)
    ]


def _asking_end(head: str, kind: NounKind, register: Register, rng: Random) -> list[Piece]:
    if rng.random() < 0.5:
        return [Piece(head, "은", fixed=True)]
    word = _ASKS_FOR.get(kind, "무엇")
    return [Piece(head, "은", fixed=True), asking(copula_question(word, register))]


def _draft(pieces: Sequence[Piece], phrase: Sequence[Word], kind: NounKind) -> Draft | None:
    if sum(len(piece.terms) for piece in pieces) < (4 if kind == "thing" else 3):
        return None
    span = (phrase[0].morphemes[0].start, phrase[-1].noun_end)
    return Draft("cloze", tuple(pieces), span=span, answer=phrase_text(phrase))
