"""Sentences cut into clauses that can be asked about one by one, each with its subject."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llama_index_ko_rerank.train.synthesis.inflection import is_declarative, is_past, join_strength, with_particle
from llama_index_ko_rerank.train.synthesis.nouns import ASKING, POINTING, POINTING_NOUNS, SENTENCE_ADVERBS
from llama_index_ko_rerank.train.synthesis.parsing import Sentence, Word

LONGEST_CLAUSE = 62
_SUBJECT = frozenset(["이", "가", "께서", "은", "는"])
_TOPIC = frozenset(["은", "는"])
_HE = frozenset(["그", "그녀"])
_HANGING = frozenset(
    ["동안", "사이", "가운데", "결과", "반면", "한편", "대신", "밖", "직후", "직전", "이래", "경우", "때"]
)
_LEFT_OVER = re.compile(
    r"제\d+(?:조|항|호|목|장|절)|각 ?호|별표|별지|서식|[↔→=<>{}\[\]|\\@#$^~]|::|\(|\)|http|&|;|^\W|-(?: |$)"
)
_QUOTE_PAIRS = ("“”", "‘’", "「」", "『』", "《》", "〈〉")
_NO_PARTICLE_AFTER = frozenset(["JX", "JKO", "JKS", "EC", "EF"])
_OPENERS = ("MAJ", "IC")


@dataclass(frozen=True, slots=True)
class Clause:
    """Words that end in a predicate.

    Attributes:
        words: The words, the predicate last.
        past: Whether the predicate is past, by its own mark or by that of the clause it is joined to.
    """

    words: tuple[Word, ...]
    past: bool

    @property
    def predicate(self) -> Word:
        """The last word."""
        return self.words[-1]

    @property
    def length(self) -> int:
        """Its characters, spaces counted."""
        return sum(len(word.text) for word in self.words) + len(self.words) - 1


def synthetic_word(noun: str, particle: str) -> Word:
    """Make a nominal word that no passage holds."""
    return Word(with_particle(noun, particle), noun, with_particle(noun, particle)[len(noun) :], True)


def clauses_of(sentence: Sentence, *, title: str, title_acts: bool) -> list[Clause]:
    """Cut a sentence into clauses, shorter first, then longer ones made of neighbours.

    A clause that lost its subject to an earlier one gets the sentence's topic; one that never had a subject gets the
    title, where the title acts in the passage; 그 and 그녀 become the title. Clauses that point at what stands
    elsewhere (이를, 해당, 다음 각 호) are left out.

    Args:
        sentence: The words of the sentence.
        title: What the document is about; may be empty.
        title_acts: Whether the passage has the title as a subject, so that a dropped subject is probably it.
    """
    words = _opened(_named(sentence, title))
    if len(words) < 3 or not is_declarative(words[-1]) or is_damaged(words):
        return []
    cuts = _cuts(words)
    past = is_past(words[-1])
    found: dict[tuple[str, ...], Clause] = {}
    for last, stop in enumerate(cuts):
        for first in range(last, max(-1, last - 2), -1):
            start = cuts[first - 1] if first else 0
            own = tuple(words[start:stop])
            whole = own if _has_subject(own) or start == 0 else (*_topic(words[:start]), *own)
            if title_acts and not _has_subject(whole) and title not in " ".join(word.text for word in own):
                whole = (synthetic_word(title, "은"), *whole)
            clause = Clause(whole, past)
            is_whole = len(own) >= 2 and not is_verbal(own[0]) and _is_balanced(whole)
            if is_whole and clause.length <= LONGEST_CLAUSE and not points_elsewhere(whole):
                found.setdefault(tuple(word.text for word in whole), clause)
    return list(found.values())


def is_damaged(words: Sequence[Word]) -> bool:
    """Say whether a sentence lost words when its markup was taken out, or holds what nobody would ask aloud."""
    text = " ".join(word.text for word in words)
    if _LEFT_OVER.search(text):
        return True
    for word in words:
        tags = word.tags
        if not tags or tags[0].startswith(("J", "E", "XS", "VCP")):
            return True
        if any(a in _NO_PARTICLE_AFTER and b.startswith("JK") for a, b in pairwise(tags)):
            return True
    return False


def _named(sentence: Sentence, title: str) -> list[Word]:
    """Put the title where 그 or 그녀 stands for it."""
    if not title:
        return list(sentence)
    return [
        synthetic_word(title, word.particle)
        if word.is_nominal and word.noun in _HE and word.particle and word.tags[0] == "NP"
        else word
        for word in sentence
    ]


def _opened(words: list[Word]) -> list[Word]:
    """Take off what ties a sentence to the one before it."""
    start = 0
    while start < len(words) - 2 and start < 3 and _opens(words[start]):
        start += 1
    return [word for word in words[start:] if word.tags[:1] != ("MAJ",)]


def _opens(word: Word) -> bool:
    return word.text in SENTENCE_ADVERBS or (bool(word.tags) and word.tags[0] in _OPENERS)


def _cuts(words: Sequence[Word]) -> list[int]:
    """Find where clauses end, as the place after the last word of each."""
    cuts = []
    for place, word in enumerate(words[:-1]):
        after = words[place + 1].tags
        strength = join_strength(word)
        goes_on = bool(after) and (after[0] == "VX" or (strength == "loose" and after[0] in ("VV", "VA")))
        if strength != "none" and not goes_on and words[place + 1].noun not in ("있어", "있어서"):
            cuts.append(place + 1)
    return [*cuts, len(words)]


def _topic(words: Sequence[Word]) -> tuple[Word, ...]:
    """Take the first topic of a sentence, or its first subject, with the bare nouns and 의-words before it."""
    for wanted in (_TOPIC, _SUBJECT):
        for place, word in enumerate(words[:8]):
            if word.is_nominal and word.particle in wanted:
                start = place
                while start and words[start - 1].is_nominal and words[start - 1].particle in ("", "의"):
                    start -= 1
                blocked = start and _ends_before_noun(words[start - 1])
                return () if blocked else tuple(words[start : place + 1])
    return ()


def is_verbal(word: Word) -> bool:
    """Say whether a word is a predicate of some kind: of a clause, before a noun, or made a noun."""
    return any(tag.startswith(("V", "XSV", "XSA")) for tag in word.tags)


def _is_balanced(words: Sequence[Word]) -> bool:
    """Say whether every quotation that is opened is closed."""
    text = " ".join(word.text for word in words)
    pairs = all(text.count(pair[0]) == text.count(pair[1]) for pair in _QUOTE_PAIRS)
    return pairs and text.count('"') % 2 == 0 and text.count("'") % 2 == 0


def _ends_before_noun(word: Word) -> bool:
    return bool(word.tags) and word.tags[-1] in ("ETM", "MM", "JC")


def _has_subject(words: Sequence[Word]) -> bool:
    return any(word.is_nominal and word.particle in _SUBJECT for word in words)


def points_elsewhere(words: Sequence[Word]) -> bool:
    """Say whether a clause points at something outside it."""
    for word in words:
        if (
            word.text in POINTING
            or word.noun in ASKING
            or word.text in ASKING
            or (word.is_nominal and word.noun in POINTING_NOUNS)
        ):
            return True
        if word.morphemes and word.morphemes[0].form in ("그러하", "이러하"):
            return True
        if word.tags and word.tags[0] == "NP" and word.morphemes[0].form in POINTING_NOUNS:
            return True
    first = words[0]
    return first.text in SENTENCE_ADVERBS or first.noun in _HANGING or first.tags[:1] == ("NNB",)
