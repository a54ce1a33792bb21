"""What a noun phrase names, and which question word asks for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from llama_index_ko_rerank.train.synthesis.lexicon import (
    CLASSES,
    DEFINING,
    ORGANISATIONS,
    PERSONS,
    PERSONS_ALONE,
    PLACES,
    VAGUE,
)
from llama_index_ko_rerank.train.synthesis.parsing import Word

NounKind = Literal["person", "organisation", "place", "time", "quantity", "class", "thing"]
"""What a phrase names. A `class` phrase ends in a noun that says what it is: 파우스트 교향곡."""

_TIME = re.compile(
    r"(?:기원전 ?)?\d{1,4}(?:년대?|세기)(?: ?\d{1,2}월)?(?: ?\d{1,2}일)?"
    r"(?: (?:초|말|초반|중반|후반|봄|여름|가을|겨울))?|\d{1,2}월(?: ?\d{1,2}일)?"
)
_YEARS = re.compile(r"(?:기원전 ?)?(?:\d{3,4})년")
_UNBALANCED = re.compile(r"""^[^"“]*["”][^"“]*$|^[^'‘]*['’][^'‘]*$|^[^“]*”|“[^”]*$|^[^‘]*’|‘[^’]*$|[\[\]()<>/\\=|]""")
_DATE_WORD = re.compile(r"(?:\d{1,4}(?:년대?|월|일|세기)|기원전)")
_DURATION = re.compile(r"\d{1,3}년|\d{1,2}일")
_QUANTITY = re.compile(
    r"(?P<number>\d[\d,.]*(?:\s?[천만억조]+(?:\s?\d[\d,]*\s?[천만억]*)?)?)\s?"
    r"(?P<unit>명|인|개국|개소|개월|개|년|일|시간|분|초|주|원|달러|엔|점|회|번|배|퍼센트|%|킬로미터|미터|㎞|㎡|km|kg"
    r"|톤|살|세|위|차례|권|편|곡|대|척|마리|가지|바이트|비트|배럴|석|표)"
    r"(?P<rest> ?(?:이상|이하|이내|미만|초과|가량|정도|동안|간|째))?"
)
_DAYS = {"일": "며칠"}
_HOW_MUCH = frozenset(["원", "달러", "엔"])
_UNIT_NAMES = {"%": "퍼센트", "㎞": "킬로미터", "km": "킬로미터", "kg": "킬로그램", "인": "명", "㎡": "제곱미터"}

_KOREAN_NAME = re.compile(
    r"[김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진지엄채원천방공현함변염추도석선설마길]"
    r"[가-힣]{2}"
)
_HEADS = (*ORGANISATIONS, *PLACES, *CLASSES)
_CITY = re.compile(r"[가-힣]{1,4}시")
_PLACE_NAME = re.compile(r"[가-힣]{1,5}(?:시|군|구|동|읍|면|리|도|주|역|산|강|섬|국)")
_UNDETERMINED = re.compile("위의|하나의|대부분의|다음의|아래의|여러|단일|앞의|모두의|각각의|자체의|다른|일부")


def kind_of(phrase: Sequence[Word]) -> NounKind | None:
    """Say what a noun phrase names; None where no good question can be asked of it."""
    last = phrase[-1]
    text = phrase_text(phrase)
    if _UNDETERMINED.fullmatch(phrase[0].text) or (len(phrase) > 1 and len(phrase[0].text) < 2):
        return None
    if is_time(text):
        return "time"
    if _QUANTITY.fullmatch(text):
        return "quantity"
    if (
        _UNBALANCED.search(text)
        or last.noun.endswith("적")
        or any(tag == "SN" for tag in last.tags)
        or last.noun in VAGUE
        or len(last.noun) < 2
    ):
        return None
    kind = _kind_by_ending(phrase)
    if kind:
        return kind
    if last.noun.endswith(CLASSES) and last.noun not in CLASSES:
        return "class"
    if last.noun in _HEADS:
        return "class" if len(phrase) > 1 else None
    return "thing"


def phrase_text(phrase: Sequence[Word]) -> str:
    """Write a noun phrase without its last particle."""
    return " ".join([*(word.text for word in phrase[:-1]), phrase[-1].noun])


def is_time(text: str) -> bool:
    """Say whether a phrase is a date, a year or a century, and no length of time."""
    return bool(_TIME.fullmatch(text)) and not _DURATION.fullmatch(text)


def is_year(text: str) -> bool:
    """Say whether a phrase is a year and nothing more."""
    return bool(_YEARS.fullmatch(text))


def how_many(text: str) -> str:
    """Turn a quantity into what asks for it: 3만 명 becomes 몇 명, 30일 이내 becomes 며칠 이내, 500원 becomes 얼마.

    >>> how_many("30일 이내"), how_many("3만 5천 명"), how_many("1,000원"), how_many("20%")
    ('며칠 이내', '몇 명', '얼마', '몇 퍼센트')
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no quantity")
    unit = _UNIT_NAMES.get(match["unit"], match["unit"])
    counted = "얼마" if unit in _HOW_MUCH else _DAYS.get(unit) or f"몇 {unit}"
    return counted + (match["rest"] or "")


def head_noun(phrase: Sequence[Word]) -> str:
    """Give the noun that says what a phrase names, such as 위원회 of 공정거래위원회; empty where it has none."""
    noun = phrase[-1].noun
    if is_name(phrase) and noun.endswith("국"):
        return "나라"
    if is_name(phrase) and _CITY.fullmatch(phrase_text(phrase)):
        return "도시"
    if not noun.endswith(_HEADS):
        return ""
    return max((ending for ending in _HEADS if noun.endswith(ending)), key=len)


def has_class(phrase: Sequence[Word]) -> bool:
    """Say whether the last noun says what kind of thing a phrase names, alone or as its end."""
    return phrase[-1].noun.endswith((*_HEADS, *DEFINING))


def is_korean_name(noun: str) -> bool:
    """Say whether a noun has the form of a Korean person's name."""
    return bool(_KOREAN_NAME.fullmatch(noun))


def is_vague(word: Word) -> bool:
    """Say whether a noun says nothing alone: 경우, 이후, 다음."""
    return word.noun in VAGUE


def is_name(phrase: Sequence[Word]) -> bool:
    """Say whether a phrase is a bare proper name, which may be that of a person."""
    tags = [tag for tag in phrase[-1].tags if not tag.startswith("J")]
    return "NNP" in tags and not any(tag in ("SL", "SN", "SSO", "SSC") for tag in tags)


def is_date_word(noun: str) -> bool:
    """Say whether a word is part of a date: 2017년, 5월, 19일.

    >>> is_date_word("19일"), is_date_word("19명")
    (True, False)
    """
    return bool(_DATE_WORD.fullmatch(noun))


def _kind_by_ending(phrase: Sequence[Word]) -> NounKind | None:
    noun = phrase[-1].noun.removesuffix("들")
    is_doer = not noun.endswith(CLASSES) and any(
        m.form in ("자", "인", "씨") and m.tag == "XSN" for m in phrase[-1].morphemes
    )
    if noun.endswith(PERSONS) or noun in PERSONS_ALONE or is_doer or (noun.endswith("씨") and len(noun) > 2):
        return "person"
    if is_name(phrase) and any(word.noun.endswith(PERSONS) for word in phrase[:-1]):
        return "person"
    if noun.endswith(ORGANISATIONS):
        return "organisation"
    if noun.endswith(PLACES):
        return "place"
    if "NNP" in phrase[-1].tags and _PLACE_NAME.fullmatch(noun):
        return "place"
    return None
