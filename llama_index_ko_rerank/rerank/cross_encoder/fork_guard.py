"""Models stay in the process that loaded them."""

from __future__ import annotations

import os

from llama_index_ko_rerank.errors import ModelError

_home: list[int] = []


def check_not_forked() -> None:
    """Remember this process at the first call, and refuse any process that was forked from it.

    The threads of torch do not live on in a forked process, and a model there would wait for them for ever.

    Raises:
        ModelError: A model was loaded before this process was forked.
    """
    here = os.getpid()
    if not _home:
        _home.append(here)
    if _home[0] != here:
        raise ModelError(
            f"process {here} was forked from process {_home[0]} after a reranker was loaded there, and torch's threads "
            "do not outlive a fork; start workers with the method 'spawn', or load rerankers only in the workers"
        )
