import dataclasses
import random
import sqlite3
from contextlib import closing

import pytest

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, IndexReadOnly
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.integrity import check_integrity, repair
from llama_index_ko_rerank.store.settings import IndexSettings


@pytest.fixture
def built(folder, make_node):
    identity = {"model_name": "m"}
    settings = IndexSettings(kind="ivf")
    with DurableFaissVectorStore(folder, embedding_identity=identity, index_settings=settings) as store:
        store.add([make_node(f"n{number}", (1.0, number), document=f"d{number % 3}") for number in range(30)])
        store.delete("d1")
    return folder


def change(folder, statement):
    with closing(sqlite3.connect(folder / "nodes.sqlite3", isolation_level=None)) as connection:
        connection.execute(statement)


def contents(folder):
    """All files but SQLite's shared memory, which holds nothing that lasts."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


def test_a_whole_index_has_no_problems(built):
    report = check_integrity(built)
    assert report.problems == ()
    assert (report.generation, report.node_count, report.vector_count, report.dimension) == (2, 20, 20, 2)
    assert (report.index_kind, report.vector_dtype, report.snapshot_state) == ("ivf", "float32", "current")
    assert report.snapshot_generation == 2
    assert report.embedding_identity == {"model_name": "m"}
    assert set(report.bytes_by_file) >= {"nodes.sqlite3", "vectors.2.faiss"}
    assert report.bytes_by_file["vectors.2.faiss"] == (built / "vectors.2.faiss").stat().st_size


def test_checking_changes_nothing(built):
    before = contents(built)
    check_integrity(built)
    assert contents(built) == before


def test_a_flat_index_needs_no_snapshot(folder, make_node):
    with DurableFaissVectorStore(folder) as store:
        store.add([make_node("a")])
    report = check_integrity(str(folder))
    assert (report.index_kind, report.snapshot_state, report.snapshot_generation) == ("flat", "missing", None)
    assert report.problems == ()
    assert repair(folder) == ("merged SQLite's log into the table",)


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (lambda folder: (folder / "vectors.2.faiss").unlink(), "missing"),
        (lambda folder: (folder / "vectors.2.faiss").write_bytes(b"x"), "damaged"),
        (lambda folder: change(folder, "UPDATE manifest SET generation = 3"), "stale"),
    ],
)
def test_a_snapshot_that_is_not_current_is_written_anew_by_repair(built, damage, state):
    damage(built)
    report = check_integrity(built)
    assert report.snapshot_state == state
    assert len(report.problems) == (state == "damaged")
    assert f"wrote the FAISS snapshot, which was {state}, from the table" in repair(built)
    assert check_integrity(built) == dataclasses.replace(check_integrity(built), snapshot_state="current", problems=())


def test_repair_deletes_what_interrupted_writes_have_left(built):
    (built / "vectors.1.faiss").write_bytes(b"old")
    (built / "vectors.3.faiss.x1y2.partial").write_bytes(b"half")
    (built / "나의 메모.txt").write_text("남는다", encoding="utf-8")
    done = repair(built)
    assert "deleted vectors.1.faiss, which nothing refers to" in done
    assert "deleted vectors.3.faiss.x1y2.partial, which nothing refers to" in done
    assert {file.name for file in built.iterdir()} == {"nodes.sqlite3", "vectors.2.faiss", "나의 메모.txt"}


def test_repair_gives_back_the_bytes_of_deleted_nodes(built, make_node):
    texts = random.Random(0)
    with DurableFaissVectorStore(built) as store:
        store.add([make_node(f"long{number}", text=texts.randbytes(20_000).hex()) for number in range(100)])
        store.persist()
        store.delete_nodes([f"long{number}" for number in range(1, 100)])
    before = (built / "nodes.sqlite3").stat().st_size
    assert any("of the table that nothing used" in line for line in repair(built))
    assert (built / "nodes.sqlite3").stat().st_size < 0.7 * before
    with DurableFaissVectorStore(built) as store:
        assert store.count == 21
    assert check_integrity(built).problems == ()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE nodes SET metadata = '{}' || ' ' WHERE id = 3", "the node 'n2' is not what was written"),
        ("UPDATE nodes SET content = x'00' WHERE id = 3", "the node 'n2' is not what was written"),
        ("UPDATE vectors SET vector = zeroblob(8) WHERE id = 3", "the vector of row 3"),
        ("DELETE FROM vectors WHERE id = 3", "1 nodes have no vector"),
        ("DELETE FROM nodes WHERE id = 3", "1 vectors belong to no node"),
        ("UPDATE manifest SET node_count = 99", "the manifest counts 99 nodes, and there are 20"),
    ],
)
def test_damage_of_the_table_is_said_and_never_repaired(built, statement, said):
    change(built, statement)
    (built / "vectors.1.faiss").write_bytes(b"old")
    assert any(said in problem for problem in check_integrity(built).problems)
    before = contents(built)
    done = repair(built)
    assert said in " ".join(done)
    assert "nothing was changed" in done[-1]
    assert contents(built) == before


def test_damage_of_sqlites_pages_is_said(built):
    file = built / "nodes.sqlite3"
    content = bytearray(file.read_bytes())
    for page in range(2, len(content) // 16384):
        content[page * 16384 + 3 : page * 16384 + 5] = b"\xff\xff"
    file.write_bytes(bytes(content))
    try:
        problems = check_integrity(built).problems
    except DamagedIndex as error:
        problems = (str(error),)
    assert problems


def test_many_problems_are_counted(built):
    change(built, "UPDATE nodes SET content_hash = zeroblob(32)")
    change(built, "DELETE FROM vectors WHERE id > 15")
    problems = check_integrity(built).problems
    assert len(problems) == 21
    assert problems[-1] == "and 1 more problems"


def test_an_index_that_cannot_be_written_is_checked_and_not_repaired(built, monkeypatch):
    monkeypatch.setattr("llama_index_ko_rerank.store.sqlite.table.is_writable", lambda folder: False)
    assert check_integrity(built).problems == ()
    with pytest.raises(IndexReadOnly, match="not repaired"):
        repair(built)


def test_there_is_nothing_to_check_where_nothing_was_built(tmp_path):
    for act in (check_integrity, repair):
        with pytest.raises(IndexNotFound):
            act(tmp_path)
