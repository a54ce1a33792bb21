"""Indexing on a real Ray cluster of two workers: nothing lost, nothing twice, and the same as in one process."""

from __future__ import annotations

import os
import signal

import pytest

from llama_index_ko_rerank.collection import Collection
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.errors import DuplicateNodeId, IndexExists
from llama_index_ko_rerank.ingest.sync import create_empty_index, plan_sync, run_sync
from llama_index_ko_rerank.scale import (
    ingest_files,
    ingest_passages,
    open_passages,
    plan_shards,
)
from llama_index_ko_rerank.store import build_index
from llama_index_ko_rerank.store.sharded import ShardedVectorStore
from tests.scale.index_contents import check_equal, contents

pytestmark = pytest.mark.slow

FILES = 640


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "문서"
    folder.mkdir()
    for number in range(FILES):
        rest = "그 밖의 일은 사장이 따로 정한다. " * (10 * (number % 40))
        text = f"제{number}조 휴가 신청은 {number}일 안에 한다. {rest}"
        (folder / f"{number:03}.txt").write_text(text, encoding="utf-8")
    return folder


def _kill(word):
    """Kill a process of this cluster by force, and say whether there was one."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        if word in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return True
    return False


def test_a_worker_and_a_writer_killed_in_the_middle_lose_and_repeat_nothing(cluster, docs, tmp_path, model):
    create_empty_index(tmp_path / "하나" / "index", embed_model=model)
    run_sync(plan_sync(tmp_path / "하나" / "index", [docs], embed_model=model), embed_model=model)
    plan = plan_shards(tmp_path / "여럿", [docs], embed_model=model, shards=2)
    killed = []

    def kill(report):
        if not killed:
            assert report.files_done < FILES
            killed.extend([_kill("FileEncoder"), _kill("ShardWriter")])

    report = ingest_files(plan, embed_model=model, workers=2, on_progress=kill)
    assert killed == [True, True]
    assert (report.added, report.failed, report.files_done) == (FILES, [], FILES)
    check_equal(contents(*plan.shards.folders), contents(tmp_path / "하나" / "index"))

    (docs / "000.txt").unlink()
    (docs / "001.txt").write_text("제1조 고쳐 쓴 조문이다.", encoding="utf-8")
    again = plan_shards(tmp_path / "여럿", [docs], embed_model=model)
    report = ingest_files(again, embed_model=model, workers=2)
    assert (report.added, report.changed, report.deleted, report.unchanged) == (0, 1, 1, FILES - 2)
    run_sync(plan_sync(tmp_path / "하나" / "index", [docs], embed_model=model), embed_model=model)
    check_equal(contents(*plan.shards.folders), contents(tmp_path / "하나" / "index"))


def test_a_data_set_is_indexed_once_and_searched_as_one(cluster, tmp_path, model):
    from llama_index_ko_rerank.collection import CollectionSettings, write_settings

    build_index(dataset_nodes(load_dataset("sample")), tmp_path / "하나" / "index", embed_model=model)
    folder = tmp_path / "여럿"
    source = open_passages("sample")
    report = ingest_passages(folder, source, embed_model=model, shards=2, workers=2)
    assert report.added == source.count
    with ShardedVectorStore(folder) as store:
        before = [shard.generation for shard in store.client]
    report = ingest_passages(folder, source, embed_model=model, workers=2)
    assert (report.added, report.changed, report.unchanged) == (0, 0, source.count)
    with ShardedVectorStore(folder) as store:
        assert [shard.generation for shard in store.client] == before
    check_equal(contents(folder / "shard-0000", folder / "shard-0001"), contents(tmp_path / "하나" / "index"))

    for each in ("하나", "여럿"):
        write_settings(tmp_path / each, CollectionSettings("ko-static", ranker=None))
    one, many = Collection.open(tmp_path / "하나"), Collection.open(folder)
    for question in load_dataset("sample").questions[:20]:
        found = [[hit.score for hit in each.retriever().retrieve(question.text)] for each in (one, many)]
        assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_other_passages_and_repeated_ids_are_refused(cluster, tmp_path, model):
    import pyarrow
    from pyarrow import parquet

    rows = {"id": ["a", "b", "b"], "text": ["첫 글이다.", "둘째 글이다.", "셋째 글이다."], "title": ["", "", ""]}
    for number, ids in enumerate((["a", "b", "c"], ["a", "b", "b"])):
        parquet.write_table(pyarrow.table(rows | {"id": ids}), tmp_path / f"{number}.parquet")
    good, bad = (open_passages(f"parquet:{tmp_path / f'{number}.parquet'}") for number in (0, 1))
    assert ingest_passages(tmp_path / "모음", good, embed_model=model, workers=1).added == 3
    with pytest.raises(IndexExists, match="holds other documents"):
        ingest_passages(tmp_path / "모음", bad, embed_model=model, workers=1)
    with pytest.raises(DuplicateNodeId):
        ingest_passages(tmp_path / "모음", bad, embed_model=model, workers=1, overwrite=True)


def test_the_command_indexes_files_into_shards(cluster, docs, tmp_path):
    from typer.testing import CliRunner

    from llama_index_ko_rerank.cli import app

    for path in sorted(docs.iterdir())[20:]:
        path.unlink()
    arguments = ["index", str(tmp_path / "모음"), "--source", str(docs), "--engine", "ray", "--shards", "2"]
    first, again = (CliRunner().invoke(app, arguments) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    assert "added 20, changed 0, unchanged 0" in first.output
    assert "added 0, changed 0, unchanged 20" in again.output
    found = Collection.open(tmp_path / "모음").retriever().retrieve("제7조 휴가 신청은 며칠 안에 하나요?")
    assert found[0].node.get_content().startswith("제7조")
