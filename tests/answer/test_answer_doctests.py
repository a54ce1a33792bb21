from __future__ import annotations

import doctest

import pytest

from llama_index_ko_rerank.answer import citations, follow_up, prompts, sentence_scores


@pytest.mark.parametrize("module", [citations, follow_up, prompts, sentence_scores])
def test_the_examples_in_the_docstrings_are_true(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
