"""A Ray cluster to work on: one that runs already, or one of this machine for as long as it is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.extras import require_ray


@contextmanager
def ray_session(address: str | None, workers: int | None) -> Iterator[int]:
    """Connect to Ray, and say how many workers there are to be.

    A process that is connected already stays so. Beside the workers one processor is kept for reading and handing on,
    which take little.

    Args:
        address: Of a running cluster: ``auto`` or ``HOST:PORT``; this machine has to be one of its nodes. Where None, a
            cluster of this machine is started and ended.
        workers: How many processes embed; one a processor where None, of a cluster one less.

    Raises:
        InvalidSetting: There are to be no workers, or no cluster answers at the address.
    """
    if workers is not None and workers < 1:
        raise InvalidSetting(f"workers must be 1 or more, not {workers}")
    ray = require_ray()
    is_mine = not ray.is_initialized()
    if is_mine and address is None:
        workers = workers or os.cpu_count() or 1
        ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    elif is_mine:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as problem:
            raise InvalidSetting(f"no Ray cluster answers at {address!r}: {problem}") from problem
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    finally:
        if is_mine:
            ray.shutdown()
