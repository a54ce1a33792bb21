"""What workers and writer make of passages for Qdrant, without a cluster: the same as `build_qdrant_index` makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient

from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset, dataset_nodes
from llama_index_ko_rerank.errors import DimensionMismatch, IndexExists, InvalidSetting, StoreError
from llama_index_ko_rerank.scale.qdrant import build_qdrant_index, ingest_passages_into_qdrant
from llama_index_ko_rerank.scale.qdrant.client import QdrantCollection, connect, connected
from llama_index_ko_rerank.scale.qdrant.ingestion import HANDED, CountingPassageEncoder, QdrantWriter, measure
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS, TokenCounts
from llama_index_ko_rerank.scale.ray.encoding import PassageSource
from tests.corpora.qdrant import BigramEmbedding

PASSAGES = tuple(
    Passage(f"p{number}", f"{number}일 안에 휴가를 신청한다. 부서 {number % 7}", "규정") for number in range(300)
)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "qdrant"


@pytest.fixture
def built():
    """The collection that one process makes of the passages."""
    client = QdrantClient(":memory:")
    nodes = dataset_nodes(RetrievalDataset("", "", PASSAGES, ()))
    yield build_qdrant_index(nodes, client, "rules", embed_model=BigramEmbedding()).vector_store.collection
    client.close()


@pytest.fixture
def handed():
    """What the writer gets of the passages, one of which has no text."""
    rows = [*PASSAGES, Passage("blank", " ", "")]
    encoded = CountingPassageEncoder(BigramEmbedding(), writers=[None], resumes=False)(batch(rows))
    assert (encoded["outcome"].count("added"), encoded["outcome"].count("failed")) == (300, 1)
    return [each for each in zip(*(encoded[name] for name in HANDED), strict=True) if each[1]]


def batch(passages):
    return {
        name: np.array([getattr(each, name) for each in passages], dtype=object) for name in ("id", "text", "title")
    }


def start(place, manifest):
    """Make the empty collection of a build."""
    with connected(place, None) as client:
        QdrantCollection(client, "rules.0123abcd").create(replace(manifest, complete=False))
    return QdrantWriter(place, None, "rules.0123abcd", manifest)


def content(collection):
    records, _ = collection.client.scroll(collection.name, limit=10_000, with_payload=True, with_vectors=True)
    return {record.id: record for record in records}


def same(left, right):
    assert left.keys() == right.keys()
    for identity, record in left.items():
        other = right[identity]
        assert record.payload == other.payload
        assert np.allclose(record.vector["dense"], other.vector["dense"], rtol=0, atol=1e-5)
        for view in VIEWS:
            assert record.vector[view].indices == other.vector[view].indices
            assert np.allclose(record.vector[view].values, other.vector[view].values, rtol=0, atol=1e-5)


def test_passages_become_the_points_of_one_process(place, built, handed):
    writer = start(place, built.manifest())
    assert writer.write(handed) == 300
    assert writer.finish() == 300
    with connected(place, None) as client:
        same(content(QdrantCollection(client, "rules.0123abcd")), content(built))


def test_a_writer_that_died_half_way_is_given_its_work_again(place, built, handed):
    first = start(place, built.manifest())
    first.write(handed[:130])
    first._collection.client.close()
    second = QdrantWriter(place, None, "rules.0123abcd", built.manifest())
    known = second.content_hashes([passage.id for passage in PASSAGES])
    assert known.keys() == {passage.id for passage in PASSAGES[:130]}
    second.write(handed)
    second.write(handed[100:200])
    assert second.finish() == 300
    with connected(place, None) as client:
        same(content(QdrantCollection(client, "rules.0123abcd")), content(built))


def test_the_lengths_of_all_batches_are_those_of_the_whole(built):
    lines = [measure(batch(part)) for part in (PASSAGES[:100], PASSAGES[100:], [Passage("blank", " ", "")])]
    assert [line["read"] for line in lines] == [[100], [200], [1]]
    passages = sum(line["passages"][0] for line in lines)
    means = {view: sum(line[view][0] for line in lines) / passages for view in VIEWS}
    assert means == built.manifest().mean_lengths


def test_counts_survive_the_way_to_another_process():
    for tokens in (["가", "나", "가"], []):
        counts = TokenCounts.of(tokens)
        again = TokenCounts.from_bytes(counts.to_bytes())
        assert (again.numbers.tolist(), again.counts.tolist()) == (counts.numbers.tolist(), counts.counts.tolist())


def test_vectors_of_another_length_are_refused(place, built, handed):
    writer = start(place, replace(built.manifest(), dimension=5))
    with pytest.raises(DimensionMismatch, match="5 numbers, this one has 48"):
        writer.write(handed)
    assert writer.finish() == 0


def test_a_place_that_is_no_url_or_in_use_is_refused(place):
    with pytest.raises(InvalidSetting, match="localhost:6333"):
        connect("localhost:6333", None)
    with connected(place, None), pytest.raises(StoreError, match="already accessed"):
        connect(place, None)


def test_an_index_of_other_documents_is_refused_before_ray_is_asked(place):
    with connected(place, None) as client:
        build_qdrant_index(dataset_nodes(RetrievalDataset("", "", PASSAGES[:3], ())), client, "rules",
                           embed_model=BigramEmbedding())  # fmt: skip
    source = PassageSource("rules", "sha256:0", 300, passages=PASSAGES)
    with pytest.raises(IndexExists, match="overwrite=True"):
        ingest_passages_into_qdrant(place, "rules", source, embed_model=BigramEmbedding())
