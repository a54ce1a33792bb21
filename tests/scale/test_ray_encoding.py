"""What a worker makes of files and passages, without Ray: the same as one process makes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset, dataset_nodes
from llama_index_ko_rerank.errors import DatasetUnavailable, MalformedData, MissingExtra
from llama_index_ko_rerank.extras import require_ray
from llama_index_ko_rerank.ingest.sync import create_empty_index, plan_sync, run_sync
from llama_index_ko_rerank.scale.ray.encoding import FileEncoder, PassageEncoder, file_item, open_passages
from llama_index_ko_rerank.scale.ray.ingestion import make_shards, plan_shards
from llama_index_ko_rerank.scale.ray.pipeline import ShardWriter, read_rows
from llama_index_ko_rerank.store import build_index
from llama_index_ko_rerank.store.sharded import Shards
from tests.scale.index_contents import check_equal, contents


class LetterEmbedding(BaseEmbedding):
    """Counts letters; a text of nothing else has no vector."""

    model_name: str = "letters"

    def _get_text_embedding(self, text):
        return [float(text.count(letter)) for letter in "다한을 0123456789"]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.fixture
def model():
    return LetterEmbedding()


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "문서"
    folder.mkdir()
    for number in range(9):
        text = f"# 제{number}장\n{number}일 안에 신청을 한다. " + "그 밖의 일은 따로 정한다. " * (40 * (number % 3))
        (folder / f"{number}.md").write_text(text, encoding="utf-8")
    (folder / "깨짐.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "zz.txt").write_text("ㅋㅋ", encoding="utf-8")
    return folder


def _batch(items):
    return {name: np.array([item[name] for item in items], dtype=object) for name in items[0]}


def test_files_become_the_nodes_and_vectors_of_one_process(docs, tmp_path, model):
    create_empty_index(tmp_path / "하나" / "index", embed_model=model)
    one = plan_sync(tmp_path / "하나" / "index", [docs], embed_model=model)
    report = run_sync(one, embed_model=model)

    plan = plan_shards(tmp_path / "여럿", [docs], embed_model=model, shards=2)
    make_shards(plan.shards, embed_model=model)
    encode = FileEncoder(model, chunk_tokens=None, max_bytes=plan.whole.max_bytes)
    items = [file_item(planned, plan.shards.of(planned.document_id)) for planned in plan.whole.to_read]
    encoded = encode(_batch(items))

    failed = {name for name, outcome in zip(encoded["name"], encoded["outcome"], strict=True) if outcome == "failed"}
    assert failed == {str(refusal.path) for refusal in report.failed}
    assert len(failed) == 2
    _write(plan.shards, encoded)
    shards = [contents(folder) for folder in plan.shards.folders]
    assert all(shards)
    check_equal(shards[0] | shards[1], contents(tmp_path / "하나" / "index"))

    again = plan_shards(tmp_path / "여럿", [docs], embed_model=model)
    assert (again.whole.unchanged, len(again.whole.to_read)) == (9, 2)


def test_writing_a_batch_twice_is_writing_it_once(docs, tmp_path, model):
    plan = plan_shards(tmp_path / "모음", [docs], embed_model=model, shards=1)
    make_shards(plan.shards, embed_model=model)
    encode = FileEncoder(model, chunk_tokens=None, max_bytes=plan.whole.max_bytes)
    encoded = encode(_batch([file_item(planned, 0) for planned in plan.whole.to_read]))
    _write(plan.shards, encoded)
    once = contents(plan.shards.folders[0])
    _write(plan.shards, encoded)
    check_equal(contents(plan.shards.folders[0]), once)


def test_passages_become_the_nodes_of_one_process(tmp_path, model):
    passages = tuple(Passage(f"p{number}", f"{number}일 안에 신청을 한다.", "규정") for number in range(20))
    build_index(dataset_nodes(RetrievalDataset("", "", passages, ())), tmp_path / "index", embed_model=model)
    shards = Shards(tmp_path / "모음", 2)
    make_shards(shards, embed_model=model)
    encode = PassageEncoder(model, writers=[None, None], resumes=False)
    blank = Passage("blank", "   ", "")
    rows = [{"id": each.id, "text": each.text, "title": each.title} for each in (*passages, blank)]
    encoded = encode(_batch(rows))
    assert encoded["outcome"].count("added") == 20
    assert encoded["outcome"].count("failed") == 1
    _write(shards, encoded)
    check_equal(contents(shards.folders[0]) | contents(shards.folders[1]), contents(tmp_path / "index"))


def test_a_parquet_file_is_read_by_its_columns(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": ["a"], "text": ["글"], "title": [""]}), tmp_path / "a.parquet")
    assert open_passages(f"parquet:{tmp_path / 'a.parquet'}").count == 1
    assert open_passages(f"parquet:{tmp_path}").digest == open_passages(f"parquet:{tmp_path / 'a.parquet'}").digest
    parquet.write_table(pyarrow.table({"id": ["a"], "body": ["글"]}), tmp_path / "b.parquet")
    with pytest.raises(MalformedData, match="no column 'text'"):
        open_passages(f"parquet:{tmp_path}")
    with pytest.raises(DatasetUnavailable):
        open_passages(f"parquet:{tmp_path / 'c.parquet'}")


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtra, match=r"llama-index-ko-rerank\[ray\]"):
        require_ray()


def _write(shards, encoded):
    for number, folder in enumerate(shards.folders):
        places = [
            place
            for place, (shard, outcome) in enumerate(zip(encoded["shard"], encoded["outcome"], strict=True))
            if shard == number and outcome == "added"
        ]
        writer = ShardWriter(str(folder), {"class_name": "base_component", "model_name": "letters", "dimension": None})
        content = [(encoded["document_id"][p], encoded["rows"][p], encoded["vectors"][p]) for p in places]
        assert writer.write(content) == len([row for _, rows, _ in content for row in read_rows(rows)])
        writer.finish()
