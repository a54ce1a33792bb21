"""The training of the shipped cross-encoder: questions made anew at every step, against what BM25 finds for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import BertForSequenceClassification

from llama_index_ko_rerank.train.models.scratch import pair_tokenizer
from training.corpus import TokenCorpus, Tokens, collection
from training.loop import Budget, Rate, Run
from training.questions import Example, Wording, example, question_from, renamed

_CLS, _SEP, _POSITIONS = 2, 3, 512


@dataclass(frozen=True)
class RerankRecipe:
    """How the cross-encoder is trained.

    Attributes:
        lengths: The longest passages of a step in tokens, one of them drawn for each step.
        tokens: About how many tokens a step reads; longer passages make fewer questions.
        negatives: Irrelevant passages beside each relevant one.
        passages: The size of the collections that are searched for them.
        renamed: The share of examples whose rare tokens are exchanged.
        pointwise: How much the probability of each passage counts beside their order.
        rate: The highest learning rate.
        word_gain: How much faster the token vectors learn.
        weight_decay: AdamW's, of the matrices.
    """

    lengths: tuple[int, ...] = (140, 300, 480)
    tokens: int = 14_000
    negatives: int = 7
    passages: int = 500
    renamed: float = 0.5
    pointwise: float = 0.2
    rate: float = 6e-4
    word_gain: float = 2.0
    weight_decay: float = 0.01


def examples(
    corpus: TokenCorpus, wording: Wording, recipe: RerankRecipe, *, seed: int, step: int, held_out: bool = False
) -> list[Example]:
    """Make the examples of a step."""
    rng = np.random.default_rng([seed, 2, step])
    longest = int(rng.choice(recipe.lengths))
    wanted = max(3, round(recipe.tokens / ((recipe.negatives + 1) * (20 + 0.62 * longest))))
    found = collection(corpus, rng, passages=recipe.passages, tokens=longest, held_out=held_out)
    made: list[Example] = []
    for number in rng.permutation(len(found.passages)):
        question, sentence = question_from(corpus, found, int(number), wording, rng)
        if len(question):
            shown = example(
                question, sentence, int(number), found, rarity=wording.rarity, rng=rng, negatives=recipe.negatives
            )
            if shown:
                made.append(renamed(shown, wording.rarity, rng) if rng.random() < recipe.renamed else shown)
        if len(made) == wanted:
            break
    return made


def logits(model: BertForSequenceClassification, shown: Sequence[Example]) -> Tensor:
    """Judge the passages of each example; shape (examples, passages)."""
    pairs = [(one.question, passage) for one in shown for passage in one.passages]
    order = np.argsort([len(question) + len(passage) for question, passage in pairs], kind="stable")
    parts = np.array_split(order, max(1, len(order) // 16))
    found = torch.cat([_forward(model, [pairs[i] for i in part]) for part in parts])
    places = torch.from_numpy(np.argsort(np.concatenate(parts), kind="stable"))
    return found[places.to(found.device)].view(len(shown), -1)


def _forward(model: BertForSequenceClassification, pairs: Sequence[tuple[Tokens, Tokens]]) -> Tensor:
    """Run BERT; the last layer for [CLS] only, as nothing else of it is read."""
    ids, segments, mask = (part.to(model.device) for part in _padded(pairs))
    encoder = model.bert
    states = encoder.embeddings(input_ids=ids, token_type_ids=segments)
    layers = encoder.encoder.layer
    for number, layer in enumerate(layers):
        asking = states[:, :1] if number == len(layers) - 1 else states
        own = layer.attention.self
        query, key, value = (
            part.unflatten(2, (own.num_attention_heads, -1)).transpose(1, 2)
            for part in (own.query(asking), own.key(states), own.value(states))
        )
        # In the open: on a CPU the fused form takes three times as long on the way back.
        shares = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5 + mask[:, None, None]).softmax(dim=-1)
        attended = (shares.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        states = layer.output(layer.intermediate(done := layer.attention.output(attended, asking)), done)
    return model.classifier(torch.tanh(encoder.pooler.dense(states[:, 0])))[:, 0].float()


def _padded(pairs: Sequence[tuple[Tokens, Tokens]]) -> tuple[Tensor, Tensor, Tensor]:
    rows = [np.concatenate([[_CLS], q, [_SEP], p, [_SEP]])[:_POSITIONS].astype(np.int64) for q, p in pairs]
    longest = max(map(len, rows))
    ids = np.zeros((len(rows), longest), np.int64)
    segments = np.zeros_like(ids)
    for row, (tokens, (question, _)) in enumerate(zip(rows, pairs, strict=True)):
        ids[row, : len(tokens)] = tokens
        segments[row, len(question) + 2 : len(tokens)] = 1
    lengths = np.array([len(row) for row in rows])
    mask = np.where(np.arange(longest) < lengths[:, None], 0.0, -1e4).astype(np.float32)
    return torch.from_numpy(ids), torch.from_numpy(segments), torch.from_numpy(mask)


def train_reranker(
    model: BertForSequenceClassification,
    corpus: TokenCorpus,
    tokenizer: Tokenizer,
    wording: Wording,
    *,
    recipe: RerankRecipe,
    budget: Budget,
    seed: int,
    folder: Path,
    resume: bool,
    until: int | None = None,
    every: int = 100,
) -> Run:
    """Train the model in place by the listwise softmax; a folder that loads is written at each checkpoint."""
    words = model.bert.embeddings.word_embeddings.weight
    matrices = [p for p in model.parameters() if p is not words and p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups: list[dict[str, object]] = [
        {"params": [words], "weight_decay": 0.0, "gain": recipe.word_gain},
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    run = Run("ko-mini-rerank", groups, folder=folder, rate=Rate(recipe.rate, warmup=40), budget=budget)
    if resume:
        run.resume()
    measured = [examples(corpus, wording, recipe, seed=seed, step=step, held_out=True) for step in range(16)]

    def loss_of(step: int) -> dict[str, float]:
        shown = examples(corpus, wording, recipe, seed=seed, step=step)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            judged = logits(model, shown)
        loss = functional.cross_entropy(judged, torch.zeros(len(judged), dtype=torch.long, device=judged.device))
        loss = loss + recipe.pointwise * functional.binary_cross_entropy_with_logits(judged, _labels(judged))
        loss.backward()  # type: ignore[no-untyped-call]  # not annotated
        return {"loss": loss.item(), "hit@1": _first(judged), "questions": float(len(shown))}

    def on_checkpoint() -> dict[str, float]:
        judged = judge(model, measured)
        write_reranker(model, tokenizer, folder / "ko-mini-rerank", calibration=calibration(judged))
        return {"held_out_hit@1": _first(judged)}

    run.go(loss_of, on_checkpoint=on_checkpoint, every=every, until=until)
    on_checkpoint()
    return run


@torch.no_grad()
def judge(model: BertForSequenceClassification, batches: Sequence[Sequence[Example]]) -> Tensor:
    """Judge the examples of several steps; the result lies in the processor's memory."""
    with torch.autocast(model.device.type, dtype=torch.bfloat16):
        return torch.cat([logits(model, shown) for shown in batches]).cpu()


def calibration(judged: Tensor) -> tuple[float, float]:
    """Fit what a logit is multiplied by, and what is added then, so that its sigmoid is a probability.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999; here by Newton's method.
    """
    features = torch.stack([judged.flatten(), torch.ones(judged.numel())], dim=1).double()
    labels = _labels(judged).flatten().double()
    found = torch.tensor([0.1, 0.0], dtype=torch.float64)
    for _ in range(30):
        chances = (features @ found).sigmoid()
        slope = features.T @ (chances - labels) + 1e-3 * found
        curve = (features * (chances * (1 - chances))[:, None]).T @ features + 1e-3 * torch.eye(2)
        found = found - torch.linalg.solve(curve, slope).clamp(-1.0, 1.0)
    return float(found[0]), float(found[1])


def _labels(judged: Tensor) -> Tensor:
    labels = torch.zeros_like(judged)
    labels[:, 0] = 1.0
    return labels


def _first(judged: Tensor) -> float:
    return float((judged.argmax(1) == 0).float().mean())


def write_reranker(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    calibration: tuple[float, float] = (1.0, 0.0),
) -> None:
    """Write the folder in place of what was there: the weights in float16, to be loaded in float32."""
    half = BertForSequenceClassification(model.config).half()
    half.load_state_dict({name: weight.cpu() for name, weight in model.state_dict().items()})
    scale, shift = calibration
    with torch.no_grad():
        half.classifier.weight.copy_(scale * model.classifier.weight)
        half.classifier.bias.copy_(scale * model.classifier.bias + shift)
    unfinished = folder.with_suffix(".unfinished")
    half.save_pretrained(unfinished)
    settings = json.loads((unfinished / "config.json").read_text(encoding="utf-8"))
    settings["dtype"] = "float32"
    (unfinished / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    pair_tokenizer(tokenizer, _POSITIONS).save_pretrained(unfinished)
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
