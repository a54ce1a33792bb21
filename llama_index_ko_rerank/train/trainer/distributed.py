"""Training in several processes, as torchrun and accelerate start them."""

from __future__ import annotations

import atexit
import os
from typing import Any

import torch

from llama_index_ko_rerank.errors import InvalidSetting


def world_size() -> int:
    """Return how many processes train together; 1 unless torchrun started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def init_process_group(device: str, *, batch_size: int) -> None:
    """Join the process group, if there are several processes: by gloo on processors, by NCCL on GPUs.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        batch_size: The rows of a step, which all of them share.

    Raises:
        InvalidSetting: The rows cannot be shared out evenly, or the device is none for several processes.
    """
    count = world_size()
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
    """Wait for all processes."""
    if world_size() > 1:
        torch.distributed.barrier()


def trainer_options(device: str) -> dict[str, Any]:
    """Return the trainer's options for several processes; none for a single one."""
    if world_size() == 1:
        return {}
    options: dict[str, Any] = {"accelerator_config": {"even_batches": False}}  # `SharedBatches` makes them even
    return options | ({"ddp_backend": "gloo"} if device == "cpu" else {})
