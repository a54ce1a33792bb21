"""Train the two small models that ship with the package, from statutes and documentation, and nothing of KorQuAD.

    python -m training.shipped_models [--data ../shared/data] [--models llama_index_ko_rerank/models]
        [--work DIR] [--minutes-static 12] [--minutes-rerank 120] [--resume] [--device cpu]
        [--only static rerank card]

A break, Ctrl-C among them, loses the steps since the last checkpoint; `--resume` goes on from there. Minutes are those
of all cores at work, so that a busy machine trains as long as an idle one, only later. Everything in between is kept in
the work folder; the models are written when their training ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as parquet
from tokenizers import Tokenizer

from training.card import note_run, write_cards
from training.corpus import SOURCES, TokenCorpus, documents, tokenised
from training.loop import Budget
from training.matcher import matcher
from training.measure import measure
from training.questions import Wording, wording
from training.reranker import RerankRecipe, train_reranker
from training.static import StaticRecipe, train_static, write_static
from training.vocabulary import shipped_tokenizer

ROOT = Path(__file__).parents[1]
STAGES = ("static", "rerank", "card")
SEED = 7
VOCABULARY = 24_000
SAMPLED = {"statutes": 3_000_000, "tech_docs": 4_000_000}


@dataclass(frozen=True)
class Prepared:
    """What both trainings read."""

    tokenizer: Tokenizer
    corpus: TokenCorpus
    wording: Wording


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare, train, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--models", type=Path, default=ROOT / "llama_index_ko_rerank" / "models")
    parser.add_argument("--work", type=Path, default=Path("shipped-models-work"))
    parser.add_argument("--minutes-static", type=float, default=12.0)
    parser.add_argument("--minutes-rerank", type=float, default=120.0)
    parser.add_argument("--steps-static", type=int, help="instead of minutes")
    parser.add_argument("--steps-rerank", type=int, help="instead of minutes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    prepared = prepare(chosen.data, chosen.work)
    if "static" in chosen.only:
        make_static(prepared, chosen)
    if "rerank" in chosen.only:
        make_reranker(prepared, chosen)
    if "card" in chosen.only:
        measure(chosen.models, chosen.data, chosen.work)
        write_cards(chosen.models, chosen.work, seed=SEED)


def prepare(data: Path, work: Path, *, vocabulary: int = VOCABULARY) -> Prepared:
    """Make the tokenizer and the tokens, or read them where an earlier run made them."""
    work.mkdir(parents=True, exist_ok=True)
    files = {name: work / name for name in ("tokenizer.json", "endings.json", "corpus.npz")}
    if not files["endings.json"].exists():
        tokenizer, endings = shipped_tokenizer(sampled(data), size=vocabulary)
        tokenizer.save(str(files["tokenizer.json"]))
        files["endings.json"].write_text(json.dumps(endings, ensure_ascii=False), encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
    if not files["corpus.npz"].exists():
        unfinished = work / "unfinished.npz"
        tokenised([documents(data, source) for source in range(len(SOURCES))], tokenizer).save(unfinished)
        unfinished.replace(files["corpus.npz"])
    corpus = TokenCorpus.load(files["corpus.npz"])
    endings = json.loads(files["endings.json"].read_text(encoding="utf-8"))
    return Prepared(tokenizer, corpus, wording(tokenizer, endings, corpus.rarity()))


def sampled(data: Path) -> list[str]:
    """Draw the texts that the vocabulary is counted in."""
    texts: list[str] = []
    for source, characters in SAMPLED.items():
        rows = parquet.read_table(data / "corpus" / f"{source}.parquet", columns=["text"]).column("text").to_pylist()
        Random(0).shuffle(rows)
        read = 0
        for row in rows:
            texts.append(row[:800])
            read += len(texts[-1])
            if read > characters:
                break
    return texts


def make_static(prepared: Prepared, chosen: argparse.Namespace) -> None:
    """Train and write the embedding."""
    vectors, run = train_static(
        prepared.corpus,
        prepared.wording,
        recipe=StaticRecipe(),
        budget=Budget(chosen.minutes_static, chosen.steps_static),
        seed=SEED,
        folder=chosen.work,
        resume=chosen.resume,
        device=chosen.device,
    )
    note_run(run, chosen.work, chosen.device)
    write_static(vectors, prepared.tokenizer, chosen.models / "ko-static")


def make_reranker(prepared: Prepared, chosen: argparse.Namespace) -> None:
    """Train and write the cross-encoder."""
    words = prepared.wording
    rarity = words.rarity.copy()
    rarity[np.unique(np.concatenate([*words.ends, *words.asked]))] *= 0.2  # what asks is found in no passage
    directions = np.random.default_rng(SEED).standard_normal((len(rarity), 256)).astype(np.float32)
    model = matcher(directions[words.alike], rarity, seed=SEED).to(chosen.device)
    run = train_reranker(
        model,
        prepared.corpus,
        prepared.tokenizer,
        words,
        recipe=RerankRecipe(),
        budget=Budget(chosen.minutes_rerank, chosen.steps_rerank),
        seed=SEED,
        folder=chosen.work,
        resume=chosen.resume,
    )
    note_run(run, chosen.work, chosen.device)
    target = chosen.models / "ko-mini-rerank"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(chosen.work / "ko-mini-rerank", target)


if __name__ == "__main__":
    main()
