"""The shipped static embedding: random directions, as long as their token is rare, that learn from pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch.nn import functional

from training.corpus import TokenCorpus, Tokens, collection
from training.loop import Budget, Rate, Run
from training.questions import Wording, question_from, renaming


@dataclass(frozen=True)
class StaticRecipe:
    """How the embedding is made.

    Attributes:
        dimension: The length of a vector.
        collections: Collections that a batch is drawn from; the passages of one document stand in one.
        passages: Passages of a collection, each with a question.
        tokens: The longest passage.
        scale: What cosines are multiplied by in the softmax.
        rate: The highest learning rate; vectors start at about 1 a component.
        sentence_share: Pairs of a sentence and the rest of its passage, instead of a question.
        renamed: The share of steps in which rare tokens are exchanged.
        rarity_power: A vector starts as long as this power of its token's rarity.
    """

    dimension: int = 576
    collections: int = 2
    passages: int = 450
    tokens: int = 450
    scale: float = 25.0
    rate: float = 0.006
    sentence_share: float = 0.15
    renamed: float = 0.5
    rarity_power: float = 0.7


def start(wording: Wording, recipe: StaticRecipe, seed: int) -> torch.nn.EmbeddingBag:
    """Make the vectors: random directions, as long as their token is rare; the same letters have one direction."""
    rarity = wording.rarity
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(rarity), recipe.dimension, generator=generator)[torch.from_numpy(wording.alike)]
    lengths = torch.from_numpy(rarity) ** recipe.rarity_power
    vectors *= (lengths / lengths.mean())[:, None]
    return torch.nn.EmbeddingBag.from_pretrained(vectors, freeze=False, mode="mean")


def pairs(
    corpus: TokenCorpus, wording: Wording, recipe: StaticRecipe, *, seed: int, step: int, held_out: bool = False
) -> tuple[list[Tokens], list[Tokens]]:
    """Make the questions and passages of a step."""
    rng = np.random.default_rng([seed, 1, step])
    questions: list[Tokens] = []
    passages: list[Tokens] = []
    for _ in range(recipe.collections):
        found = collection(corpus, rng, passages=recipe.passages, tokens=recipe.tokens, held_out=held_out)
        for number, passage in enumerate(found.passages):
            question, sentence = question_from(corpus, found, number, wording, rng)
            if not len(question):
                continue
            if rng.random() < recipe.sentence_share and len(passage) > 2 * len(sentence):
                question, passage = sentence, _without(passage, sentence)
            questions.append(question)
            passages.append(passage)
    if not held_out and rng.random() < recipe.renamed:
        names = renaming(wording.rarity, rng)
        return [names[question] for question in questions], [names[passage] for passage in passages]
    return questions, passages


def _without(passage: Tokens, sentence: Tokens) -> Tokens:
    windows = np.lib.stride_tricks.sliding_window_view(passage, len(sentence))
    places = np.flatnonzero((windows == sentence).all(axis=1))
    return np.delete(passage, np.s_[places[0] : places[0] + len(sentence)]) if len(places) else passage


def vectors_of(bag: torch.nn.EmbeddingBag, texts: Sequence[Tokens]) -> torch.Tensor:
    """Embed texts at length 1."""
    lengths = torch.tensor([0, *(len(text) for text in texts[:-1])])
    tokens = torch.from_numpy(np.concatenate(texts).astype(np.int64))
    device = bag.weight.device
    return functional.normalize(bag(tokens.to(device), lengths.cumsum(0).to(device)), dim=1)


def train_static(
    corpus: TokenCorpus,
    wording: Wording,
    *,
    recipe: StaticRecipe,
    budget: Budget,
    seed: int,
    folder: Path,
    resume: bool,
    until: int | None = None,
    device: str = "cpu",
) -> tuple[torch.Tensor, Run]:
    """Train the vectors by the in-batch softmax in both directions."""
    bag = start(wording, recipe, seed).to(device)
    groups: list[dict[str, object]] = [{"params": [bag.weight], "weight_decay": 0.0}]
    run = Run("ko-static", groups, folder=folder, rate=Rate(recipe.rate, warmup=20, falling=0.6), budget=budget)
    if resume:
        run.resume()
    measured = pairs(corpus, wording, recipe, seed=seed, step=0, held_out=True)

    def loss_of(step: int) -> dict[str, float]:
        cosines = _cosines(bag, pairs(corpus, wording, recipe, seed=seed, step=step))
        labels = torch.arange(len(cosines), device=device)
        loss = functional.cross_entropy(recipe.scale * cosines, labels)
        loss = loss + functional.cross_entropy(recipe.scale * cosines.T, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # not annotated
        return {"loss": loss.item() / 2, "hit@1": hit(cosines)}

    def on_checkpoint() -> dict[str, float]:
        with torch.no_grad():
            return {"held_out_hit@1": hit(_cosines(bag, measured))}

    run.go(loss_of, on_checkpoint=on_checkpoint, every=50, until=until)
    return bag.weight.detach().cpu(), run


def _cosines(bag: torch.nn.EmbeddingBag, batch: tuple[list[Tokens], list[Tokens]]) -> torch.Tensor:
    return vectors_of(bag, batch[0]) @ vectors_of(bag, batch[1]).T


def hit(cosines: torch.Tensor) -> float:
    """Give the share of questions whose own passage is the nearest."""
    return float((cosines.argmax(1).cpu() == torch.arange(len(cosines))).float().mean())


def write_static(vectors: torch.Tensor, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a sentence-transformers folder, the vectors in 8-bit floats (E4M3), each scaled alike.

    The scale changes no cosine; it puts the largest value at half of what the format holds.
    """
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=vectors)], device="cpu", similarity_fn_name="cosine"
    )
    model.save(str(folder), create_model_card=False)
    file = next(folder.rglob("model.safetensors"))
    small = (vectors * (224.0 / vectors.abs().max())).to(torch.float8_e4m3fn)
    save_file({"embedding.weight": small}, file, metadata={"format": "pt"})
    versions = folder / "config_sentence_transformers.json"
    settings = json.loads(versions.read_text(encoding="utf-8"))
    settings["prompts"] = {"query": "", "document": ""}
    versions.write_text(json.dumps(settings, indent=2), encoding="utf-8")
