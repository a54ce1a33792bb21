"""The service over HTTP: reranking, embeddings and search for programs in any language.

It needs the extra ``serve``. The names below are resolved on first use, so that importing the room loads no model
library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports
from llama_index_ko_rerank.extras import require_serve

if TYPE_CHECKING:
    from llama_index_ko_rerank.serve.app import create_app
    from llama_index_ko_rerank.serve.server import run_server
    from llama_index_ko_rerank.serve.settings import ServerSettings

__all__ = ["ServerSettings", "create_app", "run_server"]

_find, __dir__ = lazy_exports(__name__, {"ServerSettings": "settings", "create_app": "app", "run_server": "server"})


def __getattr__(name: str) -> object:
    if name in ("create_app", "run_server"):
        require_serve()
    return _find(name)
