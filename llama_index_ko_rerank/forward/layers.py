"""The steps of an encoder over passages that stand end to end, without padding."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from llama_index_ko_rerank.forward.batches import TokenPair
from llama_index_ko_rerank.forward.weights import Activation, Embeddings, Layer, Linear, Norm

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


def in_bfloat16(layer: Linear) -> Linear:
    """Copy a linear layer in 16 bits, laid out the way that the product reads it fastest."""
    weight, bias = layer.weight.to(torch.bfloat16), layer.bias.to(torch.bfloat16)
    if uses_onednn(torch.bfloat16):
        weight = torch.ops.mkldnn._reorder_linear_weight(weight)
    return Linear(weight, bias)


def linear(tokens: Tensor, layer: Linear, *, activation: Activation | None = None) -> Tensor:
    """Apply a linear layer and then an activation, shape (tokens, out)."""
    weight, bias = layer.weight, layer.bias
    if weight.is_mkldnn or uses_onednn(tokens.dtype):
        name, algorithm = _ONEDNN[activation] if activation else ("none", "")
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(tokens, weight, bias, name, [], algorithm))
    return _activate(F.linear(tokens, weight, bias), activation)


def linear_add(residual: Tensor, tokens: Tensor, layer: Linear) -> Tensor:
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


@dataclass(frozen=True, slots=True)
class LengthGroup:
    """Passages of equal length that stand side by side.

    Attributes:
        first: The row of the first one's first token.
        passages: How many there are.
        length: Tokens of each.
    """

    first: int
    passages: int
    length: int

    @property
    def rows(self) -> slice:
        """Where the group's tokens stand."""
        return slice(self.first, self.first + self.passages * self.length)


def group(pairs: Sequence[TokenPair]) -> list[LengthGroup]:
    """Find the runs of equal length in pairs that are concatenated in their order."""
    groups: list[LengthGroup] = []
    first = 0
    for pair in pairs:
        if groups and groups[-1].length == len(pair):
            groups[-1] = LengthGroup(groups[-1].first, groups[-1].passages + 1, len(pair))
        else:
            groups.append(LengthGroup(first, 1, len(pair)))
        first += len(pair)
    return groups


def embed(pairs: Sequence[TokenPair], tables: Embeddings) -> Tensor:
    """Add up the embeddings of tokens, segments and positions and normalise them, shape (tokens, hidden)."""
    words = np.concatenate([pair.token_ids for pair in pairs])
    segments = np.concatenate([pair.segment_ids for pair in pairs])
    places = np.concatenate([_places(pair, tables.padding) for pair in pairs])
    token_ids = torch.from_numpy(words)
    total = F.embedding(token_ids, tables.words) if isinstance(tables.words, Tensor) else tables.words(token_ids)
    total += F.embedding(torch.from_numpy(segments), tables.segments)
    total += F.embedding(torch.from_numpy(places), tables.positions)
    total = normalise(total, tables.norm)
    return total if tables.project is None else linear(total, tables.project)


def _places(pair: TokenPair, padding: int | None) -> NDArray[np.int32]:
    """Return the row of each token in the table of positions."""
    if padding is None:
        return np.arange(len(pair), dtype=np.int32)
    counted = pair.token_ids != padding
    places: NDArray[np.int32] = (np.cumsum(counted) * counted + padding).astype(np.int32)
    return places


def encode(tokens: Tensor, layer: Layer, groups: Sequence[LengthGroup], *, heads: int, scaling: float) -> Tensor:
    """Run one layer over all tokens, each passage attending to itself, shape (tokens, hidden)."""
    query, key, value = (linear(tokens, part) for part in (layer.query, layer.key, layer.value))
    attend = _attend_by_products if _multiplies_outright(tokens) else _attend_by_sdpa
    contexts = []
    for part in groups:
        shape = (part.passages, part.length, heads, -1)
        q, k, v = (whole[part.rows].view(shape).transpose(1, 2) for whole in (query, key, value))
        contexts.append(attend(q, k, v, scaling).transpose(1, 2).reshape(-1, tokens.shape[1]))
    return feed_forward(tokens, torch.cat(contexts), layer)


def _multiplies_outright(tokens: Tensor) -> bool:
    """Return whether attention is faster by plain products: in 16 bits, where torch's kernel has no AMX to use."""
    return tokens.dtype == torch.bfloat16 and uses_onednn(tokens.dtype) and not torch.cpu._is_amx_tile_supported()


def _attend_by_sdpa(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Let passages of equal length attend to themselves; all of shape (passages, heads, length, width of a head)."""
    return F.scaled_dot_product_attention(query, key, value, scale=scaling)


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Do the same passage by passage in one piece of memory, so that a passage's scores stay in the cache.

    Memory that is asked for anew for each passage comes from the system page by page, which takes as long as a product.
    """
    passages, heads, length, width = query.shape
    scores = query.new_empty(heads, length, length)
    contexts = query.new_empty(passages, length, heads, width)
    for context, q, k, v in zip(contexts, query, key, value, strict=True):
        torch.bmm(q.contiguous().mul_(scaling), k.contiguous().transpose(1, 2), out=scores)
        context.copy_(torch.bmm(torch.softmax(scores, -1, out=scores), v).transpose(0, 1))
    return contexts.transpose(1, 2)


def feed_forward(tokens: Tensor, context: Tensor, layer: Layer) -> Tensor:
    """Run what follows the attention of a layer, of the same shape as the tokens."""
    tokens = normalise(linear_add(tokens, context, layer.attention_output), layer.attention_norm)
    inner = linear(tokens, layer.intermediate, activation=layer.activation)
    return normalise(linear_add(tokens, inner, layer.output), layer.output_norm)


def cls_attention(
    tokens: Tensor, first: Tensor, layer: Layer, groups: Sequence[LengthGroup], *, heads: int, scaling: float
) -> Tensor:
    """Let each passage's first token attend to the passage, without keys and values of the other tokens.

    A head's scores q·(W x + b) are (q W)·x up to a constant that softmax drops, and its context is W (Σ p x) + b since
    the weights p add up to 1; so both products are taken for one token instead of all.

    Args:
        tokens: All tokens, shape (tokens, hidden).
        first: The first token of each passage in float32, shape (passages, hidden).
        layer: The layer in float32.
        groups: Where the passages are.
        heads: How many attention heads there are.
        scaling: What scores are multiplied by.

    Returns:
        The context of the first tokens in float32, shape (passages, hidden).
    """
    passages, hidden = first.shape
    query = linear(first, layer.query).view(passages, heads, -1).transpose(0, 1)
    asked = torch.bmm(query, layer.key.weight.view(heads, -1, hidden)).transpose(0, 1).to(tokens.dtype)
    mixed: list[Tensor] = []
    for part, question in zip(groups, torch.split_with_sizes(asked, [part.passages for part in groups]), strict=True):
        within = tokens[part.rows].view(part.passages, 1, part.length, hidden)
        found = F.scaled_dot_product_attention(question.unsqueeze(1), within, within, scale=scaling)
        mixed.append(found.squeeze(1))
    values = layer.value.weight.view(heads, -1, hidden).transpose(1, 2)
    context = torch.bmm(torch.cat(mixed).float().transpose(0, 1), values)
    return context.transpose(0, 1).reshape(passages, hidden) + layer.value.bias
