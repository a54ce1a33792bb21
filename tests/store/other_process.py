"""What tests run in other processes."""

import os
from collections import Counter

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.store import DurableFaissVectorStore


def nodes_of(document):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return [
        TextNode(
            id_=f"{document}/{part}", text=f"{document}의 {part}번째 글", embedding=[1.0, part], relationships=source
        )
        for part in range(3)
    ]


def write_for_ever(folder, notes, first):
    """Change an index until somebody kills this process, and note every change before and after it."""
    store = DurableFaissVectorStore(folder)
    with notes.open("ab", buffering=0) as acknowledged:
        step = first
        while True:
            document = f"d{step}"
            os.write(acknowledged.fileno(), f"try add {document}\n".encode())
            store.add(nodes_of(document))
            os.write(acknowledged.fileno(), f"did add {document}\n".encode())
            if step % 3 == 2:
                document = f"d{step - 1}"
                os.write(acknowledged.fileno(), f"try delete {document}\n".encode())
                store.delete(document)
                os.write(acknowledged.fileno(), f"did delete {document}\n".encode())
            if step % 4 == 3:
                store.persist()
            step += 1


def come_and_go(folder, name, rounds):
    """Open, add, search, delete, and close again and again, seeing no document of which a part is missing."""
    everything = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=10**6)
    for number in range(rounds):
        with DurableFaissVectorStore(folder) as store:
            document = f"{name}-{number}"
            store.add(nodes_of(document))
            parts = Counter(node_id.split("/")[0] for node_id in store.query(everything).ids)
            assert parts[document] == 3
            assert set(parts.values()) == {3}
            if number % 2:
                store.delete(document)
