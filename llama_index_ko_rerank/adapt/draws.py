"""What a step of a static embedding learns from: questions, made before or drawn on the spot, and their passages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from llama_index_ko_rerank.data.dataset import Passage, Question
from llama_index_ko_rerank.data.near_duplicates import find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.text.normalize import normalize

Tokens: TypeAlias = NDArray[np.int64]

_ENDS = (
    "무엇인가? 무엇인가요? 누구인가? 누구인가요? 언제인가? 언제인가요? 어디인가? 어디인가요? 몇 명인가? 몇 년인가? "
    "얼마인가? 어떻게 되나요? 왜 그런가? 어떤 것인가? 뭐야? 누구야? 사람은? 곳은? 것은? 해는? 방법은? 이유는? 이름은?"
)
_ENDINGS = 400
_ENDING_LETTERS = 2
_MADE_SHARE, _SENTENCE_SHARE = 0.5, 0.15
_LEFT_OUT = (0.05, 0.2, 0.35, 0.5)
_LONGEST = 400


class Draws:
    """Draws the pairs of a step; each step's depend on the seed and its number alone.

    Half of the questions are made ones (see `make_questions`), of which a few for each passage would soon be known by
    heart. The others are drawn anew each time: a stretch of words with some left out, some without their ending, now
    and then one from elsewhere, and the end of a question. In a sixth of the pairs a stretch of the passage asks for
    the rest of it. Two passages that nearly copy each other never stand in one step.
    """

    def __init__(
        self, tokenizer: Tokenizer, passages: Sequence[Passage], questions: Sequence[Question], seed: int
    ) -> None:
        encodings = _encoded(tokenizer, [passage.text for passage in passages])
        rows = [row for row, encoding in enumerate(encodings) if len(encoding.ids)]
        self._words = [_split(encodings[row]) for row in rows]
        self._passages = [np.asarray(encodings[row].ids, np.int64)[:_LONGEST] for row in rows]
        places = {passages[row].id: place for place, row in enumerate(rows)}
        self._made: dict[int, list[Tokens]] = defaultdict(list)
        asked = [question for question in questions if question.passage_ids[0] in places]
        for question, encoding in zip(asked, _encoded(tokenizer, [q.text for q in asked]), strict=True):
            if len(encoding.ids):
                self._made[places[question.passage_ids[0]]].append(np.asarray(encoding.ids, np.int64))
        self._ends = [
            np.asarray(e.ids, np.int64) for e in _encoded(tokenizer, [f"{e}?" for e in _ENDS[:-1].split("? ")])
        ]
        self._endings = _endings(tokenizer, self._words)
        table = minhash_signatures([passages[row].text for row in rows])
        self._copies = find_near_duplicates(table, table)
        self._seed = seed

    def pairs(self, step: int, *, size: int) -> tuple[list[Tokens], list[Tokens]]:
        """Draw the questions and the passages of a step, at most `size` of each."""
        rng = np.random.default_rng([self._seed, step])
        taken: set[int] = set()
        for place in rng.permutation(len(self._passages)).tolist():
            if len(taken) < size and taken.isdisjoint(self._copies[place].tolist()):
                taken.add(place)
        drawn = [self._pair(place, rng) for place in sorted(taken)]
        return [question for question, _ in drawn], [passage for _, passage in drawn]

    def _pair(self, place: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        words, passage = self._words[place], self._passages[place]
        length = int(rng.integers(4, 14))
        start = int(rng.integers(max(1, len(words) - length + 1)))
        stretch = words[start : start + length]
        chance = rng.random()
        if chance < _SENTENCE_SHARE and len(words) > 2 * length:
            rest = np.concatenate([*words[:start], *words[start + length :]])
            return np.concatenate(stretch), rest[:_LONGEST]
        made = self._made.get(place)
        if made and chance < _SENTENCE_SHARE + (1 - _SENTENCE_SHARE) * _MADE_SHARE:
            return made[int(rng.integers(len(made)))], passage
        return self._drawn(stretch, rng), passage

    def _drawn(self, stretch: Sequence[Tokens], rng: np.random.Generator) -> Tokens:
        left_out, answer = rng.choice(_LEFT_OUT), int(rng.integers(len(stretch)))
        gone = range(answer, answer + int(rng.integers(0, 4)))
        kept = [word for i, word in enumerate(stretch) if i not in gone and rng.random() >= left_out] or [stretch[0]]
        asked = [
            word[:-1] if len(word) > 1 and self._endings[word[-1]] and rng.random() < 0.3 else word for word in kept
        ]
        if rng.random() < 0.35:
            other = self._words[int(rng.integers(len(self._words)))]
            asked[int(rng.integers(len(asked)))] = other[int(rng.integers(len(other)))]
        if rng.random() < 0.85:
            asked.append(self._ends[int(rng.integers(len(self._ends)))])
        return np.concatenate(asked)


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Encoding]:
    return list(tokenizer.encode_batch([normalize(text) for text in texts], add_special_tokens=False))


def _split(encoding: Encoding) -> list[Tokens]:
    """Put the tokens of one word together."""
    numbers = np.array([-1 if number is None else number for number in encoding.word_ids])
    return np.split(np.asarray(encoding.ids, np.int64), np.flatnonzero(np.diff(numbers)) + 1)


def _endings(tokenizer: Tokenizer, texts: Sequence[Sequence[Tokens]]) -> NDArray[np.bool_]:
    """Take the most frequent short tokens that end a word of several for particles and endings."""
    counts = Counter(int(word[-1]) for words in texts for word in words if len(word) > 1)
    short = [
        (token, count)
        for token, count in counts.items()
        if len((tokenizer.id_to_token(token) or "").removeprefix("##")) <= _ENDING_LETTERS
    ]
    found = np.zeros(tokenizer.get_vocab_size(), bool)
    found[[token for token, _ in sorted(short, key=lambda item: (-item[1], item[0]))[:_ENDINGS]]] = True
    return found
