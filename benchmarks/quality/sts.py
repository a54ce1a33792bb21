"""Spearman of cosine and label on KLUE STS dev and KorSTS test, before and after learning from KorSTS train."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.korsts_pairs import DATA, read_korsts
from llama_index_ko_rerank.data import PairDataset, load_pair_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate import Correlation, CorrelationReport, sts_correlation
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder
from llama_index_ko_rerank.train.models.scratch import untrained_baseline

SEED = 42
KLUE = DATA / "klue" / "klue-sts-v1.1_dev.json"


def sts_report(work: Path, command: str) -> CorrelationReport:
    """Train ko-static and a model from nothing, and measure both before and after."""
    rows: dict[str, Correlation] = {}
    measured = [read_korsts("test")]
    if KLUE.exists():
        measured.append(load_pair_dataset(f"klue-sts:{KLUE}", "validation"))
    for base in ("ko-static", "scratch"):
        trained = _trained(base, work)
        if base == "scratch":
            before = work / "sts-scratch-untrained"
            untrained_baseline(trained, seed=SEED).save(str(before))
        else:
            before = Path(base)
        for when, model in (("before", before), ("after", trained)):
            rows |= _measured(f"{base}, {when}", str(model), measured)
    return CorrelationReport(rows, command)


def _trained(base: str, work: Path) -> Path:
    folder = work / f"sts-{base}"
    if not (folder / "modules.json").exists():
        train_bi_encoder(
            read_korsts("train"),
            folder,
            validation=read_korsts("dev"),
            arguments=TrainingArguments(base=base, recipe="sts", seed=SEED, resume=folder.exists()),
        )
    return folder


def _measured(name: str, model: str, datasets: list[PairDataset]) -> dict[str, Correlation]:
    embedding = KoreanEmbedding(model)
    return {
        f"{name}, {'KLUE STS dev' if 'klue' in data.name else data.name + ' ' + data.split}": sts_correlation(
            embedding, data, seed=SEED
        )
        for data in datasets
    }
