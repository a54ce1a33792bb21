"""Questions made of the tokens of a sentence, anew at every step: nothing is stored, and each is a draw of its seed.

A question is a sentence in which a phrase is asked for: words are left out, moved, given other particles or replaced by
words that are not there, and the end asks. That is how people ask who have read the passage; `adapt`'s rules
(`llama_index_ko_rerank.data.make_questions`) word fewer sentences, but better, and give the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.corpus import Collection, TokenCorpus, Tokens

_ENDS = """
무엇인가? 무엇인가요? 누구인가? 누구인가요? 언제인가? 언제인가요? 어디인가? 어디인가요? 무엇인가? 누구인가?
언제인가? 무엇이었는가? 몇 개인가? 몇 명인가? 몇 년인가? 몇 월인가? 며칠인가? 얼마인가? 어떻게 되나요?
왜 그런가? 어떤 것인가? 뭐야? 누구야? 언제야? 어디야? 하는 사람은? 한 사람은 누구인가? 한 곳은?
한 것은 무엇인가? 하는 곳은 어디인가? 한 해는? 한 날은 언제인가? 한 이유는? 하는 방법은? 된 것은?
된 해는 언제인가? 된 곳은 어디인가? 불리는 것은? 부르는 말은? 의 이름은? 이름은 무엇인가? 이라고 하는가?
것은 무엇인가? 것은? 곳은? 어떻게 하나요? 해야 하나요? 하려면? 하려면 어떻게 해야 하나요? 무엇을 했는가?
누가 했는가? 어디에서 했는가? 언제 했는가? 알려 줘? 뜻은?
"""
_ASKED_WITHIN = """
무엇을 누가 누구를 어디에서 어디에 언제 어떤 몇 얼마나 왜 어떻게 무슨 어느 무엇이 누구에게
"""
_MOST_TOKENS = 48


@dataclass(frozen=True)
class Wording:
    """What wording a question needs.

    Attributes:
        ends: What a question may end with.
        asked: Question words.
        continues: Which tokens go on with a word.
        is_ending: Which tokens are particles and endings.
        endings: The most frequent of these.
        rarity: How rare each token is.
        alike: For each token, the one that starts a word with the same letters, or itself.
    """

    ends: list[Tokens]
    asked: list[Tokens]
    continues: NDArray[np.bool_]
    is_ending: NDArray[np.bool_]
    endings: NDArray[np.int64]
    rarity: NDArray[np.float32]
    alike: NDArray[np.int64]


def wording(tokenizer: Tokenizer, endings: Sequence[str], rarity: NDArray[np.float32]) -> Wording:
    """Prepare the wording for a tokenizer; `endings` are its pieces that are particles and endings."""

    def encoded(texts: Sequence[str]) -> list[Tokens]:
        rows = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [np.array(row.ids, np.uint16) for row in rows]

    names = tokenizer.get_vocab()
    continues = np.zeros(len(names), bool)
    continues[[number for name, number in names.items() if name.startswith("##")]] = True
    numbers = np.array([names[name] for name in endings if name.startswith("##")])
    is_ending = np.zeros(len(names), bool)
    is_ending[numbers] = True
    ends = [f"{line.strip()}?" for line in _ENDS.replace("\n", " ").split("?") if line.strip()]
    alike = np.arange(len(names))
    for name, number in names.items():
        bare = name.removeprefix("##")
        if len(bare) > 1 and bare in names:
            alike[number] = names[bare]
    return Wording(encoded(ends), encoded(_ASKED_WITHIN.split()), continues, is_ending, numbers[:60], rarity, alike)


def question_from(
    corpus: TokenCorpus, found: Collection, passage: int, wording: Wording, rng: np.random.Generator
) -> tuple[Tokens, Tokens]:
    """Word a question on one sentence of a passage; also gives the sentence, and both are empty where none is fit."""
    first, last = found.sentences[passage]
    nothing = np.zeros(0, np.uint16)
    room = len(found.passages[passage])
    for number in rng.permutation(np.arange(first, last))[:4]:
        sentence = corpus.sentence(int(number))
        inside = corpus.sentences[number] - corpus.sentences[first] + len(sentence) <= room
        words = np.split(sentence, np.flatnonzero(~wording.continues[sentence])[1:])
        if inside and 5 <= len(words) <= 80:
            asked = _asked(words, wording, rng)
            if len(asked) and _is_particular(asked, wording):
                return _with_context(asked, corpus, found, passage, wording, rng)[:_MOST_TOKENS], sentence
    return nothing, nothing


def _is_particular(words: list[Tokens], wording: Wording) -> bool:
    rarities = [wording.rarity[word].max() for word in words]
    return sum(value > 3.5 for value in rarities) >= 2


def _asked(words: list[Tokens], wording: Wording, rng: np.random.Generator) -> list[Tokens]:
    """Cut a stretch of words and leave some out."""
    length = int(rng.integers(4, 14))
    start = int(rng.integers(max(1, len(words) - length + 1)))
    words = words[start : start + length]
    answer = int(rng.integers(len(words)))
    gone = set(range(answer, answer + int(rng.integers(0, 4))))
    left_out = rng.choice((0.05, 0.2, 0.35, 0.5))
    rarities = np.array([wording.rarity[word].max() for word in words])
    chances = left_out * np.where(rarities < 3.0, 1.4, 1.0)
    kept = [w for i, w in enumerate(words) if i not in gone and rng.random() >= chances[i]]
    return kept if len(kept) >= 2 else []


def _with_context(
    words: list[Tokens],
    corpus: TokenCorpus,
    found: Collection,
    passage: int,
    wording: Wording,
    rng: np.random.Generator,
) -> Tokens:
    """Give the words other particles and another order, add words from elsewhere, and ask."""
    swap = rng.choice((0.0, 0.15, 0.4))
    words = [_spoken(word, wording, rng) if rng.random() < swap else word for word in words]
    chance = rng.random()
    if chance < 0.25:
        turn = int(rng.integers(len(words)))
        words = words[turn:] + words[:turn]
    elif chance < 0.35:
        words = [words[i] for i in rng.permutation(len(words))]
    if rng.random() < 0.3:
        words.insert(int(rng.integers(len(words) + 1)), wording.asked[int(rng.integers(len(wording.asked)))])
    if rng.random() < 0.2:
        words = [_word_of(found.passages[passage], wording, rng), *words]
    if rng.random() < 0.35:
        other = found.passages[int(rng.integers(len(found.passages)))]
        words[int(rng.integers(len(words)))] = _word_of(other, wording, rng)
    if rng.random() < 0.3:
        words = [_word_of(found.passages[_beside(found, passage, rng)], wording, rng), *words]
    if rng.random() < 0.08:
        words = [corpus.sentence(found.titles[passage])[:10], *words]
    if rng.random() < 0.85:
        words[-1] = _bare(words[-1], wording) if rng.random() < 0.5 else words[-1]
        words.append(wording.ends[int(rng.integers(len(wording.ends)))])
    return np.concatenate(words)


def _beside(found: Collection, passage: int, rng: np.random.Generator) -> int:
    """Draw another passage of the document: its words are the document's topic, and mislead."""
    near = [p for p in range(passage - 5, passage + 6) if p != passage and 0 <= p < len(found.titles)]
    same = [p for p in near if found.titles[p] == found.titles[passage]]
    return same[int(rng.integers(len(same)))] if same else passage


def _bare(word: Tokens, wording: Wording) -> Tokens:
    """Take the ending from a word that has one."""
    return word[:-1] if len(word) > 1 and wording.is_ending[word[-1]] else word


def _spoken(word: Tokens, wording: Wording, rng: np.random.Generator) -> Tokens:
    bare = _bare(word, wording)
    if len(bare) == len(word) or rng.random() < 0.4:
        return bare
    return np.append(bare, wording.endings[int(rng.integers(len(wording.endings)))]).astype(np.uint16)


def _word_of(tokens: Tokens, wording: Wording, rng: np.random.Generator) -> Tokens:
    """Take a rare word of a passage."""
    words = np.split(tokens, np.flatnonzero(~wording.continues[tokens])[1:])
    drawn = [words[i] for i in rng.integers(len(words), size=3)]
    return max(drawn, key=lambda word: wording.rarity[word].max())


@dataclass(frozen=True)
class Example:
    """A question with passages, the first of which answers it."""

    question: Tokens
    passages: list[Tokens]


def example(
    question: Tokens,
    sentence: Tokens,
    passage: int,
    found: Collection,
    *,
    rarity: NDArray[np.float32],
    rng: np.random.Generator,
    negatives: int,
    first: int = 30,
) -> Example | None:
    """Set a question beside passages that BM25 puts into its first thirty; the higher they stand, the likelier.

    Passages that hold nearly all tokens of the sentence that answers are left out: they answer too.
    """
    scores = found.scores(question, rarity)
    best = np.argsort(-scores, kind="stable")[: first + 1]
    if passage not in best:
        return None
    kinds = np.unique(sentence)
    others = [int(p) for p in best if p != passage and np.isin(kinds, found.passages[p]).mean() < 0.85]
    if len(others) < negatives:
        return None
    chances = 1.0 / (4.0 + np.arange(len(others)))
    drawn = rng.choice(len(others), negatives, replace=False, p=chances / chances.sum())
    return Example(question, [found.passages[passage], *(found.passages[others[i]] for i in np.sort(drawn))])


def renamed(shown: Example, rarity: NDArray[np.float32], rng: np.random.Generator) -> Example:
    """Exchange rare tokens of an example, see `renaming`."""
    names = renaming(rarity, rng)
    return Example(names[shown.question], [names[passage] for passage in shown.passages])


def renaming(rarity: NDArray[np.float32], rng: np.random.Generator) -> Tokens:
    """Draw new names for half of the rare tokens: others as rare, the same wherever they stand.

    So a model cannot rest on the words of its corpus, and learns what holds for words that it has never met.
    """
    order = np.argsort(rarity, kind="stable")
    rare = order[np.searchsorted(rarity[order], 4.0) :]
    names = np.arange(len(rarity), dtype=np.uint16)
    for block in np.array_split(rare[rng.random(len(rare)) < 0.5], 12):
        names[block] = rng.permutation(block)
    return names
