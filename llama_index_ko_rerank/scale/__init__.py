"""Past one machine: the same retrieval on engines that are there already.

Indexing on Ray, into shards that `Collection.open` searches as one, needs the extra ``ray``; searching them does not.
The names below are resolved on first use, so that importing the room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.scale.ray.encoding import open_passages
    from llama_index_ko_rerank.scale.ray.ingestion import ingest_files, ingest_passages, plan_shards

__all__ = [
    "ingest_files",
    "ingest_passages",
    "open_passages",
    "plan_shards",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ingest_files": "ray.ingestion",
        "ingest_passages": "ray.ingestion",
        "open_passages": "ray.encoding",
        "plan_shards": "ray.ingestion",
    },
)
