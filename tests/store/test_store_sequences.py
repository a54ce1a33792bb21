"""Any sequence of changes, by two stores on one folder, gives what a dict of vectors and a sort give."""

import operator
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from llama_index_ko_rerank.store import DurableFaissVectorStore
from tests.store.crash.campaigns import KINDS
from tests.store.crash.damage import DAMAGES
from tests.store.crash.model import search_problem

# Few ids, documents and directions, so that upserts, shared documents and equal similarities are common.
IDS = st.integers(0, 7).map(lambda number: f"n{number}")
DOCUMENTS = st.integers(0, 3).map(lambda number: f"d{number}")
VECTORS = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
GROUPS = st.integers(0, 3)
ENTRIES = st.lists(st.tuples(IDS, DOCUMENTS, GROUPS, VECTORS), min_size=1, max_size=5, unique_by=lambda entry: entry[0])
WHO = st.integers(0, 1)

COMPARISONS = {
    FilterOperator.EQ: operator.eq,
    FilterOperator.NE: operator.ne,
    FilterOperator.GT: operator.gt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LT: operator.lt,
    FilterOperator.LTE: operator.le,
    FilterOperator.IN: lambda group, groups: group in groups,
    FilterOperator.NIN: lambda group, groups: group not in groups,
}
SETS = {FilterOperator.IN, FilterOperator.NIN}
JOINS = {FilterCondition.AND: all, FilterCondition.OR: any, FilterCondition.NOT: lambda parts: not any(parts)}

LEAVES = st.sampled_from(list(COMPARISONS)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(GROUPS, min_size=1, max_size=3) if name in SETS else GROUPS)
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.tuples(st.sampled_from(list(JOINS)), st.lists(parts, min_size=1, max_size=3)),
    max_leaves=5,
)


def matches(tree, group):
    """Say by hand whether a filter lets a group through; a list under NOT is refused where any part lets it."""
    name, argument = tree
    if name in COMPARISONS:
        return COMPARISONS[name](group, argument)
    return JOINS[name]([matches(part, group) for part in argument])


def as_filters(tree):
    name, argument = tree
    if name in COMPARISONS:
        return MetadataFilters(filters=[MetadataFilter(key="group", operator=name, value=argument)])
    return MetadataFilters(filters=[as_filters(part) for part in argument], condition=name)


def make_node(node_id, document, group, vector):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return TextNode(
        id_=node_id, text=f"{node_id} {vector}", embedding=vector, relationships=source, metadata={"group": group}
    )


class StoreMachine(RuleBasedStateMachine):
    """Two stores on one folder, and ``there``: entries by node id in the order of addition."""

    def __init__(self, options):
        super().__init__()
        self.options = options
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "색인"
        self.there = {}
        self.left_open = []
        self.stores = [DurableFaissVectorStore(self.folder, **options) for _ in range(2)]

    def keep(self, wanted):
        self.there = {node_id: entry for node_id, entry in self.there.items() if wanted(node_id, entry)}

    def vectors(self, wanted=lambda node_id, entry: True):
        return {node_id: entry[-1] for node_id, entry in self.there.items() if wanted(node_id, entry)}

    @rule(who=WHO, entries=ENTRIES)
    def add_or_replace(self, who, entries):
        self.stores[who].add([make_node(*entry) for entry in entries])
        added = {entry[0]: entry[1:] for entry in entries}
        self.keep(lambda node_id, _: node_id not in added)
        self.there |= added

    @rule(who=WHO, document=DOCUMENTS)
    def delete_a_document(self, who, document):
        self.stores[who].delete(document)
        self.keep(lambda _, entry: entry[0] != document)

    @rule(who=WHO, node_ids=st.lists(IDS, max_size=4))
    def delete_nodes_by_id(self, who, node_ids):
        self.stores[who].delete_nodes(node_ids)
        self.keep(lambda node_id, _: node_id not in node_ids)

    @rule(who=WHO, tree=FILTERS)
    def delete_nodes_by_filter(self, who, tree):
        self.stores[who].delete_nodes(filters=as_filters(tree))
        self.keep(lambda _, entry: not matches(tree, entry[1]))

    @rule(who=WHO)
    def clear(self, who):
        self.stores[who].clear()
        self.there = {}

    @rule(who=WHO)
    def persist(self, who):
        self.stores[who].persist()

    @rule(who=WHO, orderly=st.booleans())
    def reopen(self, who, orderly):
        if orderly:
            self.stores[who].close()
        else:
            self.left_open.append(self.stores[who])
        self.stores[who] = DurableFaissVectorStore(self.folder, create=False, **self.options)

    @rule(damage=st.sampled_from([*DAMAGES, "missing"]), seed=st.integers(0, 2**16))
    def tamper_with_the_snapshots(self, damage, seed):
        for file in self.folder.glob("vectors.*"):
            if damage == "missing":
                file.unlink()
            elif content := file.read_bytes():
                file.write_bytes(DAMAGES[damage](content, random.Random(seed)))

    @rule(who=WHO, query=VECTORS, top_k=st.integers(1, 9), node_ids=st.lists(IDS, max_size=4))
    def search_among_ids(self, who, query, top_k, node_ids):
        among = self.vectors(lambda node_id, _: not node_ids or node_id in node_ids)
        assert not search_problem(self.stores[who], among, query, similarity_top_k=top_k, node_ids=node_ids)

    @rule(who=WHO, query=VECTORS, top_k=st.integers(1, 9), tree=FILTERS, documents=st.lists(DOCUMENTS, max_size=2))
    def search_with_a_filter(self, who, query, top_k, tree, documents):
        among = self.vectors(
            lambda _, entry: matches(tree, entry[1]) and (not documents or entry[0] in documents),
        )
        fields = {"similarity_top_k": top_k, "filters": as_filters(tree), "doc_ids": documents}
        assert not search_problem(self.stores[who], among, query, **fields)

    @rule(who=WHO, tree=FILTERS)
    def get_nodes_by_filter(self, who, tree):
        found = [node.node_id for node in self.stores[who].get_nodes(filters=as_filters(tree))]
        assert found == list(self.vectors(lambda _, entry: matches(tree, entry[1])))

    @invariant()
    def both_count_what_is_there(self):
        assert [store.count for store in self.stores] == [len(self.there)] * 2

    def teardown(self):
        for store in [*self.left_open, *self.stores]:
            store.close()
        with DurableFaissVectorStore(self.folder, create=False, **self.options) as store:
            expected = [make_node(node_id, *entry) for node_id, entry in self.there.items()]
            assert list(store.nodes()) == [node.model_copy(update={"embedding": None}) for node in expected]
            assert not search_problem(store, self.vectors(), [1, 2, -1], similarity_top_k=9)
        self.temporary.cleanup()


QUICK = settings(max_examples=25, stateful_step_count=16, deadline=None)
DEEP = settings(max_examples=200, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("kind", KINDS)
def test_any_sequence_of_changes_is_what_a_dict_and_brute_force_say(kind):
    run_state_machine_as_test(lambda: StoreMachine(KINDS[kind]), settings=QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_any_long_sequence_of_changes_is_what_a_dict_and_brute_force_say(kind):
    run_state_machine_as_test(lambda: StoreMachine(KINDS[kind]), settings=DEEP)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_was_emptied_and_opened_again_takes_nodes_again(kind, tmp_path):
    with DurableFaissVectorStore(tmp_path, **KINDS[kind]) as store:
        store.add([make_node("n0", "d0", 0, [1, 0, 0])])
        store.delete("d0")
    with DurableFaissVectorStore(tmp_path, **KINDS[kind]) as store:
        assert not search_problem(store, {}, [1, 0, 0])
        store.add([make_node("n1", "d0", 0, [1, 1, 0]), make_node("n2", "d1", 0, [1, 0, 0])])
        assert not search_problem(store, {"n1": [1, 1, 0], "n2": [1, 0, 0]}, [1, 0, 0])
