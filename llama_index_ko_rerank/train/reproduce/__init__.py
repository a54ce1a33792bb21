"""The book's experiments with fitted models, reproduced and set beside what it publishes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sentence_transformers import CrossEncoder

from llama_index_ko_rerank.data.dataset import dataset_nodes
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.correlation import Correlation, cosine_scorer, mrc_correlation, sts_correlation
from llama_index_ko_rerank.evaluate.report import EvaluationReport
from llama_index_ko_rerank.evaluate.runner import evaluate_retrieval
from llama_index_ko_rerank.evaluate.systems import SystemParts, build_systems
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.train.models.loading import pair_logits, trained_cross_encoder
from llama_index_ko_rerank.train.recipes.schedule import choose_device
from llama_index_ko_rerank.train.reproduce.data import BookData, load_book_data
from llama_index_ko_rerank.train.reproduce.models import BookSettings, ReproductionModels, open_folder
from llama_index_ko_rerank.train.reproduce.report import (
    BASE,
    CROSS_TRAINED,
    CROSS_UNTRAINED,
    FINE_TUNED,
    HITS_AT,
    MRC_BEFORE,
    MRC_MNR,
    RECALL_AT,
    RERANKED,
    STS_TRAINED,
    STS_UNTRAINED,
    BookReport,
)

_SYSTEMS = {BASE: "dense-base", FINE_TUNED: "dense", RERANKED: "dense+rerank"}
_PAIRS_AT_ONCE = 32


def reproduce_book(
    settings: BookSettings,
    out: Path,
    *,
    command: str = "",
    show_progress: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
    on_question: Callable[[int, int], None] = lambda _done, _all: None,
) -> BookReport:
    """Train the book's models, measure its two tables, and return them beside the published figures.

    Trained models stay in ``out/models``; a second run with the same settings finds them, and goes on where the first
    was interrupted.

    Args:
        settings: Data, bases, rows and seed.
        out: The folder of the reproduction.
        command: The command that makes this report again, for the record.
        show_progress: Whether training draws bars.
        on_step: Called with each step that begins.
        on_question: Called with the number of searches done, and of all.

    Raises:
        InvalidSetting: `rows` is out of range, or the folder holds something else.
        DataError: The data are missing, out of reach, or cannot be learnt from.
        ModelError: A base is missing, out of reach, or of the wrong kind.
        DiskFull: A model could not be written.
    """
    data = load_book_data(settings.mrc, settings.sts, rows=settings.rows, seed=settings.seed)
    open_folder(out, settings)
    on_step("opening the bases")
    models = ReproductionModels(data, settings, out, show_progress=show_progress, on_step=on_step)
    correlations = _correlations(models, data, seed=settings.seed, on_step=on_step)
    on_step(f"searching {len(data.searched.passages):,} contexts for {len(data.searched.questions):,} questions")
    search = _search(models, data, seed=settings.seed, command=command, on_question=on_question)
    return BookReport(
        settings=settings,
        correlations=correlations,
        search=search,
        shared_contexts=data.shared_contexts,
        learnt={"STS": len(data.sts.pairs), "MRC": len(data.mrc.questions)},
        folders={FINE_TUNED: models.mrc(), RERANKED: models.cross_encoder()},
        static=models.is_static,
    )


def _correlations(
    models: ReproductionModels, data: BookData, *, seed: int, on_step: Callable[[str], None]
) -> dict[str, Correlation]:
    sts = KoreanEmbedding(models.sts())
    mrc = KoreanEmbedding(models.mrc())
    trained = trained_cross_encoder(str(models.cross_encoder()), device=choose_device(None), role="reranker")
    on_step("scoring pairs")

    def of_embedding(model: KoreanEmbedding) -> Correlation:
        return mrc_correlation(cosine_scorer(model, first_is="query"), data.mrc_measured, seed=seed)

    def of_cross_encoder(model: CrossEncoder) -> Correlation:
        return mrc_correlation(_logits_by(model), data.mrc_measured, seed=seed)

    return {
        STS_UNTRAINED: sts_correlation(models.untrained_embedding(), data.sts_measured, seed=seed),
        STS_TRAINED: sts_correlation(sts, data.sts_measured, seed=seed),
        MRC_BEFORE: of_embedding(sts),
        MRC_MNR: of_embedding(mrc),
        CROSS_UNTRAINED: of_cross_encoder(models.untrained_cross_encoder),
        CROSS_TRAINED: of_cross_encoder(trained),
    }


def _search(
    models: ReproductionModels, data: BookData, *, seed: int, command: str, on_question: Callable[[int, int], None]
) -> EvaluationReport:
    done = dict.fromkeys(_SYSTEMS, 0)

    def count(name: str, answered: int, questions: int) -> None:
        done[name] = answered
        on_question(sum(done.values()), questions * len(done))

    with tempfile.TemporaryDirectory() as folder:
        parts = SystemParts(
            dataset_nodes(data.searched),
            Path(folder),
            embed_model=KoreanEmbedding(models.mrc()),
            base_embed_model=KoreanEmbedding(models.sts()),
            reranker=CrossEncoderNodePostprocessor(str(models.cross_encoder()), top_n=HITS_AT),
            candidates=RECALL_AT,
        )
        built = build_systems(list(_SYSTEMS.values()), parts)
        systems = {row: built[system] for row, system in _SYSTEMS.items()}
        return evaluate_retrieval(systems, data.searched, command=command, seed=seed, on_progress=count)


def _logits_by(model: CrossEncoder) -> Callable[[list[tuple[str, str]]], Sequence[float]]:
    def logits(pairs: list[tuple[str, str]]) -> list[float]:
        found: list[float] = pair_logits(model, pairs, _PAIRS_AT_ONCE).tolist()
        return found

    return logits
