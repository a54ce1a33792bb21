"""Training in several processes, as torchrun and accelerate start them: who writes, and which rows are whose."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from typing import Any

import torch

from llama_index_ko_rerank.errors import InvalidSetting


def processes() -> int:
    """Say how many processes train together; 1 where nothing has started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def init_process_group(device: str, *, batch_size: int) -> None:
    """Meet the other processes, where there are any: by gloo on processors, by NCCL on GPUs.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        batch_size: The rows of a step, which all of them share.

    Raises:
        InvalidSetting: The rows cannot be shared out evenly, or the device is none for several processes.
    """
    count = processes()
    if count == 1:
        return
    if batch_size % count:
        raise InvalidSetting(
            f"a batch of {batch_size} rows cannot be shared by {count} processes; pass a batch_size that is a multiple"
        )
    if device == "mps":
        raise InvalidSetting("several processes train on 'cpu' or 'cuda', not on 'mps'")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        atexit.register(torch.distributed.destroy_process_group)


def barrier() -> None:
    """Wait until every process is here."""
    if processes() > 1:
        torch.distributed.barrier()


def trainer_options(device: str) -> dict[str, Any]:
    """Say what the library's trainer must know of the processes; nothing where there is one."""
    if processes() == 1:
        return {}
    options: dict[str, Any] = {"accelerator_config": {"even_batches": False}}  # `SharedBatches` makes them even
    return options | ({"ddp_backend": "gloo"} if device == "cpu" else {})


class SharedBatches:
    """The batches of one process, each cut into one even part for every process.

    The trainer gives the parts out in turn, so that all processes together learn from the batch that a single one would
    have. Rows that are too many to be even are left out of that batch; the rows of a batch that is too small for all
    processes are repeated. It has no ``batch_size``, since parts may be smaller than others.

    >>> list(SharedBatches([[1, 2, 3, 4], [5, 6, 7], [8]], 2))
    [[1, 2], [3, 4], [5], [6], [8], [8]]
    """

    def __init__(self, batches: Any, count: int) -> None:
        self._batches = batches
        self._count = count

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the parts of each batch."""
        for batch in self._batches:
            rows = list(batch)
            while len(rows) < self._count:
                rows += batch
            size = len(rows) // self._count
            yield from (rows[part * size : (part + 1) * size] for part in range(self._count))

    def __len__(self) -> int:
        """Count the parts."""
        return len(self._batches) * self._count

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on, by which rows are shuffled."""
        self._batches.set_epoch(epoch)
