import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from llama_index_ko_rerank.errors import DamagedIndex, StoreError
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store import settings as index_settings
from llama_index_ko_rerank.store.faiss import cached_index
from llama_index_ko_rerank.store.faiss.snapshots import write_snapshot
from llama_index_ko_rerank.store.settings import IndexSettings

NODES = 40


# A flat index, which is the default at this size, has no snapshot.
WITH_A_FILE = IndexSettings(kind="ivf")


def vector(number):
    return (1.0, number / NODES)


@pytest.fixture
def built(folder, make_node):
    with DurableFaissVectorStore(folder, index_settings=WITH_A_FILE) as store:
        store.add([make_node(f"n{number}", vector(number), document=f"문서 {number}") for number in range(NODES)])
    return folder


def snapshots(folder):
    return sorted(file.name for file in folder.glob("vectors.*"))


def open_and_search(folder, search):
    with DurableFaissVectorStore(folder, create=False) as store:
        return [node_id for node_id, _ in search(store, (1, 0), top_k=99)]


IN_ORDER = [f"n{number}" for number in range(NODES)]


def test_close_writes_a_snapshot_and_merges_sqlites_log(built):
    assert snapshots(built) == ["vectors.1.faiss"]
    assert sorted(file.name for file in built.iterdir()) == ["nodes.sqlite3", "vectors.1.faiss"]


def test_a_snapshot_that_is_whole_is_used(built, search, caplog):
    with caplog.at_level(logging.INFO):
        assert open_and_search(built, search) == IN_ORDER
    assert "from the table" not in caplog.text


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "cut in half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "emptied": lambda file: file.write_bytes(b""),
    "one bit flipped": lambda file: file.write_bytes(flip(file.read_bytes())),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "missing": lambda file: file.unlink(),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_snapshot_that_is_not_what_was_written_is_not_used(built, search, caplog, damage):
    damage(built / "vectors.1.faiss")
    assert open_and_search(built, search) == IN_ORDER
    assert "the vectors are read from the table" in caplog.text


def test_a_damaged_snapshot_is_written_anew_by_persist(built, search, caplog):
    DAMAGE["one bit flipped"](built / "vectors.1.faiss")
    with DurableFaissVectorStore(built) as store:
        store.persist()
    caplog.clear()
    assert open_and_search(built, search) == IN_ORDER
    assert not caplog.records


def test_the_snapshot_of_another_index_is_not_used(built, tmp_path, make_node, search, caplog):
    with DurableFaissVectorStore(tmp_path / "other", index_settings=WITH_A_FILE) as other:
        other.add([make_node(f"n{number}", (1.0, -number), document="다른 것") for number in range(NODES)])
    shutil.copy(tmp_path / "other" / "vectors.1.faiss", built / "vectors.1.faiss")
    assert open_and_search(built, search) == IN_ORDER
    assert "not what was written" in caplog.text


def test_a_snapshot_of_an_earlier_generation_is_brought_up_to_date(built, make_node, search):
    changing = DurableFaissVectorStore(built)
    changing.delete("문서 0")
    changing.add([make_node("new", (1.0, 0.0)), make_node("n1", (-1.0, 0.0))])
    expected = ["new", *IN_ORDER[2:], "n1"]
    with DurableFaissVectorStore(built, create=False) as store:
        assert [node_id for node_id, _ in search(store, (1, 0), top_k=99)] == expected
    assert snapshots(built) == ["vectors.1.faiss"]
    changing.close()
    assert snapshots(built) == ["vectors.3.faiss"]
    assert open_and_search(built, search) == expected


def test_a_flat_index_has_no_snapshot_and_drops_one_that_is_left(built, search):
    with DurableFaissVectorStore(built, index_settings=IndexSettings(kind="flat")) as store:
        assert [node_id for node_id, _ in search(store, (1, 0), top_k=99)] == IN_ORDER
    assert sorted(file.name for file in built.iterdir()) == ["nodes.sqlite3"]
    assert open_and_search(built, search) == IN_ORDER


def test_a_snapshot_by_other_settings_is_not_used(built, search, caplog):
    with DurableFaissVectorStore(built) as store, store.client.transaction() as writer:
        writer.record_index_settings(IndexSettings(kind="ivf", ivf_lists=3))
    assert open_and_search(built, search) == IN_ORDER
    assert "by other settings" in caplog.text


def test_an_automatic_index_that_outgrows_flat_is_made_of_lists_by_persist_and_not_by_a_search(
    folder, make_node, search, monkeypatch, caplog
):
    monkeypatch.setattr(index_settings, "FLAT_UP_TO_NUMBERS", 2 * 200)
    monkeypatch.setattr(cached_index, "_REBUILT_BY_A_SEARCH", 0)
    with DurableFaissVectorStore(folder) as store:
        store.add([make_node(f"n{number}", (1.0, number / 300)) for number in range(200)])
        assert len(search(store, (1, 0), top_k=999)) == 200
        store.add([make_node(f"n{number}", (1.0, number / 300)) for number in range(200, 300)])
        with caplog.at_level(logging.INFO):
            assert search(store, (1, 0), top_k=1) == [("n0", pytest.approx(1.0))]
            assert "building" not in caplog.text
            assert snapshots(folder) == []
            store.persist()
            assert "building the ivf index of 300 vectors" in caplog.text
        assert snapshots(folder) == ["vectors.2.faiss"]
        assert search(store, (1, 0), top_k=1) == [("n0", pytest.approx(1.0))]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert set(open_and_search(folder, search)) == {f"n{number}" for number in range(99)}
    assert "from the table" not in caplog.text


def test_an_index_whose_settings_were_changed_is_made_anew_by_close_and_not_by_a_search(
    built, search, monkeypatch, caplog
):
    monkeypatch.setattr(cached_index, "_REBUILT_BY_A_SEARCH", 0)
    with DurableFaissVectorStore(built) as store:
        before = search(store, (1, 0), top_k=99)
        store.delete_nodes(IN_ORDER[:20])
        with store.client.transaction() as writer:
            writer.record_index_settings(IndexSettings(kind="ivf", ivf_lists=3))
        with caplog.at_level(logging.INFO):
            assert search(store, (1, 0), top_k=99) == before[20:]
            assert "building" not in caplog.text
            store.close()
            assert "building the ivf index of 20 vectors" in caplog.text
    assert open_and_search(built, search) == IN_ORDER[20:]


def test_a_snapshot_from_before_clear_is_not_used(built, make_node, search):
    changing = DurableFaissVectorStore(built)
    changing.clear()
    changing.add([make_node("only", (0.0, 1.0))])
    assert open_and_search(built, search) == ["only"]
    changing.close()


def test_an_index_that_was_emptied_leaves_a_snapshot_of_nothing(built, search, caplog):
    with DurableFaissVectorStore(built) as store:
        store.delete_nodes(IN_ORDER)
    assert open_and_search(built, search) == []
    assert not caplog.records


def test_a_store_that_only_read_writes_no_snapshot(built, search):
    (built / "vectors.1.faiss").unlink()
    open_and_search(built, search)
    assert snapshots(built) == []


def test_what_an_interrupted_write_has_left_is_cleaned_up(built, make_node):
    (built / "vectors.2.faiss.x1y2.partial").write_bytes(b"half")
    with DurableFaissVectorStore(built) as store:
        store.add([make_node("new", (1.0, 0.0))])
    assert snapshots(built) == ["vectors.2.faiss"]


def test_a_snapshot_that_cannot_be_written_leaves_nothing_and_says_that_the_nodes_are_safe(tmp_path):
    (tmp_path / "vectors.1.faiss").mkdir()
    with pytest.raises(StoreError, match="the nodes are safe"):
        write_snapshot(tmp_path, 1, b"payload")
    assert snapshots(tmp_path) == ["vectors.1.faiss"]


def test_close_does_not_fail_where_the_snapshot_does(built, make_node, search, caplog):
    (built / "vectors.2.faiss").mkdir()
    with DurableFaissVectorStore(built) as store:
        store.add([make_node("new", (1.0, 0.0))])
    assert "closed without a new snapshot" in caplog.text
    assert set(open_and_search(built, search)) == {*IN_ORDER, "new"}


@pytest.mark.parametrize("kept", [0.001, 0.3, 0.5, 0.6, 0.95, 0.9999])
def test_a_truncated_table_is_damage_in_plain_words(built, kept):
    file = built / "nodes.sqlite3"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    with pytest.raises(DamagedIndex, match=r"truncated or overwritten.*overwrite=True"):
        DurableFaissVectorStore(built)


def test_a_table_that_is_no_database_is_damage(built):
    (built / "nodes.sqlite3").write_bytes("이것은 데이터베이스가 아니다".encode() * 500)
    with pytest.raises(DamagedIndex, match="not a database"):
        DurableFaissVectorStore(built)


def test_an_emptied_table_beside_a_snapshot_is_not_taken_for_a_new_index(built):
    (built / "nodes.sqlite3").write_bytes(b"")
    for create in (True, False):
        with pytest.raises(DamagedIndex):
            DurableFaissVectorStore(built, create=create)


def test_vectors_that_are_missing_in_the_table_are_damage(built, search):
    (built / "vectors.1.faiss").unlink()
    with sqlite3.connect(built / "nodes.sqlite3") as connection:
        connection.execute("DELETE FROM vectors WHERE id = 3")
    with DurableFaissVectorStore(built) as store, pytest.raises(DamagedIndex, match="39 vectors for 40 nodes"):
        search(store, (1, 0))


@pytest.mark.parametrize("vector", [b"\0\0", b"\0" * 8, b"\0\0\x80\x3f\0\0\0\x80", "글"])
def test_a_vector_overwritten_in_the_table_is_damage(built, search, vector):
    (built / "vectors.1.faiss").unlink()
    with sqlite3.connect(built / "nodes.sqlite3") as connection:
        connection.execute("UPDATE vectors SET vector = ? WHERE id = 3", (vector,))
    with DurableFaissVectorStore(built) as store, pytest.raises(DamagedIndex, match=r"row 3 .*not what was written"):
        search(store, (1, 0))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE nodes SET kind = 'Document' WHERE id = 3",
        "UPDATE nodes SET metadata = '{\"쪽\": 2}' WHERE id = 3",
        "UPDATE nodes SET content = x'4142' WHERE id = 3",
        "UPDATE nodes SET content_hash = zeroblob(32) WHERE id = 3",
    ],
)
def test_a_node_overwritten_in_the_table_is_damage_and_no_answer(built, search, statement):
    with sqlite3.connect(built / "nodes.sqlite3") as connection:
        connection.execute(statement)
    with DurableFaissVectorStore(built) as store:
        assert search(store, (1, 0), top_k=2)
        with pytest.raises(DamagedIndex, match="'n2'"):
            search(store, (1, 0), top_k=3)


READER = textwrap.dedent(
    """
    import os, sys
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores.types import VectorStoreQuery
    from llama_index_ko_rerank.errors import IndexReadOnly
    from llama_index_ko_rerank.store import DurableFaissVectorStore

    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    store = DurableFaissVectorStore(sys.argv[1])
    assert store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=3)).ids == ["n0", "n1", "n2"]
    assert store.count == 40
    try:
        store.add([TextNode(text="글", embedding=[1.0, 0.0])])
    except IndexReadOnly as error:
        assert "can only be read" in str(error)
        assert isinstance(error, PermissionError)
    else:
        raise AssertionError("it was written")
    store.persist()
    store.close()
    try:
        DurableFaissVectorStore(sys.argv[1], index_settings={"kind": "flat"})
    except IndexReadOnly:
        pass
    else:
        raise AssertionError("other settings were recorded")
    try:
        DurableFaissVectorStore(os.path.join(sys.argv[1], "new"))
    except IndexReadOnly as error:
        assert "cannot be made" in str(error)
    else:
        raise AssertionError("an index was made")
    """
)


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders work otherwise there")
def test_an_index_in_a_folder_that_cannot_be_written_is_searched_and_refuses_changes(built):
    for part in [built, *built.parents]:
        if part.stat().st_uid == os.geteuid() and part != part.parent:
            part.chmod(part.stat().st_mode | 0o055)
    before = {file.name: file.read_bytes() for file in built.iterdir()}
    for file in built.iterdir():
        file.chmod(0o444)
    built.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", READER, str(built)], capture_output=True, text=True, check=False)
    finally:
        built.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert {file.name: file.read_bytes() for file in built.iterdir()} == before
