"""Indexes of the first release, made by its own statements, open and become this release's."""

import json
import sqlite3

import numpy as np
import pytest

from llama_index_ko_rerank.errors import DamagedIndex, DiskFull, IndexReadOnly
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.integrity import check_integrity, repair
from llama_index_ko_rerank.store.sqlite.rows import to_rows
from llama_index_ko_rerank.store.sqlite.table import migrate

VERSION_1 = (
    """CREATE TABLE nodes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL UNIQUE, ref_doc_id TEXT, kind TEXT NOT NULL,
        text TEXT NOT NULL, metadata TEXT NOT NULL, body TEXT NOT NULL, content_hash TEXT NOT NULL)""",
    "CREATE INDEX nodes_by_document ON nodes (ref_doc_id)",
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    "CREATE TABLE deleted_nodes (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL)",
    """CREATE TABLE manifest (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), generation INTEGER NOT NULL, node_count INTEGER NOT NULL,
        dimension INTEGER, normalisation TEXT NOT NULL, embedding_identity TEXT, settings TEXT NOT NULL,
        complete INTEGER NOT NULL, log_starts_at INTEGER NOT NULL, snapshot_generation INTEGER,
        snapshot_sha256 TEXT)""",
)
COUNT = 1500


@pytest.fixture
def nodes(make_node):
    return [
        make_node(
            f"n{number}",
            (1.0, number / COUNT),
            text=f"{number}번째 글\u0000 {'가' * (number % 50)}",
            document=f"문서 {number % 9}",
            metadata={"쪽": number},
        )
        for number in range(COUNT)
    ]


@pytest.fixture
def version_1(folder, nodes):
    """An index at generation 3 with a snapshot, whose last node was deleted."""
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "nodes.sqlite3", isolation_level=None)
    connection.execute("PRAGMA page_size=16384")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN")
    for statement in VERSION_1:
        connection.execute(statement)
    for row_id, (row, node) in enumerate(zip(to_rows(nodes), nodes, strict=True), start=1):
        values = (row_id, row.node_id, row.ref_doc_id, row.kind, row.text, row.metadata, row.body, row.content_hash)
        connection.execute("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        unit = np.array(node.embedding) / np.linalg.norm(node.embedding)
        connection.execute("INSERT INTO vectors VALUES (?, ?)", (row_id, unit.astype("<f4").tobytes()))
    connection.execute("DELETE FROM nodes WHERE id = ?", (COUNT,))
    connection.execute("DELETE FROM vectors WHERE id = ?", (COUNT,))
    connection.execute("INSERT INTO deleted_nodes VALUES (?, 3)", (COUNT,))
    connection.execute(
        "INSERT INTO manifest VALUES (1, 3, ?, 2, 'unit length', ?, ?, 1, 0, 2, ?)",
        (COUNT - 1, json.dumps({"model_name": "옛 모형"}), json.dumps({"chunk_tokens": 64}), "0" * 64),
    )
    connection.execute("PRAGMA user_version=1")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    (folder / "vectors.2.faiss").write_bytes(b"an old snapshot")
    return folder


def test_an_index_of_the_first_release_opens_with_all_that_was_in_it(version_1, nodes, make_node, search):
    with DurableFaissVectorStore(version_1, embedding_identity={"model_name": "옛 모형"}) as store:
        assert list(store.nodes()) == [node.model_copy(update={"embedding": None}) for node in nodes[:-1]]
        assert (store.generation, store.count, store.settings) == (3, COUNT - 1, {"chunk_tokens": 64})
        assert [node_id for node_id, _ in search(store, (1, 0), top_k=3)] == ["n0", "n1", "n2"]
        store.add([make_node("new")])
        with store.client.read() as view:
            assert view.row_ids_of_nodes(["new"]) == [COUNT + 1]
            assert view.manifest.vector_dtype == "float32"
        store.delete("문서 1")
        assert store.count == COUNT - COUNT // 9 - (1 if COUNT % 9 > 1 else 0)
    assert sorted(file.name for file in version_1.iterdir()) == ["nodes.sqlite3"]
    assert check_integrity(version_1).problems == ()


def test_what_is_brought_up_to_date_takes_less_room(version_1):
    before = (version_1 / "nodes.sqlite3").stat().st_size
    DurableFaissVectorStore(version_1).close()
    done = repair(version_1)
    assert any("that nothing used" in line for line in done)
    assert (version_1 / "nodes.sqlite3").stat().st_size < 0.7 * before
    with DurableFaissVectorStore(version_1) as store:
        assert store.count == COUNT - 1


def test_a_migration_that_finds_no_room_leaves_the_old_index(version_1):
    connection = sqlite3.connect(version_1 / "nodes.sqlite3", isolation_level=None)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(DiskFull):
        migrate(connection, version_1)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT COUNT(text) FROM nodes").fetchone() == (COUNT - 1,)
    connection.close()
    with DurableFaissVectorStore(version_1) as store:
        assert store.count == COUNT - 1


def test_a_migration_that_another_has_done_meanwhile_changes_nothing(version_1):
    DurableFaissVectorStore(version_1).close()
    connection = sqlite3.connect(version_1 / "nodes.sqlite3", isolation_level=None)
    migrate(connection, version_1)
    connection.close()
    with DurableFaissVectorStore(version_1) as store:
        assert store.count == COUNT - 1


def test_a_row_that_was_damaged_before_is_damaged_after(version_1):
    with sqlite3.connect(version_1 / "nodes.sqlite3") as connection:
        connection.execute("UPDATE nodes SET text = '다른 글' WHERE id = 5")
        connection.execute("UPDATE nodes SET content_hash = 'no checksum' WHERE id = 6")
    with DurableFaissVectorStore(version_1) as store:
        assert store.get_nodes(["n3"])
        for node_id in ("n4", "n5"):
            with pytest.raises(DamagedIndex, match=f"'{node_id}' is not what was written"):
                store.get_nodes([node_id])


def test_an_old_index_in_a_folder_that_cannot_be_written_says_what_to_do(version_1, monkeypatch):
    monkeypatch.setattr("llama_index_ko_rerank.store.sqlite.table.is_writable", lambda folder: False)
    before = (version_1 / "nodes.sqlite3").read_bytes()
    with pytest.raises(IndexReadOnly, match=r"earlier release.*open it once"):
        DurableFaissVectorStore(version_1)
    assert (version_1 / "nodes.sqlite3").read_bytes() == before
