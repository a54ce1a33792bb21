from __future__ import annotations

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.errors import InvalidSetting


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--llm", "http://127.0.0.1:9/v1"], "without --llm-model NAME"),
        (["--llm-model", "m"], "without --llm URL"),
        (["--llm", "nowhere", "--llm-model", "m"], "looks like http://localhost:11434/v1"),
        (["--llm", "http://127.0.0.1:9/v1", "--llm-model", "m", "--no-answer"], "leave one of them away"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_the_collection_is_opened(tmp_path, options, said):
    result = CliRunner().invoke(app, ["search", str(tmp_path / "nothing"), "점심은?", *options])
    assert isinstance(result.exception, InvalidSetting)
    assert said in str(result.exception)
