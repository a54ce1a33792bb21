"""What tests run in other processes."""

from collections import Counter

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.store import DurableFaissVectorStore

EVERYTHING = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=10**6)


def nodes_of(document, parts=3, edition=0):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return [
        TextNode(
            id_=f"{document}/{part}",
            text=f"{document}의 {part}번째 글",
            embedding=[1.0, part + edition],
            relationships=source,
            metadata={"edition": edition},
        )
        for part in range(parts)
    ]


def come_and_go(folder, name, rounds):
    """Open, add, search, delete, and close again and again, seeing no document of which a part is missing."""
    for number in range(rounds):
        with DurableFaissVectorStore(folder) as store:
            document = f"{name}-{number}"
            store.add(nodes_of(document))
            parts = Counter(node_id.split("/")[0] for node_id in store.query(EVERYTHING).ids)
            assert parts[document] == 3
            assert set(parts.values()) == {3}
            if number % 2:
                store.delete(document)


def publish_editions(folder, parts, editions):
    """Replace a document by its next edition again and again, each with other texts at other places."""
    with DurableFaissVectorStore(folder, create=False) as store:
        for edition in range(1, editions + 1):
            store.add(nodes_of("law", parts, edition))
            if edition % 4 == 0:
                store.persist()


def make_an_index(folder, start):
    """Make an index at the same moment as others."""
    start.wait()
    DurableFaissVectorStore(folder).close()
