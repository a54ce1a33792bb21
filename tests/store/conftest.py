"""A content-sensitive embedding, nodes made from text, and a store in a fresh folder."""

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.store import DurableFaissVectorStore


@pytest.fixture
def make_node():
    def make(node_id, vector=(1.0, 0.0), *, text=None, document=None, **fields):
        relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)} if document else {}
        embedding = None if vector is None else list(vector)
        return TextNode(
            id_=node_id, text=text or f"{node_id}의 글", embedding=embedding, relationships=relationships, **fields
        )

    return make


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "한글 폴더 100% #1" / "index"


@pytest.fixture
def store(folder):
    with DurableFaissVectorStore(folder) as opened:
        yield opened


@pytest.fixture
def search():
    def run(store, vector, top_k=10, **fields):
        result = store.query(VectorStoreQuery(query_embedding=list(vector), similarity_top_k=top_k, **fields))
        return list(zip(result.ids, result.similarities, strict=True))

    return run
