"""Questions that ask for a phrase: in its place (무엇을 썼나요?), or as what its clause describes (쓴 곡은?)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from llama_index_ko_rerank.data.questions.blanks import ABOUT, Blank, blanks_of, reaches_end
from llama_index_ko_rerank.data.questions.clauses import Clause
from llama_index_ko_rerank.data.questions.noun_kinds import (
    NounKind,
    head_noun,
    how_many,
    is_year,
    phrase_text,
)
from llama_index_ko_rerank.data.questions.passage_reading import Word
from llama_index_ko_rerank.data.questions.predicates import (
    Register,
    asked,
    before_noun,
    copula_question,
    join_strength,
    states,
)
from llama_index_ko_rerank.data.questions.question_draft import Draft, Piece, asking, draw_register, piece_of, pieces_of

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
    for blank in blanks_of(clause):
        register = draw_register(rng)
        in_place, described = _in_place(clause, blank, register), _described(clause, blank, register, rng)
        if in_place and described:
            yield described if rng.random() < 0.6 else in_place
        elif in_place or described:
            yield in_place or described  # type: ignore[misc]  # one of the two is there


def _cannot_be_asked(predicate: Word) -> bool:
    if not states(predicate) and join_strength(predicate) == "none":
        return True
    stems = [m.form for m in predicate.morphemes if m.tag.startswith(("V", "XS"))]
    if any(m.form == "겠" or m.tag in ("SSC", "SSO") for m in predicate.morphemes):
        return True
    return not stems or stems[-1] in _NO_QUESTION or "VCP" in predicate.tags or predicate.text.startswith("것")


def _in_place(clause: Clause, blank: Blank, register: Register) -> Draft | None:
    words = clause.words
    phrase = words[blank.first : blank.last + 1]
    question_piece = _question_piece(phrase, blank)
    if question_piece is None:
        return None
    if len(words) - len(phrase) < 3:
        return None
    before = [piece for piece in pieces_of(words[: blank.first]) if piece.text not in ABOUT]
    pieces = [*before, question_piece, *pieces_of(words[blank.last + 1 : -1])]
    ending = Piece(asked(clause.predicate, register, past=clause.past), "", True, tuple(clause.predicate.terms))
    return _draft([*pieces, ending], phrase, blank.kind)


def _question_piece(phrase: Sequence[Word], blank: Blank) -> Piece | None:
    particle = phrase[-1].particle
    if blank.kind == "quantity":
        return Piece(how_many(phrase_text(phrase)), "이" if particle in ("은", "는") else particle, fixed=True)
    word = _ASKED[blank.kind].get(blank.role)
    if word:
        return asking(word)
    head = head_noun(phrase)
    if (
        blank.kind in ("class", "organisation", "place")
        and head
        and blank.role in _CLASS_ROLES
        and head != phrase_text(phrase)
    ):
        return Piece(f"어떤 {head}", "이" if blank.role == "subject" else particle, fixed=True)
    return None


def _described(clause: Clause, blank: Blank, register: Register, rng: Random) -> Draft | None:
    words = clause.words
    is_place = blank.kind in ("place", "organisation") and blank.role in ("at", "in")
    is_time = blank.kind == "time" and blank.role in ("at", "bare")
    if blank.kind == "quantity" or not (blank.role in ("subject", "object") or is_place or is_time):
        return None
    if not (reaches_end(words, blank.last) or words[blank.last].particle in ("은", "는")):
        return None
    phrase = words[blank.first : blank.last + 1]
    if words[blank.last].particle in ("이", "가") and not _is_subject_alone(words, blank):
        return None
    rest = [*words[: blank.first], *words[blank.last + 1 : -1]]
    head = _head(phrase, blank, rng)
    if not head or len(rest) < 3:
        return None
    pieces = _with_subject(rest, needs_one=blank.role == "object")
    if pieces is None:
        return None
    predicate = Piece(before_noun(clause.predicate, past=clause.past), "", True, tuple(clause.predicate.terms))
    return _draft([*pieces, predicate, *_asking_end(head, blank.kind, register, rng)], phrase, blank.kind)


def _is_subject_alone(words: Sequence[Word], blank: Blank) -> bool:
    """Say whether a subject is the clause's only one: a topic beside it is the object, and 되다 has a complement."""
    others = (*words[: blank.first], *words[blank.last + 1 :])
    has_topic = any(word.is_nominal and word.particle in ("은", "는") for word in others)
    return not has_topic and words[blank.last + 1].morphemes[0].form != "되"


def _head(phrase: Sequence[Word], blank: Blank, rng: Random) -> str:
    """Choose the noun that the clause will describe."""
    head = head_noun(phrase)
    if blank.kind == "time":
        return rng.choice(("해", "연도")) if is_year(phrase_text(phrase)) else rng.choice(_DESCRIBED["time"])
    if blank.kind in ("class", "organisation", "place") and head and head != phrase_text(phrase):
        return head
    if blank.kind == "place" and blank.role in ("subject", "object"):
        return ""
    return rng.choice(_DESCRIBED[blank.kind]) if blank.kind in _DESCRIBED else ""


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
