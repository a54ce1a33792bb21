"""Draft of a question: its words with their particles apart, and the noise that rewords them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.synthesis.inflection import Register, with_particle
from llama_index_ko_rerank.train.synthesis.parsing import Word

Kind = Literal["heading", "definition", "cloze", "key_phrases"]
"""How a question was made."""

KINDS: tuple[Kind, ...] = ("heading", "definition", "cloze", "key_phrases")

_REGISTERS: tuple[Register, ...] = ("polite", "plain", "formal", "casual")
_REGISTER_WEIGHTS = (40, 35, 10, 15)


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a question.

    Attributes:
        text: The noun, or the whole word where it is none.
        particle: In either form; the noun decides which.
        fixed: It asks, or ends the question, and is never changed.
        terms: Its content morphemes.
        comma: A comma follows, as in a list.
    """

    text: str
    particle: str = ""
    fixed: bool = False
    terms: tuple[str, ...] = ()
    comma: bool = False

    def __str__(self) -> str:
        return with_particle(self.text, self.particle) + ("," if self.comma else "")


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that no filter has seen.

    Attributes:
        kind: How it was made.
        pieces: Its words.
        mark: What ends it: ``?`` or nothing.
        span: Where its answer or its clue stands in the passage, as start and end; None where there is no one place.
        answer: The answer, which must not stand in the question; empty where there is none.
        is_titled: It names its document by the title.
    """

    kind: Kind
    pieces: tuple[Piece, ...]
    mark: str = "?"
    span: tuple[int, int] | None = None
    answer: str = ""
    is_titled: bool = False

    @property
    def text(self) -> str:
        """The question as it is asked."""
        return " ".join(str(piece) for piece in self.pieces) + self.mark

    def with_pieces(self, pieces: Iterable[Piece]) -> Draft:
        """Return the same question in other words."""
        return replace(self, pieces=tuple(pieces))


def piece_of(word: Word) -> Piece:
    """Take a word of a passage over."""
    if word.is_nominal:
        return Piece(word.noun, word.particle, terms=tuple(word.terms), comma=word.comma and not word.particle)
    return Piece(word.text, terms=tuple(word.terms))


def pieces_of(words: Sequence[Word]) -> list[Piece]:
    """Take words of a passage over."""
    return [piece_of(word) for word in words]


def asking(text: str) -> Piece:
    """Make a piece that asks or ends a question."""
    return Piece(text, fixed=True)


def draw_register(rng: Random) -> Register:
    """Draw how a question ends."""
    return rng.choices(_REGISTERS, _REGISTER_WEIGHTS)[0]


_DROPPED = frozenset(["을", "를", "의"])
_SAME = """
디렉터리: 디렉토리, 폴더
삭제: 제거
컴퓨터: PC
구비서류: 필요한 서류
사용: 이용
애플리케이션: 앱, 응용 프로그램, 어플리케이션
메시지: 메세지
콘텐츠: 컨텐츠
데이터베이스: DB
매개 변수: 매개변수, 파라미터, 인자
매개변수: 파라미터, 인자
개체: 객체, 오브젝트
형식: 타입
스마트폰: 휴대폰
홈페이지: 웹사이트, 누리집
이메일: 전자우편, 메일
비밀번호: 암호, 패스워드
아이디: ID
브라우저: 웹 브라우저
자격 증명: 인증 정보
리소스: 자원
단추: 버튼
대화 상자: 대화상자, 팝업
속성: 프로퍼티
오류: 에러
예외: 익셉션
급여: 월급, 봉급
수수료: 요금
기한: 마감
직원: 사원
금액: 액수
해임: 면직
설립: 창립
창립: 설립
사망: 별세
출생: 탄생
결혼: 혼인
음반: 앨범
한국: 대한민국
대한민국: 한국
나라: 국가
국가: 나라
자동차: 차량
차량: 자동차
이유: 까닭
유형: 종류
"""
_SHORT = 20
SAME_WORDS: dict[str, tuple[str, ...]] = {
    word: tuple(others.split(", ")) for word, others in (row.split(": ") for row in _SAME.split("\n") if row)
}
"""Nouns with others that a person may type instead of them."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How often a question is worded otherwise than its passage; each a share of the questions, 0-1.

    Attributes:
        drop_particles: One or two of 을 and 의 are left out, as in a search box or in speech.
        drop_spaces_in: One space is missing, or of a short question every one.
        synonyms: A noun is replaced by another of the same meaning.

    Raises:
        InvalidSetting: A share is outside 0-1.
    """

    drop_particles: float = 0.15
    drop_spaces_in: float = 0.06
    synonyms: float = 0.3

    def __post_init__(self) -> None:
        for name in ("drop_particles", "drop_spaces_in", "synonyms"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSetting(f"{name} is a share of the questions, 0-1, not {getattr(self, name)}")


def noisy_text(draft: Draft, noise: Noise, rng: Random) -> str:
    """Write a draft out with noise.

    The same draws are made whatever the shares are, so that a share changes only what it names.
    """
    chances = [rng.random() for _ in range(3)]
    own = Random(rng.getrandbits(32))
    pieces = list(draft.pieces)
    if chances[0] < noise.synonyms:
        pieces = _other_words(pieces, own)
    if chances[1] < noise.drop_particles:
        pieces = _fewer_particles(pieces, own)
    text = draft.with_pieces(pieces).text
    return drop_space(text, own) if chances[2] < noise.drop_spaces_in else text


def drop_space(text: str, rng: Random) -> str:
    """Take one space out of a text; of a short one, in one of three cases all of them."""
    places = [place for place, mark in enumerate(text) if mark == " "]
    if not places:
        return text
    if rng.random() < 1 / 3 and len(text) <= _SHORT:
        return text.replace(" ", "")
    place = rng.choice(places)
    return text[:place] + text[place + 1 :]


def _other_words(pieces: Sequence[Piece], rng: Random) -> list[Piece]:
    """Replace nouns that stand alone; within a compound another word would often be wrong."""
    found = []
    for before, piece in zip([None, *pieces], pieces, strict=False):
        others = SAME_WORDS.get(piece.text, ())
        is_alone = bool(piece.particle) and (
            before is None or before.fixed or bool(before.particle) or not before.terms
        )
        can = others and is_alone and not piece.fixed
        found.append(replace(piece, text=rng.choice(others)) if can else piece)
    return found


def _fewer_particles(pieces: Sequence[Piece], rng: Random) -> list[Piece]:
    """Leave out one or two particles, the last ones first: they stand nearest to what governs them."""
    places = [place for place, piece in enumerate(pieces) if piece.particle in _DROPPED and not piece.fixed]
    dropped = places[-rng.randint(1, 2) :]
    return [replace(piece, particle="") if place in dropped else piece for place, piece in enumerate(pieces)]
