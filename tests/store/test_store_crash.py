"""Killed writers, full disks, damaged files, and processes side by side; the long campaigns are marked slow."""

import shutil
import sqlite3
import sys
from contextlib import closing

import pytest

import tests.store.crash.campaigns as crash_campaigns
import tests.store.crash.kills as crash_kills
import tests.store.other_process as other_process
from llama_index_ko_rerank.store import DurableFaissVectorStore

SEED = 5
KILLS, FULL_DISKS, DAMAGED = 200, 100, 100

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no forkserver and no SIGKILL there")


@pytest.fixture
def processes():
    return crash_kills.forkserver()


def check_kills(report, kills):
    assert report["problems"] == []
    assert report["kills"] == kills
    # The figures are random, but a harness that never interrupts anything would prove nothing.
    assert report["acknowledged changes"] > kills
    assert report["changes in flight that are not there"] > 0


def test_writers_killed_at_any_moment_lose_nothing_that_was_acknowledged(folder):
    check_kills(crash_campaigns.kill_writers(folder, 12, seed=SEED), 12)


@pytest.mark.slow
def test_two_hundred_killed_writers_lose_nothing_that_was_acknowledged(folder):
    report = crash_campaigns.kill_writers(folder, KILLS, seed=SEED)
    check_kills(report, KILLS)
    assert report["changes in flight that are there whole"] > 0
    assert report["killed in persist"] > 0
    assert report["killed in open"] > 0


def check_full_disks(report, cases):
    assert report["problems"] == []
    assert report["cases"] == cases
    assert report["refusals"] > cases
    assert report.get("cases without a refusal", 0) < cases / 4


def test_a_full_disk_refuses_changes_keeps_all_others_and_goes_on_once_there_is_space(folder):
    check_full_disks(crash_campaigns.fill_disks(folder, 11, seed=SEED), 11)


@pytest.mark.slow
def test_a_hundred_full_disks_lose_nothing(folder):
    check_full_disks(crash_campaigns.fill_disks(folder, FULL_DISKS, seed=SEED), FULL_DISKS)


def check_snapshots(report, cases):
    assert report["problems"] == []
    assert report["cases"] == report["noticed"] == report["rebuilt for good"] == cases


def test_a_damaged_snapshot_is_noticed_not_used_and_replaced(folder):
    check_snapshots(crash_campaigns.damage_snapshots(folder, 12, seed=SEED), 12)


@pytest.mark.slow
def test_a_hundred_damaged_snapshots_are_noticed_not_used_and_replaced(folder):
    check_snapshots(crash_campaigns.damage_snapshots(folder, DAMAGED, seed=SEED), DAMAGED)


def test_a_damaged_table_raises_or_gives_what_was_put_in(folder):
    report = crash_campaigns.damage_tables(folder, 80, seed=SEED, damages=("cut", "flip", "overwrite"))
    assert report["problems"] == []
    assert report["raised DamagedIndex"] > 0
    assert report["every result right"] > 0


def test_a_bit_flipped_in_a_vector_raises_or_makes_no_difference(folder):
    report = crash_campaigns.damage_tables(folder, 60, seed=SEED, damages=("vector",))
    assert report["problems"] == []


@pytest.fixture
def copied(folder, tmp_path):
    """An index that is open, with changes in SQLite's log, and where to copy it."""
    with DurableFaissVectorStore(folder) as store:
        store.add(other_process.nodes_of("law"))
        store.persist()
        store.add(other_process.nodes_of("decree"))
        yield folder, tmp_path / "다른 곳"


def parts_in(folder):
    with DurableFaissVectorStore(folder, create=False) as store:
        found = store.query(other_process.EVERYTHING).ids
        assert len(found) == store.count
        return sorted(found)


ALL_PARTS = sorted(f"{document}/{part}" for document in ("law", "decree") for part in range(3))


def test_a_backup_that_sqlite_makes_of_an_open_index_is_whole_by_itself(copied):
    folder, target = copied
    target.mkdir()
    source, backup = sqlite3.connect(folder / "nodes.sqlite3"), sqlite3.connect(target / "nodes.sqlite3")
    with closing(source), closing(backup):
        source.backup(backup)
    assert parts_in(target) == ALL_PARTS


def test_the_table_of_a_closed_index_is_a_whole_backup(copied):
    folder, target = copied
    with DurableFaissVectorStore(folder) as store:
        store.persist()
    target.mkdir()
    shutil.copy(folder / "nodes.sqlite3", target)
    assert parts_in(target) == ALL_PARTS


def test_a_folder_that_was_moved_opens_as_it_was(copied):
    folder, target = copied
    shutil.copytree(folder, target)
    moved = target.rename(target.with_name("moved index #2"))
    assert parts_in(moved) == ALL_PARTS


def test_processes_that_come_and_go_at_one_time_lose_nothing(folder, processes):
    rounds = 20
    workers = [
        processes.Process(target=other_process.come_and_go, args=(folder, f"p{number}", rounds)) for number in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with DurableFaissVectorStore(folder, create=False) as store:
        documents = {node.ref_doc_id for node in store.nodes()}
        assert documents == {f"p{number}-{round_}" for number in range(3) for round_ in range(0, rounds, 2)}
        assert store.count == 3 * len(documents)


@pytest.mark.slow
def test_processes_that_make_one_index_at_one_time_all_get_it(folder, processes):
    for round_ in range(40):
        start = processes.Barrier(8)
        makers = [
            processes.Process(target=other_process.make_an_index, args=(folder / str(round_), start)) for _ in range(8)
        ]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join(60)
        assert [maker.exitcode for maker in makers] == [0] * 8


def test_searching_while_another_process_indexes_sees_one_generation_each_time(folder, processes):
    parts, editions = 30, 30
    with DurableFaissVectorStore(folder) as store:
        store.add(other_process.nodes_of("law", parts))
        writer = processes.Process(target=other_process.publish_editions, args=(folder, parts, editions))
        writer.start()
        seen = []
        while writer.is_alive():
            with DurableFaissVectorStore(folder, create=False) as newcomer:
                for reader in (store, newcomer):
                    before = reader.generation
                    found = reader.query(other_process.EVERYTHING)
                    assert len(found.nodes) == parts
                    (edition,) = {node.metadata["edition"] for node in found.nodes}
                    ends = [(edition + part) / (1 + (edition + part) ** 2) ** 0.5 for part in range(parts)]
                    expected = sorted((1 - end**2) ** 0.5 for end in ends)[::-1]
                    assert found.similarities == pytest.approx(expected, abs=1e-6)
                    assert before - 1 <= edition <= reader.generation - 1
                    seen.append(edition)
        writer.join(60)
        assert writer.exitcode == 0
        assert seen == sorted(seen)
        assert len(set(seen)) > 3
        assert store.generation == editions + 1
