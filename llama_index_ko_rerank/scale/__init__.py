"""Past one machine: the same retrieval on engines that are there already.

Indexing on Ray, into shards that `open_collection` searches as one, needs the extra ``ray``; searching them does not.
The names below are resolved on first use, so that importing the room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.scale.ray_ingestion import ingest_files, ingest_passages
    from llama_index_ko_rerank.scale.ray_passages import open_passages
    from llama_index_ko_rerank.scale.sharded_plan import plan_shards

__all__ = [
    "ingest_files",
    "ingest_passages",
    "open_passages",
    "plan_shards",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ingest_files": "ray_ingestion",
        "ingest_passages": "ray_ingestion",
        "open_passages": "ray_passages",
        "plan_shards": "sharded_plan",
    },
)
