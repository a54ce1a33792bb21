"""Reading all of a table to see whether it is what was written."""

from __future__ import annotations

from collections.abc import Iterator

from llama_index_ko_rerank.errors import DamagedIndex, StoreError
from llama_index_ko_rerank.store.table_view import TableView

_SHOWN = 20


def table_problems(view: TableView) -> tuple[str, ...]:
    """List what is wrong with a table, in sentences; none where it is whole.

    SQLite checks its pages and indexes, then every node is compared with its checksum, every vector is measured, and
    the counts are compared. Past 20 problems only their number is told.
    """
    problems: list[str] = []
    try:
        problems.extend(_problems(view))
    except StoreError as problem:
        problems.append(str(problem))
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more problems"]
    return tuple(problems)


def _problems(view: TableView) -> Iterator[str]:
    yield from (f"SQLite says: {line}" for line in view.sqlite_problems())
    yield from (f"the node {node_id!r} is not what was written" for node_id in view.damaged_node_ids())
    without_vector, without_node = view.unpaired()
    if without_vector:
        yield f"{without_vector} nodes have no vector"
    if without_node:
        yield f"{without_node} vectors belong to no node"
    count = view.node_count()
    if count != view.manifest.node_count:
        yield f"the manifest counts {view.manifest.node_count} nodes, and there are {count}"
    try:
        for _ in view.vector_blocks(0):
            pass
    except DamagedIndex as problem:
        yield str(problem)
