"""A WordPiece vocabulary learnt from the training texts, the same on every run."""

from __future__ import annotations

import logging
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_CONTINUES = "##"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularySettings:
    """How large a vocabulary grows.

    On 285,000 characters of KorQuAD `tune`, 2,000 to 4,000 merged pieces served held-out articles best: with more, a
    noun and its particle become one piece that no question shares.

    Attributes:
        characters_per_merge: One merged piece is learnt for so many characters of text.
        fewest_merges: Merged pieces learnt from little text.
        most_tokens: The largest vocabulary, single characters and special tokens included.
        least_frequency: How often a merged piece must stand in the text.
    """

    characters_per_merge: int = 120
    fewest_merges: int = 500
    most_tokens: int = 32_000
    least_frequency: int = 2


def learn_vocabulary(texts: Sequence[str], settings: VocabularySettings = VocabularySettings()) -> Tokenizer:
    """Learn a WordPiece tokenizer from texts: NFC, lower case, Hangul syllables whole.

    Every syllable of KS X 1001 and every ASCII character is a token, seen or not, so that ordinary Korean gives no
    unknown token. The vocabulary depends on the texts alone: the library's trainer numbers the continuing characters
    (``##가``) by the order of a hash map, and breaks ties by these numbers, so all of them are numbered before.

    Args:
        texts: What the model will be trained on; their order does not matter.
        settings: How large the vocabulary grows.

    Returns:
        A tokenizer with no special tokens added around a text, no truncation and no padding.
    """
    untrained = _tokenizer({})
    characters = _alphabet((untrained.normalizer.normalize_str(text) for text in texts), settings.most_tokens // 4)
    first_tokens = [*SPECIAL_TOKENS, *(token for c in characters for token in (c, _CONTINUES + c))]
    merges = max(settings.fewest_merges, sum(map(len, texts)) // settings.characters_per_merge)
    trainer = trainers.WordPieceTrainer(
        vocab_size=min(len(first_tokens) + merges, max(settings.most_tokens, len(first_tokens))),
        min_frequency=settings.least_frequency,
        special_tokens=first_tokens,
        continuing_subword_prefix=_CONTINUES,
        show_progress=False,
    )
    untrained.train_from_iterator(texts, trainer)
    # A fresh tokenizer leaves behind that the trainer took single characters for special tokens.
    return _tokenizer(untrained.get_vocab())


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab=vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=_CONTINUES, max_input_chars_per_word=100
        )
    )
    # strip_accents=False: left to its default, lower-casing decomposes Hangul into its letters (NFD).
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _alphabet(texts: Iterable[str], most: int) -> list[str]:
    """List the single characters that become tokens; of rare ones beyond `most`, the rarest are left out and logged."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    always = {*common_syllables(), *string.ascii_lowercase, *string.digits, *string.punctuation}
    others = sorted((c for c in counts if not c.isspace() and c not in always), key=lambda c: (-counts[c], c))
    room = max(0, most - len(always))
    if len(others) > room:
        left_out = sum(counts[c] for c in others[room:])
        _log.warning(
            "%d rare characters (%d of %d in the text) have no token and will be read as unknown",
            *(len(others) - room, left_out, counts.total()),
        )
    return sorted(always.union(others[:room]))


@cache
def common_syllables() -> tuple[str, ...]:
    """List the 2,350 Hangul syllables of KS X 1001, which ordinary Korean is written with.

    >>> len(common_syllables())
    2350
    """
    # Python's codec writes the other 8,822 syllables as a sequence of letters, eight bytes long.
    return tuple(c for c in map(chr, range(0xAC00, 0xD7A4)) if len(c.encode("euc_kr")) == 2)
