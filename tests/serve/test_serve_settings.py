from __future__ import annotations

import doctest
import math
import socket
import subprocess
import sys

import pytest

from llama_index_ko_rerank import extras
from llama_index_ko_rerank.errors import InvalidSetting, MissingExtra
from llama_index_ko_rerank.serve import errors as failures
from llama_index_ko_rerank.serve import models, server
from llama_index_ko_rerank.serve.settings import ServerSettings


@pytest.mark.parametrize(
    "settings",
    [
        {"max_payload_bytes": 0},
        {"max_texts": 0},
        {"max_text_characters": -1},
        {"max_concurrent": 0},
        {"max_waiting": -1},
        {"max_wait_s": 0},
        {"max_wait_s": math.inf},
        {"dtype": "float64"},
        {"api_key": "short"},
        {"api_key": "with a space in it"},
        {"api_key": "비밀번호는스무글자가넘어야하나요"},
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(settings):
    with pytest.raises(InvalidSetting):
        ServerSettings(**settings)


def test_the_key_is_not_shown_with_the_settings():
    assert "0123456789abcdef" not in repr(ServerSettings(api_key="0123456789abcdef"))


def test_a_taken_port_is_refused_before_a_model_is_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidSetting, match="cannot be listened at"):
            server.run_server(ServerSettings(rerank_model="no/such-model"), port=taken.getsockname()[1])


def test_a_port_that_is_none_and_an_address_of_another_machine_are_refused():
    with pytest.raises(InvalidSetting, match="0-65535"):
        server.run_server(ServerSettings(), port=70_000)
    with pytest.raises(InvalidSetting):
        server.run_server(ServerSettings(), host="192.0.2.1", port=0)


def test_the_room_and_its_settings_load_nothing_heavy():
    heavy = ("torch", "transformers", "llama_index.core", "fastapi", "uvicorn")
    code = f"""
import sys
from llama_index_ko_rerank.serve import ServerSettings
ServerSettings()
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"uvicorn: pip install 'llama-index-ko-rerank\[serve\]'"):
        extras.require_serve()


@pytest.mark.parametrize("module", [failures, models])
def test_the_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def test_a_folder_is_called_by_its_last_part(tmp_path):
    folder = tmp_path / "우리 모형"
    folder.mkdir()
    assert models.public_name(str(folder)) == "우리 모형"
