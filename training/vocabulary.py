"""A WordPiece vocabulary whose pieces are morphemes, so that a noun and its particle are two tokens.

Pieces learnt from spaced words alone join a noun with its particle, and a question and its passage share no token.
Here Kiwi divides a sample of the texts, and what it takes for one morpheme, or one run of endings, becomes a piece; the
model itself needs no Kiwi. Names that the texts do not hold fall into their syllables.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from llama_index_ko_rerank.text.kiwi import get_kiwi
from llama_index_ko_rerank.text.normalize import normalize
from llama_index_ko_rerank.train.models.scratch import SPECIAL_TOKENS, UNKNOWN, common_syllables

CONTINUES = "##"
_TAIL = ("J", "E", "XSV", "XSA", "VCP", "VCN")
_NOUN = ("NNG", "NNP", "XR", "SL", "XPN", "XSN")
_RARE_CHARACTERS = 700
_NAME_PARTS = 2500


def shipped_tokenizer(texts: Iterable[str], *, size: int) -> tuple[Tokenizer, list[str]]:
    """Build the tokenizer from a sample of texts.

    Returns:
        The tokenizer, and those of its pieces that are particles and endings.
    """
    pieces, tails, name_parts, characters = _counts(texts)
    tokens = dict.fromkeys(_first_tokens(characters))
    room = size - len(tokens)
    for piece, _ in _by_count(name_parts)[: min(_NAME_PARTS, room // 4)]:
        tokens.setdefault(piece)
    for piece, _ in _by_count(pieces):
        if len(tokens) >= size:
            break
        tokens.setdefault(piece)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    endings = [piece for piece, count in _by_count(tails) if piece in vocabulary and count > pieces[piece] / 2]
    return _tokenizer(vocabulary), endings


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _first_tokens(characters: Counter[str]) -> Iterator[str]:
    yield from SPECIAL_TOKENS
    always = [*string.ascii_lowercase, *string.digits, *common_syllables()]
    for character in always:
        yield character
        yield CONTINUES + character
    yield from string.punctuation
    others = (c for c, _ in _by_count(characters) if not c.isspace() and c not in set(always))
    yield from (c for c, _ in zip(others, range(_RARE_CHARACTERS), strict=False))
    for number in range(100):
        yield from (str(number), f"{CONTINUES}{number}", f"{number:02}", f"{CONTINUES}{number:02}")
    yield from map(str, range(1800, 2040))


def _counts(texts: Iterable[str]) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    pieces: Counter[str] = Counter()
    tails: Counter[str] = Counter()
    nouns: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    read: list[str] = []

    def lower() -> Iterator[str]:
        for text in texts:
            read.append(normalize(text).lower())
            yield read[-1]

    for tokens in get_kiwi().tokenize(lower()):
        text = read.pop(0)
        characters.update(text)
        for start, end, is_tail, tag in _runs(tokens):
            surface = text[start:end]
            if not surface or not surface.isalpha():
                continue
            is_main_process = start == 0 or not text[start - 1].isalpha()
            piece = surface if is_main_process else CONTINUES + surface
            pieces[piece] += 1
            if is_tail:
                tails[piece] += 1
            elif tag in _NOUN:
                nouns[piece] += 1
    return pieces, tails, _name_parts(nouns), characters


def _runs(tokens: Sequence[object]) -> Iterator[tuple[int, int, bool, str]]:
    """Give morphemes as stretches of text; endings in a row are one, and so are morphemes that share a syllable."""
    found: list[list[object]] = []
    for token in tokens:
        start, end, tag = token.start, token.end, str(token.tag).split("-")[0]  # type: ignore[attr-defined]
        is_tail = tag.startswith(_TAIL)
        if found and (start < found[-1][1] or (is_tail and found[-1][2] and start == found[-1][1])):  # type: ignore[operator]
            found[-1][1] = max(end, found[-1][1])  # type: ignore[call-overload]
        else:
            found.append([start, end, is_tail, tag])
    return iter([tuple(run) for run in found])  # type: ignore[misc]


def _name_parts(nouns: Counter[str]) -> Counter[str]:
    """Count two syllables that stand together inside nouns: what names are made of."""
    parts: Counter[str] = Counter()
    for noun, count in nouns.items():
        bare = noun.removeprefix(CONTINUES)
        weight = min(count, 20)
        for place in range(len(bare) - 1):
            if len(bare) > 2 and all("가" <= c <= "힣" for c in bare[place : place + 2]):
                is_main_process = place == 0 and bare is noun
                parts[("" if is_main_process else CONTINUES) + bare[place : place + 2]] += weight
    return parts


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    model = models.WordPiece(
        vocab=vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES, max_input_chars_per_word=100
    )
    tokenizer = Tokenizer(model)
    # strip_accents=False: left to its default, lower-casing decomposes Hangul into its letters (NFD).
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True),
        ]
    )
    digits = pre_tokenizers.Digits(individual_digits=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), digits])
    return tokenizer
