"""What the workers do for Qdrant besides embedding: they count the tokens of the passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS, count_texts
from llama_index_ko_rerank.scale.qdrant.writing import lexical_texts
from llama_index_ko_rerank.scale.ray.encoding import PassageEncoder, passage_nodes
from llama_index_ko_rerank.scale.ray.rows import Batch, read_rows
from llama_index_ko_rerank.store.sqlite.rows import to_node

HANDED = ("rows", "vectors", *VIEWS)
"""The columns that `QdrantWriter` gets."""


class CountingPassageEncoder:
    """Does as `PassageEncoder`, and adds a column a view: the passage's `TokenCounts` as bytes."""

    def __init__(self, embed_model: BaseEmbedding, *, writers: Sequence[Any], resumes: bool) -> None:
        """Take what `PassageEncoder` takes; ``writers`` is the one `QdrantWriter`."""
        self._encode = PassageEncoder(embed_model, writers=writers, resumes=resumes)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Encode some passages."""
        encoded = self._encode(batch)
        rows = [read_rows(each) for each in encoded["rows"]]
        counts = count_texts(lexical_texts([to_node(row) for of_passage in rows for row in of_passage]))
        for view in VIEWS:
            found = iter(counts[view])
            encoded[view] = [next(found).to_bytes() if of_passage else b"" for of_passage in rows]
        return encoded


def measure(batch: Batch) -> dict[str, list[int]]:
    """Count some passages and their tokens: ``read`` of all, ``passages`` that have a text, and the tokens a view."""
    nodes, _ = passage_nodes(batch)
    counts = count_texts(lexical_texts(nodes))
    tokens = {view: [sum(one.length for one in counts[view])] for view in VIEWS}
    return {"read": [len(batch["id"])], "passages": [len(nodes)], **tokens}
