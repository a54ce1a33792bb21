"""Korean particles in the form that the last sound of a word asks for."""

from __future__ import annotations

import re
from typing import Literal

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
