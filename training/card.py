"""The model cards of the shipped models: what they were made of, how, what they reach, and what they are bad at."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from training.corpus import TokenCorpus
from training.loop import Run
from training.reranker import RerankRecipe
from training.static import StaticRecipe

DATA = """## Data
{documents:,} documents, {tokens:,} tokens, drawn by chance: Korean statutes in force (texts of the Korean government,
not subject to copyright: Copyright Act of Korea, article 7) and Korean technical documentation (Microsoft Docs and
React, CC BY 4.0; PyTorch tutorials, BSD-3). Laws that the statute benchmark asks about are left out. Nothing of
KorQuAD, of Wikipedia or of any labelled set was trained on. Every fortieth document is held out. Questions are made
by chance from single sentences (`training/questions.py`): a phrase is asked for, words are left out, moved,
given other particles, or come from elsewhere; in half of the steps rare words are exchanged for others, so that the
model does not rest on the words of its corpus. The settings, and the rules that make
questions, were chosen by looking at KorQuAD's `tune` half. The model holds no text.
"""

STATIC = """# ko-static

A static embedding for Korean: the vector of a text is the mean of the vectors of its tokens, {dimension} dimensions,
{vocabulary:,} tokens, no limit of length, no prompt. Compare by cosine. The vectors are 8-bit floats (E4M3) and are
loaded in float32: `KoreanEmbedding()`, or `SentenceTransformer(folder).float()`.

The tokens are morphemes found by Kiwi in a sample of the texts (Kiwi is not needed to use the model), so that a noun
and its particle are two tokens. Vectors start as random directions as long as their token is rare, and learn by the
softmax over the passages, and over the questions, of a batch, which holds many passages of each document.

{data}
## Training
{made_by} Settings: {settings}.

## Figures
Every passage is searched; development figures, no question of KorQuAD's `test` half among them.

| set | questions | Hit@1 | MRR@10 | nDCG@10 |
| --- | --- | --- | --- | --- |
{figures}

## Bad at
Word order, negation, and names that the corpus does not hold, which fall into syllables. Long passages: all their
words count alike, so words that matter drown; cut them to a few sentences. On text like Wikipedia it finds far less
than BM25 with morphemes (`KoreanBM25Retriever`), and equal-weight fusion with it loses: fit the weights. For your own
documents, adapt it.
"""

RERANK = """# ko-mini-rerank

A cross-encoder for Korean: BERT with {layers} layers of {hidden} ({heads} heads, {width} within), {vocabulary:,}
tokens (morphemes, like those of ko-static), 512 positions, one logit. The sigmoid of the logit is calibrated on
held-out made questions with {negatives} hard passages each. Weights in float16, loaded in float32.

The first weights find the question's words: tokens learn their neighbours, then whether the other text holds them,
alone and beside the same neighbour, and [CLS] gathers that, rare words first (`training/matcher.py`). From
there it learns by the listwise softmax over one passage that answers and {negatives} of the first thirty that BM25
finds, and by the pointwise cross-entropy with weight {pointwise}.

{data}
## Training
{made_by} Settings: {settings}.

## Figures
The first thirty of the two lexical views, reordered; a passage that is not among them counts as lost. Development
figures, no question of KorQuAD's `test` half among them. *Blend* is that of `CrossEncoderNodePostprocessor`.

| set | order | questions | Hit@1 | MRR@10 |
| --- | --- | --- | --- | --- |
{figures}

## Bad at
Meaning beyond words: paraphrase, synonyms, inference, negation. It judges how well and how closely the words of a
question stand in a passage. Alone it is worse than the two lexical views, and weighed with them or as a feature of the
ranker it gains nothing that KorQuAD's `test` half can show (the README has the figures): after those, leave the ranker
as the default. A passage that never names its topic loses to others that do.
"""


def note_run(run: Run, work: Path, device: str) -> None:
    """Keep what a card says of a run."""
    made = {"steps": run.step, "minutes": round(run.seconds / 60), "torch": torch.__version__}
    made["machine"] = (
        f"{torch.get_num_threads()} cores of a {platform.machine()} CPU, no GPU"
        if device == "cpu"
        else f"a GPU ({torch.cuda.get_device_name()})"
    )
    (work / f"{run.name}.run.json").write_text(json.dumps(made), encoding="utf-8")


def write_cards(models: Path, work: Path, *, seed: int) -> None:
    """Write both cards from what the work folder says of the runs and the figures."""
    corpus = TokenCorpus.load(work / "corpus.npz")
    data = DATA.format(documents=len(corpus.sources), tokens=len(corpus.tokens))
    figures: dict[str, Any] = json.loads((work / "figures.json").read_text(encoding="utf-8"))
    vocabulary = len(corpus.counts)
    static, rerank = StaticRecipe(), RerankRecipe()
    shape = json.loads((models / "ko-mini-rerank" / "config.json").read_text(encoding="utf-8"))
    rows = [f"| {name} | {_row(found, 'hit@1', 'mrr@10', 'ndcg@10')}" for name, found in figures["ko-static"].items()]
    card = STATIC.format(
        dimension=static.dimension,
        vocabulary=vocabulary,
        data=data,
        made_by=_made_by("ko-static", work, seed),
        settings=_settings(asdict(static)),
        figures="\n".join(rows),
    )
    (models / "ko-static" / "README.md").write_text(card, encoding="utf-8")
    rows = [
        f"| {name} | {way} | {_row(found, 'hit@1', 'mrr@10')}"
        for name, ways in figures["ko-mini-rerank"].items()
        for way, found in ways.items()
    ]
    card = RERANK.format(
        layers=shape["num_hidden_layers"],
        hidden=shape["hidden_size"],
        heads=shape["num_attention_heads"],
        width=shape["intermediate_size"],
        vocabulary=vocabulary,
        negatives=rerank.negatives,
        pointwise=rerank.pointwise,
        data=data,
        made_by=_made_by("ko-mini-rerank", work, seed),
        settings=_settings(asdict(rerank)),
        figures="\n".join(rows),
    )
    (models / "ko-mini-rerank" / "README.md").write_text(card, encoding="utf-8")


def _row(found: Mapping[str, float], *names: str) -> str:
    return " | ".join([f"{found['n']:,}", *(f"{found[name]:.3f}" for name in names)]) + " |"


def _settings(recipe: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in recipe.items())


def _made_by(name: str, work: Path, seed: int) -> str:
    made = json.loads((work / f"{name}.run.json").read_text(encoding="utf-8"))
    option = "--steps-static" if name == "ko-static" else "--steps-rerank"
    return (
        f"Made by `python -m training.shipped_models {option} {made['steps']}` on {made['machine']}, torch "
        f"{made['torch']}: {made['steps']:,} steps, {made['minutes']} minutes of processor time, seed {seed}."
    )
