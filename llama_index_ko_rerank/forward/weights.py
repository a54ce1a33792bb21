"""The weights of a sequence classifier whose forward pass is known in full; anything unfamiliar is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import (
    BertForSequenceClassification,
    BertModel,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
    RobertaModel,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)
from transformers.activations import GELUActivation, GELUTanh, NewGELUActivation

from llama_index_ko_rerank.models.quantized_embedding import QuantizedEmbedding

Activation = Literal["gelu", "gelu-tanh", "relu", "tanh"]

_ENCODERS: dict[type[PreTrainedModel], str] = {
    BertForSequenceClassification: "bert",
    RobertaForSequenceClassification: "roberta",
    XLMRobertaForSequenceClassification: "roberta",
    ElectraForSequenceClassification: "electra",
}
_BARE_ENCODERS: tuple[type[PreTrainedModel], ...] = (BertModel, RobertaModel, XLMRobertaModel)
_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    GELUActivation: "gelu",
    NewGELUActivation: "gelu-tanh",
    GELUTanh: "gelu-tanh",
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
}
_PLAIN = {nn.Linear, nn.LayerNorm, nn.Embedding, nn.Dropout, nn.ModuleList, QuantizedEmbedding, *_ACTIVATIONS}


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer: weight of shape (out, in), bias of shape (out,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm: weight and bias of shape (hidden,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The tables of tokens, positions and segments.

    Attributes:
        words: Rows of the tokens, as floats or in 4 bits.
        padding: The token that RoBERTa gives no place of its own, the others being counted from the one after it; None
            where every token has its place, counted from 0.
        project: From the width of the tables to that of the layers, where they differ.
    """

    words: Tensor | QuantizedEmbedding
    positions: Tensor
    segments: Tensor
    norm: Norm
    padding: int | None
    project: Linear | None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the encoder."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm
    activation: Activation


@dataclass(frozen=True, slots=True)
class Head:
    """From the classification token to the logits."""

    dense: Linear
    activation: Activation
    out: Linear


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """All of a bare encoder, in float32; the tensors are the model's own."""

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    heads: int
    scaling: float

    @property
    def hidden(self) -> int:
        """Width of a token's vector."""
        return len(self.layers[-1].output_norm.bias)


@dataclass(frozen=True, slots=True)
class Weights(EncoderWeights):
    """All of a sequence classifier, in float32; the tensors are the model's own."""

    head: Head


def read_encoder(model: PreTrainedModel) -> EncoderWeights | None:
    """Take the weights out of a bare BERT, RoBERTa or XLM-RoBERTa; None where `read_weights` gives None."""
    if type(model) not in _BARE_ENCODERS or not _is_plain(model):
        return None
    return _read_layers(model)


def _read_layers(encoder: Any) -> EncoderWeights | None:
    layers = tuple(_layer(layer) for layer in encoder.encoder.layer)
    attention = encoder.encoder.layer[0].attention.self if layers else None
    if attention is None or attention.all_head_size != encoder.config.hidden_size:
        return None
    return EncoderWeights(
        embeddings=_embeddings(encoder),
        layers=layers,
        heads=attention.num_attention_heads,
        scaling=attention.scaling,
    )


def read_weights(model: PreTrainedModel) -> Weights | None:
    """Take the weights out of a BERT, RoBERTa, XLM-RoBERTa or ELECTRA with a classification head.

    Returns:
        None where the model is of another kind, is not in float32, or has anything in it that a plain model of its kind
        has not: other layers (adapters, quantised ones), hooks, cross attention, a decoder's mask, relative positions,
        pruned attention heads, an unknown activation.
    """
    name = _ENCODERS.get(type(model))
    if name is None or not _is_plain(model):
        return None
    encoder: Any = getattr(model, name)
    read = _read_layers(encoder)
    if read is None:
        return None
    return Weights(read.embeddings, read.layers, read.heads, read.scaling, head=_head(model, encoder))


def _is_plain(model: PreTrainedModel) -> bool:
    config = model.config
    if config.is_decoder or config.add_cross_attention:
        return False
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        return False
    if config._attn_implementation not in ("eager", "sdpa"):
        return False
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        return False
    return all(_is_known(module, model) for module in model.modules()) and all(_widths_fit(model))


def _is_known(module: nn.Module, model: PreTrainedModel) -> bool:
    """Return whether a module is one of torch's or of the model's own file, and does nothing beside its work."""
    kind = type(module)
    if kind not in _PLAIN and kind.__module__ != type(model).__module__:
        return False
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    if isinstance(module, nn.Embedding):
        return module.max_norm is None
    return not isinstance(module, nn.Linear | nn.LayerNorm) or module.bias is not None


def _widths_fit(model: PreTrainedModel) -> Iterator[bool]:
    hidden = model.config.hidden_size
    for name, module in model.named_modules():
        if name.endswith(("self.query", "self.key", "self.value")):
            yield isinstance(module, nn.Linear) and module.out_features == hidden
        elif name.endswith("intermediate_act_fn"):
            yield type(module) in _ACTIVATIONS


def _linear(module: Any) -> Linear:
    return Linear(module.weight.detach(), module.bias.detach())


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach(), module.bias.detach(), module.eps)


def _embeddings(encoder: Any) -> Embeddings:
    tables = encoder.embeddings
    words = tables.word_embeddings
    project = getattr(encoder, "embeddings_project", None)
    return Embeddings(
        words=words if isinstance(words, QuantizedEmbedding) else words.weight.detach(),
        positions=tables.position_embeddings.weight.detach(),
        segments=tables.token_type_embeddings.weight.detach(),
        norm=_norm(tables.LayerNorm),
        padding=getattr(tables, "padding_idx", None),
        project=None if project is None else _linear(project),
    )


def _layer(layer: Any) -> Layer:
    attention = layer.attention
    return Layer(
        query=_linear(attention.self.query),
        key=_linear(attention.self.key),
        value=_linear(attention.self.value),
        attention_output=_linear(attention.output.dense),
        attention_norm=_norm(attention.output.LayerNorm),
        intermediate=_linear(layer.intermediate.dense),
        output=_linear(layer.output.dense),
        output_norm=_norm(layer.output.LayerNorm),
        activation=_ACTIVATIONS[type(layer.intermediate.intermediate_act_fn)],
    )


def _head(model: Any, encoder: Any) -> Head:
    if isinstance(model, BertForSequenceClassification):
        return Head(_linear(encoder.pooler.dense), "tanh", _linear(model.classifier))
    activation: Activation = "gelu" if isinstance(model, ElectraForSequenceClassification) else "tanh"
    return Head(_linear(model.classifier.dense), activation, _linear(model.classifier.out_proj))
