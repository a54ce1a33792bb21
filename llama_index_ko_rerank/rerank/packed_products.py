"""Linear layers by the fastest matrix product that the processor has."""

from __future__ import annotations

import platform
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from llama_index_ko_rerank.rerank.packed_weights import Activation, Affine, Norm

_ONEDNN = {"gelu": ("gelu", "none"), "gelu-tanh": ("gelu", "tanh"), "relu": ("relu", ""), "tanh": ("tanh", "")}
_IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


def uses_onednn(dtype: torch.dtype) -> bool:
    """Return whether linear layers are handed to oneDNN itself; not where `torch.backends.mkldnn` is switched off.

    It takes the activation or the residual into the same pass, and on AMD's processors it is more than twice as fast in
    float32 as MKL, which torch asks otherwise.
    """
    if not (_IS_X86 and torch._C._has_mkldnn and torch.backends.mkldnn.enabled):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def in_bfloat16(layer: Affine) -> Affine:
    """Copy a linear layer in 16 bits, laid out the way that the product reads it fastest."""
    weight, bias = layer.weight.to(torch.bfloat16), layer.bias.to(torch.bfloat16)
    if uses_onednn(torch.bfloat16):
        weight = torch.ops.mkldnn._reorder_linear_weight(weight)
    return Affine(weight, bias)


def affine(tokens: Tensor, layer: Affine, *, activation: Activation | None = None) -> Tensor:
    """Apply a linear layer and then an activation, shape (tokens, out)."""
    weight, bias = layer.weight, layer.bias
    if weight.is_mkldnn or uses_onednn(tokens.dtype):
        name, algorithm = _ONEDNN[activation] if activation else ("none", "")
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(tokens, weight, bias, name, [], algorithm))
    return _activate(F.linear(tokens, weight, bias), activation)


def affine_onto(residual: Tensor, tokens: Tensor, layer: Affine) -> Tensor:
    """Add a linear layer of some tokens to others, shape (tokens, out)."""
    weight, bias = layer.weight, layer.bias
    if weight.is_mkldnn or uses_onednn(tokens.dtype):
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise.binary(tokens, residual, weight, bias, "add"))
    return F.linear(tokens, weight, bias).add_(residual)


def normalise(tokens: Tensor, norm: Norm) -> Tensor:
    """Apply a layer norm; its sums are in float32 whatever the tokens are in."""
    return F.layer_norm(tokens, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)


def _activate(tokens: Tensor, activation: Activation | None) -> Tensor:
    match activation:
        case "gelu":
            return F.gelu(tokens)
        case "gelu-tanh":
            return F.gelu(tokens, approximate="tanh")
        case "relu":
            return F.relu(tokens)
        case "tanh":
            return torch.tanh(tokens)
        case None:
            return tokens
