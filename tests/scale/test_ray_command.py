"""What `ko-rerank index --engine ray` refuses before any work."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.errors import IndexExists, InvalidSetting


@pytest.fixture
def run(tmp_path):
    (tmp_path / "글.txt").write_text("휴가는 열다섯 날이다.", encoding="utf-8")
    return lambda *options: CliRunner().invoke(app, ["index", str(tmp_path / "모음"), *options])


def test_shards_and_address_need_the_engine(run, tmp_path):
    for options in (["--shards", "2"], ["--address", "auto"]):
        done = run("--source", str(tmp_path / "글.txt"), *options)
        assert isinstance(done.exception, InvalidSetting)
        assert "--engine ray" in str(done.exception)


def test_a_collection_of_one_index_is_not_sharded(run, tmp_path):
    (tmp_path / "모음" / "index").mkdir(parents=True)
    done = run("--source", str(tmp_path / "글.txt"), "--engine", "ray")
    assert isinstance(done.exception, IndexExists)
