import random
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.train.models.scratch import VocabularySettings, common_syllables, learn_vocabulary

TEXTS = [
    f"{index}은 아침 {hour}시에 문을 연다. 무엇을 언제 여는가?"
    for hour, index in enumerate(["시장", "극장", "온천"] * 20)
]
DIGEST = (
    "import hashlib\n"
    "from llama_index_ko_rerank.train.models.scratch import learn_vocabulary\n"
    f"vocabulary = learn_vocabulary({TEXTS!r}).get_vocab()\n"
    "print(hashlib.sha256(repr(sorted(vocabulary.items())).encode()).hexdigest())"
)


@pytest.fixture(scope="module")
def tokenizer():
    return learn_vocabulary(TEXTS)


def test_the_order_of_the_texts_does_not_change_the_vocabulary(tokenizer):
    shuffled = random.Random(1).sample(TEXTS, len(TEXTS))

    assert learn_vocabulary(shuffled).get_vocab() == tokenizer.get_vocab()


def test_another_process_learns_the_same_vocabulary():
    digests = {
        subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }

    assert len(digests) == 1


def test_decomposed_hangul_gives_the_tokens_of_composed_hangul(tokenizer):
    composed = "시장은 언제 여는가"

    assert tokenizer.encode(unicodedata.normalize("NFD", composed)).tokens == tokenizer.encode(composed).tokens


def test_lower_casing_leaves_hangul_and_accents_whole(tokenizer):
    assert tokenizer.encode("ABC").tokens == tokenizer.encode("abc").tokens
    assert "".join(tokenizer.encode("뷔페").tokens).replace("##", "") == "뷔페"


@given(st.text(alphabet=st.sampled_from(common_syllables()), min_size=1, max_size=12))
def test_ordinary_hangul_is_never_unknown(word):
    assert "[UNK]" not in _tokenizer().encode(word).tokens


def test_words_of_the_texts_become_pieces_of_their_own(tokenizer):
    assert tokenizer.encode("극장은").tokens == ["극장", "##은"] or tokenizer.encode("극장은").tokens == ["극장은"]


def test_no_special_tokens_are_put_around_a_text(tokenizer):
    assert "[CLS]" not in tokenizer.encode("시장").tokens


def test_single_characters_are_plain_tokens_of_a_text(tokenizer):
    # The trainer was told of them as special tokens, which would be cut out of running text.
    assert tokenizer.encode("언제").tokens == tokenizer.encode(" 언제 ").tokens
    assert not tokenizer.get_added_tokens_decoder()


def test_a_bound_on_the_vocabulary_holds():
    settings = VocabularySettings(most_tokens=5_200, characters_per_merge=1)

    assert learn_vocabulary(TEXTS, settings).get_vocab_size() <= 5_200


def test_characters_beyond_the_bound_are_counted_in_the_log(caplog):
    rare = "".join(chr(0x4E00 + index) for index in range(400))

    learn_vocabulary([*TEXTS, rare], VocabularySettings(most_tokens=10_000))

    assert "rare characters" in caplog.text


def _tokenizer(made=[]):  # noqa: B006  one tokenizer for all of hypothesis' examples
    if not made:
        made.append(learn_vocabulary(TEXTS))
    return made[0]
