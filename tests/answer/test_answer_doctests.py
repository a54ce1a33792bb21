from __future__ import annotations

import doctest

import pytest

from llama_index_ko_rerank.answer import citation_guard, condense, extractive, prompts


@pytest.mark.parametrize("module", [citation_guard, condense, extractive, prompts])
def test_the_examples_in_the_docstrings_are_true(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
