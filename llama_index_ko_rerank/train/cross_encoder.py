"""Training a cross-encoder on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

import logging
from pathlib import Path

from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.data.irrelevant import irrelevant_contexts
from llama_index_ko_rerank.train.bases import cross_encoder_base
from llama_index_ko_rerank.train.loop import Lesson
from llama_index_ko_rerank.train.plan import plan_run
from llama_index_ko_rerank.train.preflight import count_cut
from llama_index_ko_rerank.train.probes import LogitProbe, Probe, RerankProbe
from llama_index_ko_rerank.train.recipes import SCRATCH
from llama_index_ko_rerank.train.result import TrainingResult
from llama_index_ko_rerank.train.rows import QuestionRows, Rows
from llama_index_ko_rerank.train.session import Request, open_session, teach

_log = logging.getLogger(__name__)


def train_cross_encoder(
    dataset: RetrievalDataset | PairDataset,
    output_dir: str | Path,
    *,
    base: str = SCRATCH,
    recipe: str | None = None,
    validation: RetrievalDataset | PairDataset | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    warmup_steps: int | None = None,
    max_steps: int | None = None,
    seed: int = 42,
    resume: bool = False,
    overwrite: bool = False,
    keep_checkpoints: bool = False,
    show_progress: bool = True,
    device: str | None = None,
) -> TrainingResult:
    """Train a cross-encoder, keep its best measured step, and write a folder for `CrossEncoderNodePostprocessor`.

    The best step is the one with the highest MRR@10 of a context among ten candidates, for at most 100 validation
    questions: half of the others are the passages nearest to the question by character bigrams, half are drawn. For
    sentence pairs it is the highest Spearman correlation of logit and label. Question and context together are read up
    to 512 tokens. Texts are normalised. Interrupted, or out of disk, the run leaves whole checkpoints in
    ``output_dir/checkpoints``; they are removed when the model is there.

    Args:
        dataset: What to learn from: at least 10 distinct contexts or sentence pairs.
        output_dir: The folder of the model.
        base: ``scratch`` (a small BERT with a vocabulary learnt from the data), a folder, a catalog name, or a hub
            name. A base that is no cross-encoder yet gets a new last layer.
        recipe: ``book-rerank``, and so where None.
        validation: What to choose the best step by; a tenth of the contexts, or pairs, of `dataset` where None.
        epochs: The recipe's where None, as are the next three.
        batch_size: Rows a step.
        learning_rate: The highest one.
        warmup_steps: Steps until it is reached; at most half of the run.
        max_steps: The most steps of the whole run.
        seed: Of what is held out, of irrelevant contexts, of the order of rows, and of new weights. On a CPU, the same
            seed and data give the same weights.
        resume: Go on from the last checkpoint in `output_dir`; it ends with the weights of an unbroken run.
        overwrite: Replace a model in `output_dir`, or begin again where checkpoints are.
        keep_checkpoints: Keep the last and the best checkpoint in ``output_dir/checkpoints``.
        show_progress: Draw a progress bar.
        device: ``cpu``, ``cuda`` or ``mps``; an accelerator where there is one, where None.

    Raises:
        InvalidSetting: A setting is unknown, out of range or does not fit, or the folder is not free to be written.
        EmptyCorpus: There is too little to learn from, or a question has no irrelevant context.
        MalformedData: A row is empty, or a label is not in 0-1, or all labels are equal.
        SplitLeak: Training and validation share contexts or sentence pairs.
        InvalidText: A text holds lone surrogates.
        ModelNotFound: There is no such base, and the hub does not have it or is out of reach.
        UnsuitableModel: The base cannot become a cross-encoder with one logit, or its tokenizer has no pad token.
    """
    request = Request(
        output_dir=output_dir,
        base=base,
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        max_steps=max_steps,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        keep_checkpoints=keep_checkpoints,
        show_progress=show_progress,
        device=device,
    )
    session = open_session("cross-encoder", dataset, validation, request)
    first, second, labels = _labelled(session.training, seed=seed)
    model = cross_encoder_base(base, texts=session.training.texts, device=session.device, seed=seed)
    lesson: Lesson[CrossEncoder] = Lesson(
        loss=BinaryCrossEntropyLoss(model.model),
        columns={"first": first, "second": second, "label": labels},
        prompts={},
        distinct_in_batch=session.recipe.distinct_in_batch,
        probe=_probe(session.validation, seed=seed),
        plan=plan_run(session.schedule, rows=len(labels), max_steps=max_steps),
    )
    return teach(session, model, lesson, cut_rows=count_cut(model, list(zip(first, second, strict=True))))


def _labelled(rows: Rows, *, seed: int) -> tuple[list[str], list[str], list[float]]:
    """Give both sides of each row, and its label: a question with its context (1), then with an irrelevant one (0)."""
    if not isinstance(rows, QuestionRows):
        pairs = rows.pairs
        return [p.sentence1 for p in pairs], [p.sentence2 for p in pairs], [float(p.label) for p in pairs]
    answers = rows.answers()
    first, second, labels = [], [], []
    also_right = 0
    for pair, irrelevant in zip(rows.pairs, irrelevant_contexts(rows.pairs, seed=seed), strict=True):
        first.append(pair.question)
        second.append(pair.context)
        labels.append(1.0)
        if irrelevant in answers[pair.question]:
            also_right += 1
            continue
        first.append(pair.question)
        second.append(irrelevant)
        labels.append(0.0)
    if also_right:
        _log.warning(
            "%d of %d irrelevant contexts answer their question too, and were left out", also_right, len(rows.pairs)
        )
    return first, second, labels


def _probe(rows: Rows, *, seed: int) -> Probe[CrossEncoder]:
    return RerankProbe(rows, seed=seed) if isinstance(rows, QuestionRows) else LogitProbe(rows)
