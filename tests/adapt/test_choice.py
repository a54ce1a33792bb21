"""Which embedding stays."""

from __future__ import annotations

import numpy as np
import pytest

from llama_index_ko_rerank.adapt import AdaptSettings
from llama_index_ko_rerank.adapt.inputs import held_out_share
from llama_index_ko_rerank.adapt.models import BASE, TRAINED, WORDS, choose, ndcg_at_10
from llama_index_ko_rerank.data import Passage, Question
from llama_index_ko_rerank.errors import InvalidSetting

LOW, MIDDLE, HIGH = np.full(40, 0.2), np.full(40, 0.5), np.full(40, 0.9)
NOISY = MIDDLE + np.where(np.arange(40) % 2, 0.3, -0.28)


def test_what_gains_for_certain_stays():
    assert choose({BASE: LOW, WORDS: MIDDLE, TRAINED: HIGH}, seed=0)[0] == TRAINED
    assert choose({BASE: LOW, TRAINED: HIGH}, seed=0)[0] == TRAINED


def test_a_gain_that_is_not_certain_leaves_the_base():
    kept, gains = choose({BASE: MIDDLE, WORDS: NOISY, TRAINED: NOISY}, seed=0)
    assert kept == BASE
    value, low, high = gains["trained less base"]
    assert value == pytest.approx(0.01)
    assert low < 0 < high


def test_training_that_loses_for_certain_goes():
    assert choose({BASE: LOW, WORDS: HIGH, TRAINED: MIDDLE}, seed=0)[0] == WORDS
    assert choose({WORDS: HIGH, TRAINED: MIDDLE}, seed=0)[0] == WORDS


class _ByLength:
    """Embeds a text by whether it is long: texts of one kind tie."""

    def get_text_embedding_batch(self, texts):
        return [[1.0, 0.0] if len(text) > 3 else [0.0, 1.0] for text in texts]

    def get_query_embedding(self, text):
        return self.get_text_embedding_batch([text])[0]


def test_a_tie_counts_against_the_embedding():
    passages = [Passage("a", "긴 글이다"), Passage("b", "긴 글이네"), Passage("c", "짧다")]
    questions = [Question("1", "긴 것은 무엇?", ("a",)), Question("2", "짧", ("c",))]
    values = ndcg_at_10(_ByLength(), passages, questions)
    assert values.tolist() == pytest.approx([1 / np.log2(3), 1.0])


def test_a_fifth_of_few_passages_and_a_tenth_of_many_are_held_out():
    assert held_out_share(100) == 0.2
    assert held_out_share(800) == 0.125
    assert held_out_share(100_000) == 0.1


def test_settings_out_of_range_are_refused():
    with pytest.raises(InvalidSetting, match="steps must be 1 or more, not 0"):
        AdaptSettings(steps=0)
