"""Any sequence of changes gives what a dict of vectors and a sort give."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.unit_vectors import unit_vectors

# Few ids, documents and directions, so that upserts, shared documents and equal similarities are common.
IDS = st.integers(0, 7).map(lambda number: f"n{number}")
DOCUMENTS = st.integers(0, 3).map(lambda number: f"d{number}")
VECTORS = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
ENTRIES = st.lists(st.tuples(IDS, DOCUMENTS, VECTORS), min_size=1, max_size=5, unique_by=lambda entry: entry[0])
ACTIONS = st.one_of(
    st.tuples(st.just("add"), ENTRIES),
    st.tuples(st.just("delete"), DOCUMENTS),
    st.tuples(st.just("delete_nodes"), st.lists(IDS, max_size=4)),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("persist"), st.none()),
    st.tuples(st.just("reopen"), st.booleans()),
    st.tuples(st.just("search"), st.tuples(VECTORS, st.integers(1, 9), st.lists(IDS, max_size=4))),
)


class Model:
    """Node ids in the order of addition, each with its document and its vector."""

    def __init__(self):
        self.nodes = {}

    def add(self, entries):
        for node_id, _, _ in entries:
            self.nodes.pop(node_id, None)
        for node_id, document, vector in entries:
            self.nodes[node_id] = (document, vector)

    def delete(self, document):
        self.nodes = {node_id: entry for node_id, entry in self.nodes.items() if entry[0] != document}

    def delete_nodes(self, node_ids):
        self.nodes = {node_id: entry for node_id, entry in self.nodes.items() if node_id not in node_ids}

    def clear(self, _):
        self.nodes = {}

    def search(self, vector, top_k, node_ids):
        names = [node_id for node_id in self.nodes if not node_ids or node_id in node_ids]
        if not names:
            return [], []
        unit = unit_vectors([*(self.nodes[name][1] for name in names), vector], ["", *names]).astype(np.float64)
        cosines = (unit[:-1] * unit[-1]).sum(axis=1)
        order = np.lexsort((np.arange(len(names)), -cosines))[:top_k]
        return [names[position] for position in order], np.clip(cosines[order], -1.0, 1.0)


def node(node_id, document, vector):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return TextNode(id_=node_id, text=f"{node_id} {vector}", embedding=vector, relationships=source)


def check(stores, model, vector, top_k, node_ids):
    expected_ids, expected_cosines = model.search(vector, top_k, node_ids)
    for store in stores:
        result = store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=top_k, node_ids=node_ids))
        assert result.ids == expected_ids
        assert result.similarities == pytest.approx(expected_cosines, abs=1e-12)
        assert [found.text for found in result.nodes] == [f"{one} {model.nodes[one][1]}" for one in expected_ids]
        assert store.count == len(model.nodes)


def act(store, model, action, argument):
    if action == "add":
        store.add([node(*entry) for entry in argument])
    elif action in {"delete", "delete_nodes"}:
        getattr(store, action)(argument)
    else:
        getattr(store, action)()
    if action != "persist":
        getattr(model, action)(argument)


@settings(max_examples=40, deadline=None)
@given(actions=st.lists(ACTIONS, min_size=1, max_size=12))
def test_any_sequence_of_changes_is_what_a_dict_and_brute_force_say(actions):
    model = Model()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "색인"
        store = DurableFaissVectorStore(folder)
        witness = DurableFaissVectorStore(folder)
        left_open = [witness]
        for action, argument in actions:
            if action == "search":
                check([store, witness], model, *argument)
            elif action == "reopen":
                if argument:
                    store.close()
                left_open.append(store)
                store = DurableFaissVectorStore(folder, create=False)
            else:
                act(store, model, action, argument)
        check([store, witness], model, [1, 2, -1], 9, [])
        assert [found.node_id for found in store.nodes()] == list(model.nodes)
        for opened in [*left_open, store]:
            opened.close()
        with DurableFaissVectorStore(folder, create=False) as again:
            check([again], model, [2, -1, 1], 9, [])
