"""Which rows are left by ids, by documents and by metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.store.filters import Group, meets
from llama_index_ko_rerank.store.metadata_columns import both, mask_of
from llama_index_ko_rerank.store.node_rows import read_metadata
from llama_index_ko_rerank.store.table_view import TableView


def rows_allowed(
    view: TableView, node_ids: Sequence[str] | None, ref_doc_ids: Sequence[str] | None
) -> NDArray[np.bool_] | None:
    """Say of each row id whether both restrictions leave it; None where there is no restriction."""
    allowed: NDArray[np.bool_] | None = None
    if node_ids:
        allowed = mask_of(view.row_ids_of_nodes(node_ids))
    if ref_doc_ids:
        of_documents = mask_of(view.row_ids_of_documents(ref_doc_ids))
        allowed = of_documents if allowed is None else both(allowed, of_documents)
    return allowed


def rows_left(view: TableView, node_ids: Sequence[str] | None, condition: Group | None) -> list[int]:
    """Find the rows that ids and a condition leave, in the order of the ids or of addition."""
    if node_ids is None:
        every = view.metadata_after(0)
        return [row_id for row_id, source, metadata in every if _passes(condition, metadata, source)]
    row_ids = view.row_ids_of_nodes(node_ids)
    if condition is None:
        return row_ids
    return [
        row_id
        for row_id, row in zip(row_ids, view.rows(row_ids), strict=True)
        if _passes(condition, read_metadata(row.node_id, row.metadata), row.ref_doc_id)
    ]


def _passes(condition: Group | None, metadata: Mapping[str, Any], ref_doc_id: str | None) -> bool:
    return condition is None or meets(condition, metadata, ref_doc_id=ref_doc_id)
