import doctest
import importlib
import pkgutil

import pytest

from llama_index_ko_rerank import retrieve


@pytest.mark.parametrize("module", [found.name for found in pkgutil.iter_modules(retrieve.__path__)])
def test_the_examples_in_the_documentation_are_true(module):
    assert doctest.testmod(importlib.import_module(f"{retrieve.__name__}.{module}")).failed == 0
