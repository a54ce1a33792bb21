"""Indexing into Qdrant on a real Ray cluster of two workers, the writer in the client's local mode."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from llama_index_ko_rerank.data import dataset_nodes
from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset
from llama_index_ko_rerank.errors import DuplicateNodeId, IndexExists, IndexNotFound, StoreError
from llama_index_ko_rerank.scale.qdrant import build_qdrant_index, ingest_passages_into_qdrant, open_qdrant_index
from llama_index_ko_rerank.scale.qdrant.client import connected
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS
from llama_index_ko_rerank.scale.ray.encoding import PassageSource

pytestmark = pytest.mark.slow

PASSAGES = 2100
STOPPED = "the power went off"


@pytest.fixture(scope="module")
def passages():
    texts = (
        f"제{number}조 휴가 신청은 {number}일 안에 한다. 담당은 {number % 31}번 부서이다." for number in range(PASSAGES)
    )
    return tuple(Passage(f"p{number}", text, f"제{number}조") for number, text in enumerate(texts))


def _source(name, passages):
    return PassageSource(name, f"sha256:{name}", len(passages), passages=tuple(passages))


def _content(place, model):
    with connected(place, None) as client:
        collection = open_qdrant_index(client, "rules", embed_model=model).vector_store.collection
        records, _ = client.scroll(collection.name, limit=2 * PASSAGES, with_payload=True, with_vectors=True)
        return collection.manifest(), {record.id: record for record in records}


def _collections(place):
    with connected(place, None) as client:
        return len(client.get_collections().collections)


def _equal(left, right):
    (manifest, points), (other, others) = left, right
    assert (manifest.mean_lengths, manifest.dimension) == (other.mean_lengths, other.dimension)
    assert (manifest.tokenizers, manifest.complete) == (other.tokenizers, True)
    assert points.keys() == others.keys()
    for identity, point in points.items():
        assert point.payload == others[identity].payload
        assert np.allclose(point.vector["dense"], others[identity].vector["dense"], rtol=0, atol=1e-5)
        for view in VIEWS:
            assert point.vector[view] == others[identity].vector[view]


def _kill(word):
    """Kill a process of this cluster by force, and say whether there was one."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        if word in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return True
    return False


def _wait_until_free(place):
    """A writer that was killed holds its folder until its process has ended."""
    for _ in range(100):
        try:
            with connected(place, None):
                return
        except StoreError:
            time.sleep(0.1)


def test_a_writer_killed_in_the_middle_loses_and_repeats_nothing(cluster, tmp_path, model, passages):
    with connected(tmp_path / "one", None) as client:
        nodes = dataset_nodes(RetrievalDataset("", "", passages, ()))
        build_qdrant_index(nodes, client, "rules", embed_model=model)
    killed, seen = [], []

    def kill(done, total):
        seen.append((done, total))
        if done > total // 2 and not killed:
            assert done < total
            killed.append(_kill("QdrantWriter"))

    source = _source("passages", (*passages, Passage("blank", " ", "")))
    report = ingest_passages_into_qdrant(
        tmp_path / "many", "rules", source, embed_model=model, workers=2, on_progress=kill
    )
    assert killed == [True]
    assert seen[-1] == (2 * source.count, 2 * source.count)
    assert (report.added, report.unchanged, len(report.failed)) == (PASSAGES, 0, 1)
    _equal(_content(tmp_path / "many", model), _content(tmp_path / "one", model))


def test_an_interrupted_run_is_taken_up_and_a_finished_one_left_alone(cluster, tmp_path, model, passages):
    place, source = tmp_path / "many", _source("passages", passages)
    seen = []

    def run(**options):
        seen.clear()
        return ingest_passages_into_qdrant(place, "rules", source, embed_model=model, workers=2, **options)

    def stop(done, total):
        if done > total // 2:
            raise RuntimeError(STOPPED)

    with pytest.raises(RuntimeError, match=STOPPED):
        run(on_progress=stop)
    _wait_until_free(place)
    with connected(place, None) as client, pytest.raises(IndexNotFound):
        open_qdrant_index(client, "rules", embed_model=model)

    report = run(on_progress=lambda done, total: seen.append((done, total)))
    assert report.unchanged > 0
    assert report.added + report.unchanged == PASSAGES
    assert seen[-1] == (PASSAGES, PASSAGES)
    assert _collections(place) == 1
    whole = _content(place, model)
    assert len(whole[1]) == PASSAGES

    report = run()
    assert (report.added, report.unchanged) == (0, PASSAGES)
    assert _content(place, model) == whole


def test_other_passages_and_repeated_ids_leave_the_index_as_it_was(cluster, tmp_path, model, passages):
    place = tmp_path / "many"

    def run(source, **options):
        return ingest_passages_into_qdrant(place, "rules", source, embed_model=model, workers=1, **options)

    assert run(_source("good", passages[:8])).added == 8
    before = _content(place, model)
    twice = _source("twice", (*passages[:7], passages[0]))
    with pytest.raises(IndexExists, match="overwrite=True"):
        run(twice)
    with pytest.raises(DuplicateNodeId):
        run(twice, overwrite=True)
    _wait_until_free(place)
    assert _content(place, model) == before
    assert run(_source("other", passages[8:20]), overwrite=True).added == 12
    assert len(_content(place, model)[1]) == 12
    assert _collections(place) == 1
