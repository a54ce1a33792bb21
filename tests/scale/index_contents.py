"""Everything that indexes hold, to compare those of one process with those of workers."""

from contextlib import closing

import numpy as np

from llama_index_ko_rerank.store.index_folder import IndexFolder


def contents(*folders):
    """Every node of some indexes with its vector, by id; no node is in two of them."""
    found = {}
    for folder in folders:
        with closing(IndexFolder(folder, mode="open", embedding_identity=None)) as index, index.read() as view:
            rows = list(view.all_rows())
            blocks = [block for _, block in view.vector_blocks(0)]
        vectors = np.concatenate(blocks) if blocks else np.zeros((0, 0))
        assert not found.keys() & {row.node_id for row in rows}
        found |= {row.node_id: (row, vector) for row, vector in zip(rows, vectors, strict=True)}
    return found


def check_equal(left, right):
    """The same ids and rows, and vectors within 1e-5."""
    assert left.keys() == right.keys()
    for node_id, (row, vector) in left.items():
        assert row == right[node_id][0]
        assert np.abs(vector - right[node_id][1]).max() < 1e-5
