"""A trained cross-encoder in a larger shape, since random weights say nothing of how far apart logits lie.

The hidden vector stands three times, each layer norm sees the same numbers as before, and every weight is split at
random among its copies, so that the sums have all their terms. Between the layers stand as many that add nothing, whose
norms are fitted to pass on what comes in. So the large model orders passages nearly as the small one does, and costs
what its shape costs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from benchmarks.rerank.workloads import SEED, Ask

COPIES = 3
_SAMPLED = 64


def write_widened(folder: Path, asks: list[Ask], target: Path) -> Path:
    """Write a BERT of three times the width and twice the layers of the one in a folder."""
    small = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(SEED)
    large = BertForSequenceClassification(_widened(small.config)).eval()
    with torch.no_grad():
        _fill(large.bert.embeddings, small.bert.embeddings)
        for number, layer in enumerate(small.bert.encoder.layer):
            inputs = _inputs(small, number, tokenizer, asks)
            _pass_on(large.bert.encoder.layer[2 * number], inputs)
            _fill(large.bert.encoder.layer[2 * number + 1], layer)
        _fill(large.bert.pooler, small.bert.pooler)
        _fill(large.classifier, small.classifier)
    large.save_pretrained(target)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, target / file)
    return target


def _widened(config: BertConfig) -> BertConfig:
    wide = BertConfig(**config.to_dict())
    wide.hidden_size = COPIES * config.hidden_size
    wide.num_attention_heads = COPIES * config.num_attention_heads
    wide.intermediate_size = 4 * wide.hidden_size
    wide.num_hidden_layers = 2 * config.num_hidden_layers
    return wide


def _fill(large: nn.Module, small: nn.Module) -> None:
    """Put a module's weights into the larger one of the same names."""
    found = dict(small.named_modules())
    for name, module in large.named_modules():
        if isinstance(module, nn.Linear):
            module.weight.copy_(_split(found[name].weight, module.weight.shape))
            module.bias.copy_(_repeated(found[name].bias, len(module.bias)))
        elif isinstance(module, nn.LayerNorm | nn.Embedding):
            for own, its in zip(module.parameters(), found[name].parameters(), strict=True):
                own.copy_(_repeated(its, own.shape[-1]))


def _repeated(values: Tensor, size: int) -> Tensor:
    """Repeat along the last axis."""
    return values.repeat(*[1] * (values.ndim - 1), size // values.shape[-1])


def _split(weight: Tensor, shape: torch.Size) -> Tensor:
    """Repeat the rows, and share each weight among the copies of its input so that they add up to it."""
    rows, columns = shape[0] // weight.shape[0], shape[1] // weight.shape[1]
    parts = [weight.repeat(rows, 1) * (torch.rand(shape[0], weight.shape[1]) * 2 / columns) for _ in range(columns - 1)]
    return torch.cat([*parts, weight.repeat(rows, 1) - sum(parts)], dim=1)


def _inputs(small: BertForSequenceClassification, number: int, tokenizer: AutoTokenizer, asks: list[Ask]) -> Tensor:
    """Collect what goes into a layer for some pairs, shape (tokens, hidden)."""
    pairs = [(ask.question, text) for ask in asks for text in ask.texts][:_SAMPLED]
    encoded = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, truncation=True, return_tensors="pt")
    states = small.bert(**encoded, output_hidden_states=True).hidden_states[number]
    return states[encoded["attention_mask"].bool()]


def _pass_on(layer: nn.Module, inputs: Tensor) -> None:
    """Let a layer add nothing, and fit its first norm to give back its input; the second undoes a norm likewise."""
    for linear in (layer.attention.output.dense, layer.output.dense):
        linear.weight.zero_()
        linear.bias.zero_()
    for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
        plain = nn.functional.layer_norm(inputs, inputs.shape[-1:])
        spread = plain.var(0, correction=0)
        slope = ((plain - plain.mean(0)) * (inputs - inputs.mean(0))).mean(0) / spread
        norm.weight.copy_(_repeated(slope, len(norm.weight)))
        norm.bias.copy_(_repeated(inputs.mean(0) - slope * plain.mean(0), len(norm.bias)))
