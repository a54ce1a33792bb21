"""Readers and writers of other processes and threads at one time."""

import subprocess
import sys
import textwrap
import threading
from collections import Counter

import pytest
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery

from llama_index_ko_rerank.errors import IndexBusy
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.settings import IndexSettings
from llama_index_ko_rerank.store.sqlite.table import NodeTable

PARTS = 3
WRITER = textwrap.dedent(
    """
    import sys
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
    from llama_index_ko_rerank.store import DurableFaissVectorStore

    store = DurableFaissVectorStore(sys.argv[1])
    print("open", flush=True)
    for number in range(60):
        source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{number}")}
        store.add([
            TextNode(id_=f"d{number}/{part}", text=f"{number}의 {part}번째", metadata={"부분": part},
                     embedding=[1.0, number / 60, part], relationships=source)
            for part in range(3)
        ])
        if number % 4 == 3:
            store.delete_documents([f"d{number - 1}", f"d{number - 2}"])
        if number % 20 == 19:
            store.persist()
    store.close()
    """
)


@pytest.mark.parametrize("kind", ["ivf"])
def test_every_search_sees_one_generation_while_another_process_indexes(folder, kind):
    settings = IndexSettings(kind=kind, ivf_probed_share=1.0)
    everything = VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0], similarity_top_k=10**6)
    of_one_part = MetadataFilters(filters=[MetadataFilter(key="부분", value=1)])
    filtered = VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0], similarity_top_k=10**6, filters=of_one_part)
    with DurableFaissVectorStore(folder, index_settings=settings) as store:
        command = [sys.executable, "-c", WRITER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "open\n", writer.stderr.read()
            sizes = []
            while writer.poll() is None:
                found = store.query(everything)
                parts = Counter(node_id.split("/")[0] for node_id in found.ids)
                assert set(parts.values()) <= {PARTS}
                assert all(node.text for node in found.nodes)
                assert {node.metadata["부분"] for node in store.query(filtered).nodes} <= {1}
                sizes.append(len(parts))
            assert writer.returncode == 0, writer.stderr.read()
        assert len(set(sizes)) > 3
        assert len(store.query(everything).ids) == PARTS * 30
        assert len(store.query(filtered).ids) == 30
        assert store.count == PARTS * 30


def test_a_second_writer_waits_and_is_then_told_who_is_in_the_way(folder, make_node):
    with DurableFaissVectorStore(folder) as store:
        store.add([make_node("a")])
        other = NodeTable(folder, busy_seconds=0.05)
        with store.client.transaction():
            with pytest.raises(IndexBusy, match="being written by another process") as caught, other.transaction():
                pass
            assert isinstance(caught.value, TimeoutError)
            with other.read() as reader:
                assert reader.manifest.node_count == 1
        other.close()


def test_filtered_searches_of_many_threads_agree_while_one_of_them_adds(store, make_node):
    problems = []
    done = threading.Event()
    even = MetadataFilters(filters=[MetadataFilter(key="짝", value="예")])

    def read():
        try:
            while not done.is_set():
                query = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=10**6, filters=even)
                numbers = [int(node_id) for node_id in store.query(query).ids]
                assert sorted(numbers) == list(range(0, 2 * len(numbers), 2))
        except Exception as error:
            problems.append(error)
            raise

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(60):
        store.add([make_node(str(number), metadata={"짝": "아니요" if number % 2 else "예"})])
    done.set()
    for reader in readers:
        reader.join(60)
    assert not problems
