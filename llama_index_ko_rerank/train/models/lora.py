"""A language model as an embedding model: last-token vectors, an end token on every text, low-rank adapters."""

from __future__ import annotations

from dataclasses import replace

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import processors
from transformers import PreTrainedModel

from llama_index_ko_rerank.errors import UnsuitableModel
from llama_index_ko_rerank.extras import require
from llama_index_ko_rerank.train.models.loading import StartingModel
from llama_index_ko_rerank.train.recipes.recipe import LoraSettings, Recipe

LONGEST = 512
"""Texts are trained on up to this many tokens, whatever more a language model could read."""


def require_peft() -> None:
    """Refuse to go on without peft.

    Raises:
        MissingExtra: It is not installed.
    """
    require("train", "peft", needed_for="training low-rank adapters")


def prepare_decoder(
    base: StartingModel[SentenceTransformer], recipe: Recipe, *, seed: int
) -> StartingModel[SentenceTransformer]:
    """Give a language model what `e5-mistral` asks of it; the model is changed.

    Args:
        base: Loaded, and pooled at the last token.
        recipe: Its adapters, and the instruction for a base without a prompt for questions.
        seed: Of the adapters' first weights.

    Raises:
        UnsuitableModel: The base is no language model: its first token reads the later ones.
        MissingExtra: peft is not installed.
    """
    model = base.model
    if isinstance(model[0], StaticEmbedding) or not _reads_only_back(model):
        raise UnsuitableModel(
            f"{base.name!r} is no language model whose last token has read all others, so {recipe.name!r} cannot train "
            "it; take 'strong'"
        )
    append_end_token(model)
    model.max_seq_length = min(base.max_tokens or LONGEST, LONGEST)
    model.prompts = {"query": model.prompts.get("query") or recipe.instruction, "document": ""}
    if recipe.lora is not None:
        add_adapters(model, recipe.lora, base, seed=seed)
    return replace(base, max_tokens=model.max_seq_length)


def append_end_token(model: SentenceTransformer) -> None:
    """Have the tokenizer end every text, cut or not, with its end token, since that token's vector is the text's."""
    tokenizer = model.tokenizer
    if tokenizer.eos_token is None or tokenizer("가")["input_ids"][-1] == tokenizer.eos_token_id:
        return
    backend, end = tokenizer.backend_tokenizer, tokenizer.eos_token
    appending = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    earlier = backend.post_processor
    backend.post_processor = appending if earlier is None else processors.Sequence([earlier, appending])


def add_adapters(
    model: SentenceTransformer, settings: LoraSettings, base: StartingModel[SentenceTransformer], *, seed: int
) -> None:
    """Put an adapter beside every linear layer and freeze the rest; at first they change nothing.

    Raises:
        MissingExtra: peft is not installed.
    """
    require_peft()
    from peft import LoraConfig

    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules="all-linear"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.add_adapter(config)
    for weight in model.parameters():
        if weight.requires_grad:  # steps of 1e-4 would be lost in the 16 bits that a large backbone has
            weight.data = weight.data.float()
    if base.revision is not None:  # a model of the hub is named as such, and not by its place on this machine
        config.base_model_name_or_path, config.revision = base.name, base.revision


def merge_adapters(model: SentenceTransformer) -> None:
    """Add the adapters into the layers that they stand beside, and take them away; the vectors stay the same."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    backbone = model.transformers_model
    assert isinstance(backbone, PreTrainedModel)  # `add_adapters` asked the same
    adapted = [(name, layer) for name, layer in backbone.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(backbone.get_submodule(parent), child, layer.get_base_layer())
    if adapted:
        backbone._hf_peft_config_loaded = False
        del backbone.peft_config


@torch.no_grad()
def _reads_only_back(model: SentenceTransformer) -> bool:
    """Try whether a second token changes the first one's vector."""
    backbone = model.transformers_model
    assert backbone is not None  # only a static embedding has none
    tokens = torch.tensor([[1, 2]], device=model.device)
    alone, followed = (backbone(input_ids=ids).last_hidden_state[0, 0] for ids in (tokens[:, :1], tokens))
    return torch.allclose(alone, followed, atol=1e-3, rtol=1e-2)
