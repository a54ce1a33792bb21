import random
import sqlite3
import threading

import numpy as np
import pytest
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.errors import (
    DamagedIndex,
    DimensionMismatch,
    DiskFull,
    IndexBusy,
    IndexNotFound,
    IndexTooNew,
    StoreError,
)
from llama_index_ko_rerank.store.sqlite.rows import to_rows
from llama_index_ko_rerank.store.sqlite.schema import SCHEMA_VERSION
from llama_index_ko_rerank.store.sqlite.table import NodeTable

EAST = np.array([[1.0, 0.0]], dtype=np.float32)


def row(node_id, text="글"):
    return to_rows([TextNode(id_=node_id, text=text)])


@pytest.fixture
def table(folder):
    opened = NodeTable(folder, mode="create", busy_seconds=0.2)
    yield opened
    opened.close()


def add(table, *node_ids):
    with table.transaction() as writer:
        for node_id in node_ids:
            writer.upsert(row(node_id), EAST)


def node_ids(table):
    with table.read() as reader:
        return [found.node_id for found in reader.all_rows()]


def manifest(table):
    with table.read() as reader:
        return reader.manifest


def test_the_file_is_in_wal_mode_and_every_commit_is_synced(table, folder):
    with sqlite3.connect(folder / "nodes.sqlite3") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    with table.transaction() as writer:
        assert writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_one_transaction_is_one_generation_however_much_it_changes(table):
    add(table, "a", "b", "c")
    with table.transaction() as writer:
        writer.delete_nodes(["a", "b"])
        writer.upsert(row("d"), EAST)
    assert manifest(table).generation == 2
    assert manifest(table).node_count == 2
    assert node_ids(table) == ["c", "d"]


def test_a_transaction_that_changes_nothing_leaves_the_generation(table):
    add(table, "a")
    with table.transaction() as writer:
        assert writer.delete_nodes(["unknown"]) == 0
        assert writer.delete_documents(["unknown"]) == 0
    assert manifest(table).generation == 1


def test_what_raises_is_undone_as_a_whole(table):
    add(table, "a")

    def change():
        with table.transaction() as writer:
            writer.upsert(row("b"), EAST)
            writer.delete_nodes(["a"])
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert node_ids(table) == ["a"]
    assert manifest(table).generation == 1


def test_a_savepoint_that_raises_is_undone_alone(table):
    def change():
        with table.transaction() as step:
            step.upsert(row("b"), EAST)
            raise KeyError

    with table.transaction() as writer:
        writer.upsert(row("a"), EAST)
        with pytest.raises(KeyError):
            change()
        writer.upsert(row("c"), EAST)
    assert node_ids(table) == ["a", "c"]


def test_row_ids_are_never_used_again(table):
    add(table, "a", "b")
    with table.transaction() as writer:
        writer.delete_nodes(["b"])
    add(table, "c")
    with table.transaction() as writer:
        writer.clear()
    add(table, "d")
    with table.read() as reader:
        assert reader.row_ids_of_nodes(["d"]) == [4]


def test_a_view_stays_at_its_generation_while_others_write(table):
    add(table, "a")
    with table.read() as reader:
        add(table, "b")
        assert [found.node_id for found in reader.all_rows()] == ["a"]
        assert reader.manifest.node_count == 1
    assert node_ids(table) == ["a", "b"]


def test_the_log_names_what_was_deleted_since_a_generation(table):
    add(table, "a", "b", "c")
    for node_id in ("a", "b"):
        with table.transaction() as writer:
            writer.delete_nodes([node_id])
    with table.read() as reader:
        assert reader.deleted_since(1).tolist() == [1, 2]
        assert reader.deleted_since(2).tolist() == [2]


def test_snapshots_let_old_deletions_be_forgotten(table):
    add(table, "a", "b", "c")
    for node_id in ("a", "b"):
        with table.transaction() as writer:
            writer.delete_nodes([node_id])
            writer.record_snapshot(manifest(table).generation, "0" * 64)
    with table.read() as reader:
        assert reader.manifest.log_starts_at == 1
        assert reader.deleted_since(reader.manifest.log_starts_at).tolist() == [1, 2]
    with table.transaction() as writer:
        writer.record_snapshot(3, "1" * 64)
    with table.read() as reader:
        assert reader.manifest.log_starts_at == 2
        assert reader.deleted_since(2).tolist() == [2]


def test_vectors_of_another_length_are_refused_before_anything_changes(table):
    add(table, "a")
    with pytest.raises(DimensionMismatch, match="2-d vectors, and the nodes have 3-d"), table.transaction() as writer:
        writer.upsert(row("a", "다른 글"), np.ones((1, 3), np.float32))
    with table.read() as reader:
        assert next(reader.all_rows()).text == "글"


def test_a_second_writer_of_another_connection_is_told_to_wait(table, folder):
    other = NodeTable(folder, busy_seconds=0.05)
    with table.transaction(), pytest.raises(IndexBusy, match="is being written by another"), other.transaction():
        pass
    with other.transaction():
        pass
    other.close()


def test_a_second_writer_of_another_thread_is_told_to_wait(table):
    problems = []

    def write():
        try:
            with table.transaction():
                pass
        except IndexBusy as error:
            problems.append(str(error))

    with table.transaction():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(10)
    assert len(problems) == 1
    assert "another thread is writing" in problems[0]


def test_readers_are_not_held_up_by_a_writer(table):
    add(table, "a")
    with table.transaction() as writer:
        writer.upsert(row("b"), EAST)
        assert node_ids(table) == ["a"]


def test_a_full_disk_is_said_and_keeps_what_was_there(table):
    add(table, "a")

    texts = random.Random(0)

    def fill():
        with table.transaction() as writer:
            pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
            writer._connection.execute(f"PRAGMA max_page_count={pages + 1}")
            for number in range(200):
                writer.upsert(row(f"n{number}", texts.randbytes(5000).hex()), EAST)

    with pytest.raises(DiskFull, match="full"):
        fill()
    assert node_ids(table) == ["a"]
    assert manifest(table).generation == 1


def test_a_closed_table_says_so(table):
    table.close()
    with pytest.raises(StoreError, match="was closed"), table.read():
        pass


def test_open_needs_an_index(tmp_path):
    with pytest.raises(IndexNotFound, match="build_index"):
        NodeTable(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_is_a_file_cannot_hold_an_index(tmp_path):
    (tmp_path / "file").write_text("글", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be made"):
        NodeTable(tmp_path / "file", mode="create")


def test_an_index_of_a_newer_release_is_refused(table, folder):
    with sqlite3.connect(folder / "nodes.sqlite3") as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(IndexTooNew, match=f"schema version {SCHEMA_VERSION + 1}"):
        NodeTable(folder)


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION - 1])
def test_an_index_of_an_unreleased_format_is_refused_and_left_alone(table, folder, version):
    add(table, "a")
    table.close()
    with sqlite3.connect(folder / "nodes.sqlite3") as connection:
        connection.execute(f"PRAGMA user_version={version}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (folder / "nodes.sqlite3").read_bytes()
    for mode in ("open", "create", "rebuild"):
        with pytest.raises(DamagedIndex, match=f"schema version {version}, and this release reads {SCHEMA_VERSION}"):
            NodeTable(folder, mode=mode)
    assert (folder / "nodes.sqlite3").read_bytes() == before


@pytest.mark.parametrize("mode", ["open", "create", "rebuild"])
def test_a_database_of_another_program_is_left_alone(tmp_path, mode):
    with sqlite3.connect(tmp_path / "nodes.sqlite3") as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    before = (tmp_path / "nodes.sqlite3").read_bytes()
    with pytest.raises(DamagedIndex, match="of another program"):
        NodeTable(tmp_path, mode=mode)
    assert (tmp_path / "nodes.sqlite3").read_bytes() == before


@pytest.mark.parametrize(
    "statement", ["DELETE FROM manifest", "UPDATE manifest SET settings = '{'", "DROP TABLE manifest"]
)
def test_a_manifest_that_cannot_be_read_is_damage(table, folder, statement):
    with sqlite3.connect(folder / "nodes.sqlite3") as connection:
        connection.execute(statement)
    with pytest.raises(DamagedIndex, match="manifest"):
        NodeTable(folder)


def test_an_index_whose_build_did_not_end_is_not_found_until_it_is_built(folder):
    NodeTable(folder, mode="rebuild").close()
    for mode in ("open", "create"):
        with pytest.raises(IndexNotFound, match="interrupted"):
            NodeTable(folder, mode=mode)
    table = NodeTable(folder, mode="rebuild")
    with table.transaction() as writer:
        writer.reset(embedding_identity={"name": "m"}, settings={"chunk_tokens": 64})
    table.close()
    table = NodeTable(folder)
    assert manifest(table).embedding_identity == {"name": "m"}
    assert manifest(table).settings == {"chunk_tokens": 64}
    table.close()


def test_a_creation_that_was_killed_before_its_first_commit_is_made_again(folder):
    folder.mkdir(parents=True)
    (folder / "nodes.sqlite3").touch()
    with pytest.raises(DamagedIndex, match="empty"):
        NodeTable(folder)
    table = NodeTable(folder, mode="create")
    assert node_ids(table) == []
    table.close()


def test_many_threads_may_make_one_index_at_one_time(folder):
    problems = []

    def make(number):
        try:
            table = NodeTable(folder, mode="create")
            add(table, f"n{number}")
            table.close()
        except StoreError as error:
            problems.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    table = NodeTable(folder)
    assert sorted(node_ids(table)) == [f"n{number}" for number in range(6)]
    table.close()
