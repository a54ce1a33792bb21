"""Token embedding that stays in 4 bits in memory: rows become floats when they are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from llama_index_ko_rerank.models.e5_file import BLOCK_BYTES, BLOCK_WEIGHTS

_ROWS_AT_ONCE = 8192


class QuantizedEmbedding(nn.Module):
    """Embedding table in blocks of 32 weights: a little-endian float16 scale and 16 bytes of two 4-bit weights each.

    It has no parameters, so it never learns; `to_float` makes a table that does. `state_dict` holds real floats under
    ``weight``, as a saved model must. A change of dtype is a change of what a look-up returns.

    Args:
        blocks: uint8 of shape (rows, bytes of a row); may be a memory map.
        padding_idx: Row of the padding token.

    Attributes:
        num_embeddings: Number of rows.
        embedding_dim: Width of a row.
        padding_idx: As given.
    """

    def __init__(self, blocks: Tensor, *, padding_idx: int) -> None:
        super().__init__()
        self.num_embeddings = blocks.shape[0]
        self.embedding_dim = blocks.shape[1] // BLOCK_BYTES * BLOCK_WEIGHTS
        self.padding_idx = padding_idx
        self.register_buffer("blocks", blocks, persistent=False)
        self.register_buffer("_dtype", torch.empty(0), persistent=False)  # follows `model.to(dtype)`

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the rows of token ids, shape (*token_ids.shape, embedding_dim)."""
        table = cast(Tensor, self.blocks)
        rows = table.index_select(0, token_ids.reshape(-1)).view(-1, BLOCK_BYTES)
        # By arithmetic, so that it is right on big-endian machines too.
        scales = (rows[:, 0].short() | (rows[:, 1].short() << 8)).view(torch.float16).float()
        nibbles = rows[:, 2:]
        values = torch.cat([nibbles & 15, nibbles >> 4], dim=1).float()
        values = values.sub_(8).mul_(scales.unsqueeze(1))
        return values.view(*token_ids.shape, self.embedding_dim).to(cast(Tensor, self._dtype).dtype)

    def to_float(self) -> nn.Embedding:
        """Make a table of floats with the same rows, which can be trained."""
        weight = self._floats()
        return nn.Embedding(self.num_embeddings, self.embedding_dim, padding_idx=self.padding_idx, _weight=weight)

    def _floats(self) -> Tensor:
        table = cast(Tensor, self.blocks)
        weight = torch.empty(
            self.num_embeddings, self.embedding_dim, dtype=cast(Tensor, self._dtype).dtype, device=table.device
        )
        for start in range(0, self.num_embeddings, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, self.num_embeddings)
            weight[start:stop] = self(torch.arange(start, stop, device=table.device))
        return weight

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:  # noqa: ARG002
        destination[prefix + "weight"] = self._floats()

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        _local_metadata: Any,
        _strict: bool,
        _missing_keys: list[str],
        _unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        given = state_dict.get(prefix + "weight")
        if given is not None and not torch.equal(given.to(self._floats()), self._floats()):
            error_msgs.append(f"{prefix}weight differs from the 4-bit table, which cannot change; use to_float() first")
