import multiprocessing
import random
import sys
import time

import other_process
import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.store import DurableFaissVectorStore

KILLS = 6


def replay(notes):
    """Return the documents that must be there, and the one whose last change was not acknowledged."""
    there, open_change = set(), None
    for line in notes.read_text(encoding="utf-8").splitlines():
        state, action, document = line.split()
        if state == "try":
            open_change = document
            continue
        open_change = None
        (there.add if action == "add" else there.discard)(document)
    return there, open_change


def check(folder, notes):
    there, open_change = replay(notes)
    with DurableFaissVectorStore(folder) as store:
        stored = [node.node_id for node in store.nodes()]
        found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=10**6)).ids
        assert sorted(found) == sorted(stored)
        assert store.count == len(stored)
        documents = {node_id.split("/")[0] for node_id in stored}
        assert sorted(stored) == sorted(node.node_id for name in documents for node in other_process.nodes_of(name))
        assert documents - {open_change} == there - {open_change}
    if open_change:
        # What it came to is settled now: the replay goes on from what the index holds.
        with notes.open("a", encoding="utf-8") as file:
            file.write(f"did {'add' if open_change in documents else 'delete'} {open_change}\n")
    return len(there)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no forkserver and no SIGKILL there")


@pytest.fixture
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["other_process", "llama_index_ko_rerank.store.vector_store"])
    return context


def test_a_process_killed_at_any_moment_loses_nothing_that_was_acknowledged(folder, tmp_path, processes):
    notes = tmp_path / "notes"
    notes.touch()
    moments = random.Random(5)
    documents = 0
    for round_ in range(KILLS):
        writer = processes.Process(
            target=other_process.write_for_ever, args=(folder, notes, round_ * 100_000), daemon=True
        )
        writer.start()
        written = notes.stat().st_size
        while notes.stat().st_size == written:
            assert writer.is_alive()
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.3))
        writer.kill()
        writer.join()
        documents = check(folder, notes)
    assert documents > KILLS


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
