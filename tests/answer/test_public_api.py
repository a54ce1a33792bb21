from __future__ import annotations

import subprocess
import sys

import pytest

import llama_index_ko_rerank.answer as room


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, llama_index_ko_rerank.answer\n"
        "print(sorted({'torch', 'transformers', 'kiwipiepy', 'llama_index', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_no_other():
    assert all(getattr(room, name) for name in room.__all__)
    assert dir(room) == sorted(room.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        room.nothing  # noqa: B018
