import subprocess
import sys

import pytest

import llama_index_ko_rerank.train as train


def test_importing_the_room_loads_no_model_library():
    code = "import sys, llama_index_ko_rerank.train; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert found.strip() == "[]"


def test_every_public_name_resolves():
    assert all(getattr(train, name) is not None for name in train.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'train_nothing'"):
        _ = train.train_nothing
