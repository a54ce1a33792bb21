"""Past one machine: the same retrieval on engines that are there already.

Indexing on Ray, into shards that are searched as one, needs the extra ``ray``; searching them does not. The names below
are resolved on first use, so that importing the room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.scale.ray_ingestion import ingest_files, ingest_passages
    from llama_index_ko_rerank.scale.ray_passages import open_passages
    from llama_index_ko_rerank.scale.sharded_collection import open_sharded_collection
    from llama_index_ko_rerank.scale.sharded_layout import is_sharded
    from llama_index_ko_rerank.scale.sharded_plan import plan_shards
    from llama_index_ko_rerank.scale.sharded_store import ShardedVectorStore
    from llama_index_ko_rerank.scale.sharded_words import refresh_sharded_words

__all__ = [
    "ShardedVectorStore",
    "ingest_files",
    "ingest_passages",
    "is_sharded",
    "open_passages",
    "open_sharded_collection",
    "plan_shards",
    "refresh_sharded_words",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ShardedVectorStore": "sharded_store",
        "ingest_files": "ray_ingestion",
        "ingest_passages": "ray_ingestion",
        "is_sharded": "sharded_layout",
        "open_passages": "ray_passages",
        "open_sharded_collection": "sharded_collection",
        "plan_shards": "sharded_plan",
        "refresh_sharded_words": "sharded_words",
    },
)
