"""Korean inflection: the form of a particle after a noun, and predicates turned into questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from llama_index_ko_rerank.text.kiwi import get_kiwi
from llama_index_ko_rerank.train.synthesis.parsing import Word

FinalSound = Literal["open", "rieul", "closed"]

# After a consonant, after a vowel; what may follow stays as it is: 으로부터, 이라고.
_PAIRS = (("은", "는"), ("이", "가"), ("을", "를"), ("과", "와"), ("이란", "란"), ("이나", "나"), ("이랑", "랑"))
_FORMS = {form: pair for pair in _PAIRS for form in pair}
_WITH_TAIL = re.compile(r"(?P<stem>으로|로|이라|라)(?P<tail>부터|서|써|는|도|만|고|면)?")
_TAIL_PAIRS = {"으로": ("으로", "로"), "로": ("으로", "로"), "이라": ("이라", "라"), "라": ("이라", "라")}

_AROUND = re.compile(r"[\s\"'“”‘’「」『』《》〈〉<>\[\](){}.,!?…·]+$")
_RIEUL_DIGITS, _OPEN_DIGITS = "178", "2459"
_OPEN_LETTERS = re.compile(r"[A-Z]$")
_LETTER_NAMES: dict[str, FinalSound] = {"L": "rieul", "R": "rieul", "M": "closed", "N": "closed"}
_RIEUL_ENDING = re.compile(r"(?:l|le)$")
_CLOSED_ENDING = re.compile(r"(?:[bckmnpt]|ng|[mnp]e|[aeiou]ke|[aeiou]te)$")


def final_sound(text: str) -> FinalSound:
    """Say how a word ends when it is read aloud: in a vowel, in ㄹ, or in another consonant.

    Digits are read in Korean, capitals by their letter names, and other Latin words by the rule that loanwords mostly
    follow; quotation marks and brackets at the end are not read.

    >>> [final_sound(word) for word in ("나무", "서울", "책", "API", "2017", "Excel", "%")]
    ['open', 'rieul', 'closed', 'open', 'rieul', 'rieul', 'open']
    """
    word = _AROUND.sub("", text)
    last = word[-1:]
    syllable = ord(last) - 0xAC00 if last else -1
    if 0 <= syllable < 11172:
        jongseong = syllable % 28
        return "open" if jongseong == 0 else "rieul" if jongseong == 8 else "closed"
    if last.isdigit():
        return "rieul" if last in _RIEUL_DIGITS else "open" if last in _OPEN_DIGITS else "closed"
    if _OPEN_LETTERS.search(word):
        return _LETTER_NAMES.get(last, "open")
    if _RIEUL_ENDING.search(word):
        return "rieul"
    return "closed" if _CLOSED_ENDING.search(word) else "open"


def particle_after(noun: str, particle: str) -> str:
    """Return the form of a particle that follows a noun; a particle that has one form only comes back as it is.

    >>> particle_after("서울", "으로"), particle_after("의사", "이"), particle_after("책", "에서")
    ('로', '가', '에서')
    """
    sound = final_sound(noun)
    if particle in _FORMS:
        closed, opened = _FORMS[particle]
        return opened if sound == "open" else closed
    match = _WITH_TAIL.fullmatch(particle)
    if not match:
        return particle
    closed, opened = _TAIL_PAIRS[match["stem"]]
    is_short = sound == "open" or (sound == "rieul" and closed == "으로")
    return (opened if is_short else closed) + (match["tail"] or "")


def with_particle(noun: str, particle: str) -> str:
    """Join a noun and a particle.

    >>> with_particle("교향곡", "를"), with_particle("API", "은"), with_particle("길", "으로")
    ('교향곡을', 'API는', '길로')
    """
    return noun + particle_after(noun, particle)


Register = Literal["polite", "plain", "formal", "casual"]
"""How a question ends: -나요, -는가, -습니까, -어."""

_STATED = frozenset(["다", "는다", "ᆫ다", "습니다", "ᆸ니다", "어요", "에요", "죠"])
_JOINED = frozenset(
    ["고", "며", "으며", "지만", "으나", "나", "는데", "ᆫ데", "은데", "면서", "으면서", "고서", "므로", "으므로"]
)
_JOINED_LOOSELY = frozenset(["어", "어서", "다가"])
_AUXILIARY = frozenset(["어야", "어", "지", "고", "게"])
_STEMS = ("VV", "VA", "VX", "VCP", "VCN", "XSV", "XSA")
_OF_QUALITY = ("VA", "VCP", "VCN", "XSA")
_EXISTS = ("있", "없")
NO_PREDICATE = frozenset(
    ["따르", "의하", "대하", "관하", "통하", "위하", "인하", "비하", "걸치", "이르", "불구하", "비롯하", "더불"]
)
"""Verbs that serve as postpositions: 에 따라, 을 통해."""
_BINDING = ("관련하", "포함하", "대비하", "제외하", "기초하", "기반하", "한하", "감안하", "고려하")
_ENDINGS: dict[Register, tuple[str, str]] = {
    "polite": ("나요", "ᆫ가요"),
    "plain": ("는가", "ᆫ가"),
    "formal": ("ᆸ니까", "ᆸ니까"),
    "casual": ("어", "어"),
}

JoinStrength = Literal["none", "loose", "firm"]


def is_declarative(word: Word) -> bool:
    """Say whether a word ends a statement."""
    last = _last_ending(word)
    is_plain = all(m.tag != "EC" or m.form in _AUXILIARY for m in word.morphemes)
    return last is not None and last[1] == "EF" and last[0] in _STATED and _stem_place(word) is not None and is_plain


def join_strength(word: Word) -> JoinStrength:
    """Say whether a word ends a clause that could stand alone: firmly (-고, -며, -지만) or loosely (-어, -어서)."""
    last = _last_ending(word)
    stem = _stem_place(word)
    if last is None or last[1] != "EC" or stem is None or word.morphemes[stem].form in NO_PREDICATE:
        return "none"
    if word.text.startswith(_BINDING):
        return "none"
    return "firm" if last[0] in _JOINED else "loose" if last[0] in _JOINED_LOOSELY else "none"


def is_past(word: Word) -> bool:
    """Say whether a predicate is marked as past."""
    return any(m.tag == "EP" and m.form == "었" for m in word.morphemes)


def to_question(word: Word, register: Register, *, past: bool) -> str:
    """Turn a predicate into the end of a question.

    Args:
        word: A word that `is_declarative`, or that joins clauses.
        register: How it ends.
        past: Whether a predicate that bears no mark of time is past, as in the first of two joined clauses.
    """
    stem, marks = _parts(word, past=past)
    verb_ending, quality_ending = _ENDINGS[register]
    last = stem[-1]
    is_quality = last[1].split("-")[0] in _OF_QUALITY and last[0] not in _EXISTS and not marks
    if register == "casual" and last[1] == "VCP" and not marks:
        return _joined([*stem[:-1], ("이", "VCP"), ("야", "EF")]) if len(stem) == 1 else _copula_casual(stem)
    return _joined([*stem, *marks, (quality_ending if is_quality else verb_ending, "EF")])


def to_adnominal(word: Word, *, past: bool) -> str:
    """Turn a predicate into the form in front of a noun: 썼다 becomes 쓴, 쓴다 becomes 쓰는, 작다 becomes 작은."""
    stem, marks = _parts(word, past=past)
    form, tag = stem[-1][0], stem[-1][1].split("-")[0]
    if any(mark == ("었", "EP") for mark in marks):
        others = [mark for mark in marks if mark != ("었", "EP")]
        if tag in _OF_QUALITY or form in _EXISTS:
            return _joined([*stem, *marks, ("던", "ETM")])
        return _joined([*stem, *others, ("ᆫ", "ETM")])
    is_quality = tag in _OF_QUALITY and form not in _EXISTS and form[-1:] not in _EXISTS
    return _joined([*stem, *marks, ("ᆫ" if is_quality else "는", "ETM")])


def copula_question(question_word: str, register: Register) -> str:
    """Ask what something is: 무엇인가요, 누구인가, 언제입니까, 어디야."""
    if register == "casual":
        return question_word + ("야" if (ord(question_word[-1]) - 0xAC00) % 28 == 0 else "이야")
    return question_word + {"polite": "인가요", "plain": "인가", "formal": "입니까"}[register]


def action_of(stem: str, tag: str, ending: str, ending_tag: str) -> str:
    """Conjugate a bare stem."""
    return _joined([(stem, tag), (ending, ending_tag)])


def _copula_casual(stem: Sequence[tuple[str, str]]) -> str:
    noun = "".join(form for form, _ in stem[:-1])
    return copula_question(noun, "casual") if "가" <= noun[-1:] <= "힣" else noun + "야"


def _parts(word: Word, *, past: bool) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Give what stands before the ending: the word up to its stem, and its marks of time and respect."""
    place = _stem_place(word)
    if place is None:
        raise ValueError(f"{word.text!r} holds no predicate")
    stem = [(m.form, m.tag) for m in word.morphemes[: place + 1]]
    marks = [(m.form, m.tag) for m in word.morphemes[place + 1 :] if m.tag == "EP"]
    if past and ("었", "EP") not in marks:
        marks.append(("었", "EP"))
    return stem, marks


def _stem_place(word: Word) -> int | None:
    places = [i for i, tag in enumerate(word.tags) if tag in _STEMS]
    return places[-1] if places else None


def _last_ending(word: Word) -> Morph | None:
    for morpheme in reversed(word.morphemes):
        if morpheme.tag not in ("SF", "SP", "SE", "SSC"):
            return morpheme.form, morpheme.tag
    return None


def _joined(morphemes: Sequence[tuple[str, str]]) -> str:
    return "".join(str(get_kiwi().join(morphemes)).split())


Morph = tuple[str, str]
