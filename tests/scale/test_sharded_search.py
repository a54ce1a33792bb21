"""Several shards searched as one store."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import Document, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.errors import DamagedIndex, IndexExists, IndexNotFound, InvalidSetting, ModelMismatch
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.scale.ray.ingestion import choose_shards, make_shards
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.index import index_over
from llama_index_ko_rerank.store.sharded import ShardedVectorStore, Shards, find_shards, shard_of

TEXTS = [
    f"제{number}조 {word} 신청은 {number}일 안에 한다." for number, word in enumerate(["휴가", "출장", "병가"] * 10)
]


class LetterEmbedding(BaseEmbedding):
    """Counts the letters of a text."""

    model_name: str = "letters"

    def _get_text_embedding(self, text):
        return [text.count(letter) + 0.1 * (place + 1) for place, letter in enumerate("휴가출장병0123456789")]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


def _nodes():
    model = LetterEmbedding()
    return [
        TextNode(
            id_=f"d{number // 2}:{number % 2}",
            text=text,
            embedding=model.get_text_embedding(text),
            metadata={"kind": text.split()[1]},
            excluded_embed_metadata_keys=["kind"],
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{number // 2}")},
        )
        for number, text in enumerate(TEXTS)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("모음")
    identity = embedding_identity(LetterEmbedding())
    make_shards(Shards(folder / "여럿", 3), embed_model=LetterEmbedding())
    with (
        ShardedVectorStore(folder / "여럿", embedding_identity=identity) as many,
        DurableFaissVectorStore(folder / "하나", embedding_identity=identity) as one,
    ):
        many.add(_nodes())
        one.add(_nodes())
        yield many, one


def _ask(store, text, top_k=5, **options):
    vector = LetterEmbedding().get_query_embedding(text)
    return store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=top_k, **options))


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet="휴가출장병0123456789", min_size=1), st.integers(1, 40))
def test_all_shards_together_find_what_one_store_finds(both, question, top_k):
    many, one = (_ask(store, question, top_k) for store in both)
    assert np.allclose(many.similarities, one.similarities, atol=1e-6)
    clear = {
        node_id for node_id, cosine in zip(one.ids, one.similarities, strict=True) if cosine > one.similarities[-1]
    }
    assert clear <= set(many.ids)
    assert len(set(many.ids)) == len(one.ids)


def test_filters_hold_in_every_shard(both):
    filters = MetadataFilters(filters=[MetadataFilter(key="kind", value="출장")])
    many, one = (_ask(store, "출장 13", 30, filters=filters) for store in both)
    assert set(many.ids) == set(one.ids)
    assert len(many.ids) == 10


def test_a_document_is_wholly_in_the_shard_that_its_id_names(both):
    many, _ = both
    for number, store in enumerate(many.client):
        assert all(shard_of(node.ref_doc_id, 3) == number for node in store.nodes())
    assert sum(store.count for store in many.client) == many.count == len(TEXTS)
    assert all(store.count for store in many.client)


def test_tokens_weigh_as_in_one_index(both, tmp_path):
    many, one = both
    sharded = KoreanBM25Retriever.from_index(many, similarity_top_k=10, snapshot=tmp_path / "lexical")
    single = KoreanBM25Retriever.from_index(one, similarity_top_k=10)
    for question in ("출장 신청은 며칠 안에 하나요?", "병가", "제7조"):
        found = [[(hit.score, hit.node_id) for hit in each.retrieve(question)] for each in (sharded, single)]
        assert [score for score, _ in found[0]] == pytest.approx([score for score, _ in found[1]])
    again = KoreanBM25Retriever.from_index(many, similarity_top_k=10, snapshot=tmp_path / "lexical")
    assert [hit.node_id for hit in again.retrieve("병가")] == [hit.node_id for hit in sharded.retrieve("병가")]


def test_llama_index_inserts_and_deletes_through_the_shards(tmp_path):
    make_shards(Shards(tmp_path, 2), embed_model=LetterEmbedding())
    with ShardedVectorStore(tmp_path) as store:
        index = VectorStoreIndex.from_vector_store(store, embed_model=LetterEmbedding())
        index.insert_nodes(_nodes())
        assert [node.node_id for node in store.get_nodes(["d3:1", "없음", "d0:0"])] == ["d3:1", "d0:0"]
        index.delete_ref_doc("d3")
        assert store.count == len(TEXTS) - 2
        assert store.get_nodes(["d3:0", "d3:1"]) == []


def test_a_document_that_is_there_as_it_is_is_not_inserted_again(tmp_path):
    make_shards(Shards(tmp_path, 2), embed_model=LetterEmbedding())
    documents = [Document(id_=f"문서 {number}", text=f"{number}일 안에 신청한다.") for number in range(6)]
    with ShardedVectorStore(tmp_path) as store:
        index = index_over(store, LetterEmbedding(), chunk_tokens=None)
        assert index.refresh_ref_docs(documents) == [True] * 6
        documents[2] = Document(id_="문서 2", text="이틀 안에 다시 신청한다.")
        assert index.refresh_ref_docs(documents) == [False, False, True, False, False, False]
        assert store.count == 6


def test_another_model_or_number_of_shards_is_refused(tmp_path):
    make_shards(Shards(tmp_path, 2), embed_model=LetterEmbedding())
    assert find_shards(tmp_path).count == choose_shards(tmp_path, None).count == 2
    with pytest.raises(InvalidSetting, match="has 2 shards, and 3"):
        choose_shards(tmp_path, 3)
    with pytest.raises(ModelMismatch):
        ShardedVectorStore(tmp_path, embedding_identity={"class_name": "other"})


def test_a_folder_without_shards_says_what_to_do(tmp_path):
    with pytest.raises(IndexNotFound, match="--engine ray"):
        ShardedVectorStore(tmp_path)
    with pytest.raises(InvalidSetting, match="1 to 1024"):
        choose_shards(tmp_path, 0)
    (tmp_path / "index").mkdir()
    with pytest.raises(IndexExists, match="another folder"):
        choose_shards(tmp_path, 2)


def test_a_damaged_list_of_shards_is_named(tmp_path):
    (tmp_path / "shards.json").write_text(json.dumps({"format": 9, "shards": 2}), encoding="utf-8")
    with pytest.raises(DamagedIndex, match=r"shards.json"):
        find_shards(tmp_path)
