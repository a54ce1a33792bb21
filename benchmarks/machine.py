"""What of this machine the figures depend on."""

from __future__ import annotations

import torch


def processor_capabilities() -> list[str]:
    """Name what of the processor speed in 16 bits depends on."""
    checks = {
        "avx512": torch.cpu._is_avx512_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
    }
    return [name for name, there in checks.items() if there]
