"""Questions made by rules from passages that nobody has asked about, to fit a ranker on more kinds of text.

A question takes one sentence of a passage, keeps the words that are rare in the collection and some of the others,
drops or swaps particles, moves words now and then, and ends as people ask: what is counted, who acts, when, how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.data import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.text.kiwi import get_kiwi

Rarity = Callable[[Sequence[str]], NDArray[np.float32]]
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*[①-⑳]\s*|\n")
_NOUNS = ("NNG", "NNP", "SL", "SH", "XR", "NR", "XSN", "XPN")
_COUNTED = re.compile(r"\d[\d,.]*\s?(일|년|개월|명|만원|퍼센트|개|시간|회|배|가지|바이트|초|분)(?![가-힣]*정)")
_PAIRS = {"은": "는", "이": "가", "을": "를", "과": "와"}
_SWAPS = ("은", "이", "을", "의", "에", "")


class Word(NamedTuple):
    """A word of a sentence: its noun, what follows it, and whether a verb is made of it."""

    noun: str
    particle: str
    acts: bool


def made_dataset(
    name: str, passages: Sequence[Passage], *, rarity: Rarity, questions: int, rng: Random
) -> RetrievalDataset:
    """Make questions over a collection, at most one a passage; `rarity` gives the idf of morphemes in it."""
    made: list[Question] = []
    for passage in rng.sample(passages, len(passages)):
        text = question_about(passage, rarity, rng)
        if text:
            made.append(Question(f"{name}-{len(made)}", text, (passage.id,)))
        if len(made) == questions:
            break
    return RetrievalDataset(name, "made", tuple(passages), tuple(made))


def question_about(passage: Passage, rarity: Rarity, rng: Random) -> str:
    """Turn one sentence of a passage into a question; empty where no sentence says anything particular."""
    sentences = [part for part in _SENTENCE_END.split(passage.text) if 20 <= len(part) <= 250]
    for sentence in rng.sample(sentences, min(3, len(sentences))):
        words = words_of(sentence)
        idf = [float(value) for value in rarity([word.noun.lower() for word in words])]
        start = rng.randrange(max(1, len(words) - 7))
        span = [
            (word, value)
            for word, value in zip(words[start : start + 9], idf[start : start + 9], strict=True)
            if rng.random() < (0.85 if value > 4 else 0.35)
        ][: rng.randint(3, 7)]
        if len(span) >= 3 and sum(value > 4 for _, value in span) >= 2:
            return _asked(sentence, [word for word, _ in span], passage.title, rng)
    return ""


def words_of(sentence: str) -> list[Word]:
    """Take the nouns of a sentence, one a word, with their particles."""
    words: dict[int, list[tuple[str, str]]] = {}
    for token in get_kiwi().tokenize(sentence):
        words.setdefault(token.word_position, []).append((token.form, token.tag))
    found = []
    for morphemes in words.values():
        size = next((i for i, (_, tag) in enumerate(morphemes) if not tag.startswith(_NOUNS)), len(morphemes))
        noun = "".join(form for form, _ in morphemes[:size])
        rest = morphemes[size:]
        acts = bool(rest) and rest[0][1] in ("XSV", "XSA")
        particle = "".join(form for form, tag in rest if tag.startswith("J"))
        if len(noun) > 1:
            found.append(Word(noun, "" if acts else particle, acts))
    return found


def with_particle(noun: str, particle: str) -> str:
    """Join a noun and a particle in the form that its last sound asks for."""
    code = ord(noun[-1]) - 0xAC00
    closed = 0 <= code < 11172 and code % 28 > 0
    first = next((one for one, other in _PAIRS.items() if particle in (one, other)), "")
    return noun + ((first if closed else _PAIRS[first]) if first else particle)


def _asked(sentence: str, words: list[Word], title: str, rng: Random) -> str:
    act = next((word.noun for word in reversed(words) if word.acts), "")
    body = list({word.noun: word for word in words if word.noun != act}.values()) or words
    if rng.random() < 0.2:
        rng.shuffle(body)
    parts = [_spoken(word, rng) for word in body]
    if title and len(title) < 25 and rng.random() < 0.25:
        parts.insert(0, title + rng.choice(("에서", "의", "에 따르면", "")))
    return ("" if rng.random() < 0.05 else " ").join(parts) + " " + _ending(sentence, act, rng)


def _spoken(word: Word, rng: Random) -> str:
    if word.acts:
        return word.noun + rng.choice(("하는", "한", "할", ""))
    chance = rng.random()
    particle = rng.choice(_SWAPS) if chance < 0.2 else "" if chance < 0.35 else word.particle
    return with_particle(word.noun, particle)


def _ending(sentence: str, act: str, rng: Random) -> str:
    counted = _COUNTED.search(sentence)
    does = f"{act}하" if act else "하"
    choices = [f"{does}려면 어떻게 해야 하나요?", f"{does}는 방법은?", f"{does}나요?", f"{act}할 수 있나요?"]
    if act:
        topic = with_particle(act, "은")
        choices += [f"{topic} 무엇인가요?", f"{act} 기준이 뭔가요?", f"{topic} 어떻게 되나요?", f"{act} 알려줘"]
    if counted and rng.random() < 0.6:
        unit = counted[1]
        return rng.choice((f"몇 {unit}인가요?", f"몇 {unit} 이내에 {does}여야 하나요?", f"몇 {unit}이야?"))
    if re.search(r"(장관|위원장|청장|기관|자|사람|위원회|법원)[은는이가]\s", sentence) and rng.random() < 0.4:
        return rng.choice((f"누가 {does}나요?", f"{does}는 사람은 누구인가요?"))
    if "까지" in sentence and rng.random() < 0.5:
        return rng.choice((f"언제까지 {does}여야 하나요?", f"언제 {does}나요?"))
    if "에게" in sentence and rng.random() < 0.4:
        return f"어디에 {does}나요?"
    return rng.choice([*choices, "무엇인가요?", "뭐야?", "어떻게 되나요?"])
