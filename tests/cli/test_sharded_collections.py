"""A collection of several shards under the commands that know one of a single index."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank import Collection
from llama_index_ko_rerank.app.components import open_components
from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.scale.ray.ingestion import make_shards
from llama_index_ko_rerank.store import build_index
from llama_index_ko_rerank.store.sharded import ShardedVectorStore, Shards, find_shards

QUESTION = "다올섬 가는 배에 자전거를 실을 수 있나요?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same passages as one index and as two shards."""
    base = tmp_path_factory.mktemp("모음")
    nodes = dataset_nodes(load_dataset("sample", "train"))
    model = KoreanEmbedding()
    build_index(nodes, index_folder(base / "하나"), embed_model=model)
    make_shards(Shards(base / "여럿", 2), embed_model=model)
    with ShardedVectorStore(base / "여럿") as store:
        for node, vector in zip(nodes, model.get_text_embedding_batch([n.text for n in nodes]), strict=True):
            node.embedding = vector
        store.add(nodes)
    for name in ("하나", "여럿"):
        write_settings(base / name, CollectionSettings("ko-static"))
    return base


def _invoke(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_search_and_explain_find_what_they_find_in_one_index(folders):
    for command in ("search", "explain"):
        one, many = (_invoke(command, folders / name, QUESTION) for name in ("하나", "여럿"))
        assert one.exit_code == many.exit_code == 0, many.output
        assert "다올섬 여객선 배편" in many.output
    assert "접이식" in str(Collection.open(folders / "여럿").query_engine().query(QUESTION))


def test_the_page_counts_all_shards(folders):
    one, many = (open_components(folders / name) for name in ("하나", "여럿"))
    assert (many.passages, many.documents) == (one.passages, one.documents)


def test_doctor_reads_each_shard(folders):
    done = _invoke("doctor", folders / "여럿", "--repair")
    assert done.exit_code == 0, done.output
    for place in find_shards(folders / "여럿").folders:
        assert place.name in done.output
    assert "nothing is damaged" in done.output


def test_the_local_engine_leaves_shards_alone(folders):
    before = Collection.open(folders / "여럿").count
    done = _invoke("index", folders / "여럿", "--data", "sample")
    assert isinstance(done.exception, InvalidSetting)
    assert "--engine ray" in str(done.exception)
    assert not index_folder(folders / "여럿").exists()
    assert Collection.open(folders / "여럿").count == before


def test_a_damaged_shard_is_named_by_doctor(folders, tmp_path):
    make_shards(Shards(tmp_path, 2), embed_model=KoreanEmbedding())
    write_settings(tmp_path, CollectionSettings("ko-static"))
    table = find_shards(tmp_path).folders[1] / "nodes.sqlite3"
    content = bytearray(table.read_bytes())
    content[:64] = bytes(64)
    table.write_bytes(content)
    done = _invoke("doctor", tmp_path)
    assert done.exit_code != 0
    assert "shard-0001" in done.output + str(done.exception)
