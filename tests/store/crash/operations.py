"""Random changes of a store, and what each makes of a model; plain tuples, so that they travel through pipes."""

from __future__ import annotations

import random
from typing import Any

from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from tests.store.crash.model import Entry, Model

GROUPS = 5
MANY = 250
"""With more nodes than this, deletions are three times as likely."""

Operation = tuple[str, Any]

_WEIGHTS = {
    "add": 8,
    "upsert": 6,
    "delete": 3,
    "delete_nodes": 3,
    "delete_group": 1,
    "persist": 5,
    "reopen": 2,
    "search": 2,
    "clear": 0.2,
}
CHANGES = ("add", "upsert", "delete", "delete_nodes", "delete_group", "clear")


def next_operation(chance: random.Random, model: Model) -> Operation:
    """Draw what to do next with a store that holds the nodes of a model."""
    weights = dict(_WEIGHTS)
    if len(model) > MANY:
        weights |= {name: 3 * weights[name] for name in ("delete", "delete_nodes", "delete_group")}
    name = chance.choices(list(weights), list(weights.values()))[0]
    if not model and name in {"upsert", "delete", "delete_nodes"}:
        name = "add"
    if name == "add":
        return name, _new_document(chance)
    if name == "upsert":
        some = chance.sample(list(model), min(len(model), chance.randint(1, 12)))
        again = {node_id: model[node_id]._replace(version=chance.randrange(10**6)) for node_id in some}
        return name, again | _new_document(chance)
    if name == "delete":
        return name, chance.choice(list(model.values())).document
    if name == "delete_nodes":
        return name, [*chance.sample(list(model), min(len(model), chance.randint(1, 20))), "nobody"]
    if name == "delete_group":
        return name, chance.randrange(GROUPS)
    return name, None


def _new_document(chance: random.Random) -> Model:
    document = f"d{chance.randrange(10**9)}"
    return {
        f"{document}/{part}": Entry(document, chance.randrange(10**6), chance.randrange(GROUPS))
        for part in range(chance.randint(1, 24))
    }


def apply(model: Model, operation: Operation) -> Model:
    """Say what a model becomes by an operation."""
    name, argument = operation
    if name in {"add", "upsert"}:
        return {node_id: entry for node_id, entry in model.items() if node_id not in argument} | argument
    if name == "delete":
        return {node_id: entry for node_id, entry in model.items() if entry.document != argument}
    if name == "delete_nodes":
        return {node_id: entry for node_id, entry in model.items() if node_id not in argument}
    if name == "delete_group":
        return {node_id: entry for node_id, entry in model.items() if entry.group != argument}
    return {} if name == "clear" else model


def perform(store: Any, operation: Operation) -> None:
    """Do an operation with a store; ``reopen`` and ``search`` are the caller's."""
    name, argument = operation
    if name in {"add", "upsert"}:
        store.add([entry.node(node_id) for node_id, entry in argument.items()])
    elif name == "delete_group":
        store.delete_nodes(filters=group_is(argument))
    elif name in {"delete", "delete_nodes"}:
        getattr(store, name)(argument)
    else:
        getattr(store, name)()


def group_is(group: int) -> MetadataFilters:
    """Filter by group."""
    return MetadataFilters(filters=[MetadataFilter(key="group", value=group, operator=FilterOperator.EQ)])
