"""Tiny cross-encoders of four kinds with random weights, and pairs for them to read."""

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from llama_index_ko_rerank.forward.backend import TokenPair

KINDS = ("bert", "roberta", "xlm-roberta", "electra")
VOCABULARY, LONGEST, PAD = 300, 64, 0
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.2,
    "pad_token_id": PAD,
    "num_labels": 1,
}
_KINDS = {
    "bert": (BertConfig, BertForSequenceClassification, {"max_position_embeddings": LONGEST}),
    "roberta": (
        RobertaConfig,
        RobertaForSequenceClassification,
        {"max_position_embeddings": LONGEST + 4, "type_vocab_size": 2},
    ),
    "xlm-roberta": (
        XLMRobertaConfig,
        XLMRobertaForSequenceClassification,
        {"max_position_embeddings": LONGEST + 4, "type_vocab_size": 1},
    ),
    "electra": (
        ElectraConfig,
        ElectraForSequenceClassification,
        {"max_position_embeddings": LONGEST, "embedding_size": 16},
    ),
}


def tiny_model(kind, *, seed=7, **settings):
    """Draw a sequence classifier's weights; biases and norms are drawn too, so that one that gets lost shows."""
    config, classifier, places = _KINDS[kind]
    torch.manual_seed(seed)
    model = classifier(config(**{**_SIZES, **places, **settings}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def random_pairs(kind, lengths, *, seed=3):
    """Make pairs of some lengths out of random tokens, none of which is a special one but the first."""
    draw = np.random.default_rng(seed)
    pairs = []
    for length in lengths:
        token_ids = draw.integers(5, VOCABULARY, length).astype(np.int32)
        token_ids[0] = 2
        segment_ids = np.zeros(length, np.int32)
        if kind != "xlm-roberta":
            segment_ids[length // 2 :] = 1
        pairs.append(TokenPair(token_ids, segment_ids))
    return pairs


def stock_logits(model, pairs):
    """Run the model itself on one pair at a time."""
    rows = []
    with torch.inference_mode():
        for pair in pairs:
            token_ids = torch.from_numpy(pair.token_ids.astype(np.int64))[None]
            segment_ids = torch.from_numpy(pair.segment_ids.astype(np.int64))[None]
            rows.append(model(input_ids=token_ids, token_type_ids=segment_ids).logits[0].numpy())
    return np.stack(rows)
