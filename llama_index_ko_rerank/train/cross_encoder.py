"""Training a cross-encoder on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import (
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    LambdaLoss,
    ListNetLoss,
    MarginMSELoss,
)

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.embed.loading import load_model
from llama_index_ko_rerank.embed.model_folder import find_model_folder
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.data.augmentation import drop_spaces
from llama_index_ko_rerank.train.data.checks import class_sizes, count_truncated
from llama_index_ko_rerank.train.data.hard_negatives import HardNegatives, mine_hard_negatives
from llama_index_ko_rerank.train.data.rows import QuestionRows, SentenceRows, labelled_pairs
from llama_index_ko_rerank.train.model_card import TrainingResult
from llama_index_ko_rerank.train.models.inference import pair_logits
from llama_index_ko_rerank.train.models.loading import Base, cross_encoder_base, trained_cross_encoder
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, Recipe
from llama_index_ko_rerank.train.recipes.schedule import resolve_schedule
from llama_index_ko_rerank.train.run import Prepared, teach
from llama_index_ko_rerank.train.setup import Session, TrainingRequest, open_session
from llama_index_ko_rerank.train.trainer.evaluators import ClassProbe, FirstStageProbe, LogitProbe, Probe, RerankProbe
from llama_index_ko_rerank.train.trainer.trainer import Lesson


def train_cross_encoder(
    dataset: RetrievalDataset | PairDataset,
    output_dir: str | Path,
    *,
    base: str = SCRATCH,
    recipe: str | Recipe | None = None,
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

    The best step of ``strong`` and ``distil`` is the one with the highest MRR@10 after reordering what BM25 found, for
    at most 100 validation questions; no context is put among the candidates. That of ``book-rerank`` has the highest
    MRR@10 of a context among ten candidates: half of the others are the passages nearest to the question by character
    bigrams, half are drawn. For sentence pairs it is the highest Spearman correlation of logit and label, and for
    classes the highest mean F1. Question and context together are read up to 512 tokens. Texts are normalised.
    Interrupted, or out of disk, the run leaves whole checkpoints in ``output_dir/checkpoints``; they are removed when
    the model is there.

    Args:
        dataset: What to learn from: at least 10 distinct contexts or sentence pairs.
        output_dir: The folder of the model.
        base: ``scratch`` (a small BERT with a vocabulary learnt from the data), a folder, a catalog name, or a hub
            name. A base that is no cross-encoder yet gets a new last layer.
        recipe: For questions with contexts ``book-rerank`` (so where None), ``strong``, or ``distil`` with its option
            ``teacher``; for sentence pairs ``book-rerank`` or ``classify``; or one from `override_recipe`.
        validation: What to choose the best step by; a tenth of the contexts, or pairs, of `dataset` where None.
        epochs: The recipe's where None, as are the next three.
        batch_size: Rows a step; in the second stage of ``strong`` as many passages, in lists of one question each.
        learning_rate: The highest one; half of it in the second stage of ``strong``.
        warmup_steps: Steps until it is reached; at most half of the run.
        max_steps: The most steps of the whole run, both stages of ``strong`` together.
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
        MalformedData: A row is empty, or a label is no similarity in 0-1 or no class, or all labels are equal.
        SplitLeak: Training and validation share contexts or sentence pairs.
        InvalidText: A text holds lone surrogates.
        ModelNotFound: There is no such base, judge or teacher, and the hub does not have it or is out of reach.
        UnsuitableModel: The base cannot become a cross-encoder with such a head, a judge or teacher is none, or a
            tokenizer has no pad token.
        DiskFull: A checkpoint or the model could not be written; what was there is whole.
    """
    request = TrainingRequest(
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
    return teach(prepare_cross_encoder(open_session("cross-encoder", dataset, validation, request)))


_BATCH = 32


def prepare_cross_encoder(session: Session) -> Prepared[CrossEncoder]:
    """Make the rows and load the base; nothing is learnt yet.

    Raises:
        InvalidSetting, ModelNotFound, UnsuitableModel, MalformedData: As of `train_cross_encoder`.
        EmptyCorpus: A question has no passage that could be its negative.
    """
    recipe, training = session.recipe, session.training
    if recipe.loss == "MarginMSELoss" and recipe.teacher is None:
        raise InvalidSetting(
            f"the recipe {recipe.name!r} learns from a stronger cross-encoder; pass its folder or name "
            "as the option teacher"
        )
    names = _class_names(session)
    if recipe.mining is not None and isinstance(training, QuestionRows):
        return _prepare_mined(session, training)
    first, second, labels = labelled_pairs(training, classes=recipe.learns_classes, seed=session.request.seed)
    base = _base(session, names)
    loss = CrossEntropyLoss(base.model) if recipe.learns_classes else BinaryCrossEntropyLoss(base.model)
    lesson = Lesson(
        loss=loss,
        columns={"first": first, "second": second, "label": labels},
        prompts={},
        batches=recipe.batches,
        probe=_probe(session),
        plan=resolve_schedule(session.schedule, rows=len(labels), max_steps=session.request.max_steps),
        patience=recipe.patience,
    )
    cut_rows = count_truncated(base, list(zip(first, second, strict=True)))
    return Prepared(session=session, base=base, lessons=(lesson,), cut_rows=cut_rows, notes=_balance(session, names))


def _prepare_mined(session: Session, training: QuestionRows) -> Prepared[CrossEncoder]:
    """Mine before the base is loaded, so that a judge, a teacher and an embedding model have made room for it."""
    hard = _mined(session, training)
    margins = _margins(session, training, hard) if session.recipe.loss == "MarginMSELoss" else None
    base = _base(session, ())
    lessons = (
        _lessons(session, training, hard, base)
        if margins is None
        else (_distillation(session, training, hard, margins, base),)
    )
    pairs = [
        (pair.question, text)
        for pair, own in zip(training.pairs, hard.texts, strict=True)
        for text in (pair.context, *own)
    ]
    return Prepared(
        session=session, base=base, lessons=lessons, cut_rows=count_truncated(base, pairs), notes=(hard.summary,)
    )


def _base(session: Session, class_names: Sequence[str]) -> Base[CrossEncoder]:
    return cross_encoder_base(
        session.request.base,
        texts=session.training.texts,
        device=session.device,
        seed=session.request.seed,
        class_names=class_names,
    )


def _probe(session: Session) -> Probe[CrossEncoder]:
    rows, seed = session.validation, session.request.seed
    if isinstance(rows, SentenceRows):
        return ClassProbe(rows) if session.recipe.learns_classes else LogitProbe(rows)
    return FirstStageProbe(rows, seed=seed) if session.recipe.mining is not None else RerankProbe(rows, seed=seed)


def _class_names(session: Session) -> tuple[str, ...]:
    rows, recipe = session.training, session.recipe
    if not recipe.learns_classes or not isinstance(rows, SentenceRows):
        return ()
    sizes = class_sizes(rows, recipe.class_names)
    if isinstance(session.validation, SentenceRows):
        highest = max(int(pair.label) for pair in session.validation.pairs)
        if highest >= len(sizes):
            raise InvalidSetting(f"the validation rows have the class {highest}, which no training row has")
    return recipe.class_names or tuple(str(label) for label in range(len(sizes)))


def _balance(session: Session, names: Sequence[str]) -> tuple[str, ...]:
    if not names or not isinstance(session.training, SentenceRows):
        return ()
    sizes = class_sizes(session.training, names)
    return ("training rows a class: " + ", ".join(f"{name} {size:,}" for name, size in zip(names, sizes, strict=True)),)


def _mined(session: Session, training: QuestionRows) -> HardNegatives:
    recipe, device = session.recipe, session.device
    assert recipe.mining is not None  # asked by the caller
    embedding = None
    if recipe.embed_model is not None:
        folder = find_model_folder(recipe.embed_model)
        embedding = load_model(folder, dtype="float32", device=device, trust_remote_code=False)
        embedding.prompts = {"query": folder.query_prompt, "document": folder.passage_prompt}
    return mine_hard_negatives(
        training,
        recipe.mining,
        seed=session.request.seed,
        without=session.validation.contexts if isinstance(session.validation, QuestionRows) else (),
        embedding=embedding,
        judge=trained_cross_encoder(recipe.judge, device=device, role="judge") if recipe.judge else None,
    )


def _questions(session: Session, training: QuestionRows) -> list[str]:
    questions = [pair.question for pair in training.pairs]
    return drop_spaces(questions, session.recipe.space_drop_rate, seed=session.request.seed)


def _lessons(
    session: Session, training: QuestionRows, hard: HardNegatives, base: Base[CrossEncoder]
) -> tuple[Lesson[CrossEncoder], ...]:
    """Give the pairs of each question one by one, then the same passages as one list a question."""
    recipe, schedule, most = session.recipe, session.schedule, session.request.max_steps
    questions, probe, count = _questions(session, training), _probe(session), len(hard.texts[0])
    lists = [[pair.context, *own] for pair, own in zip(training.pairs, hard.texts, strict=True)]
    marks = [1.0, *[0.0] * count]
    pairs = Lesson(
        loss=BinaryCrossEntropyLoss(base.model, pos_weight=torch.tensor(float(count))),
        columns={
            "first": [question for question in questions for _ in marks],
            "second": [text for texts in lists for text in texts],
            "label": marks * len(lists),
        },
        prompts={},
        batches=recipe.batches,
        probe=probe,
        plan=resolve_schedule(
            schedule, rows=len(lists) * len(marks), max_steps=None if most is None else -(-most // 2)
        ),
        patience=recipe.patience,
    )
    left = None if most is None else most - pairs.plan.steps
    if recipe.then is None or left == 0:
        return (pairs,)
    second = replace(
        schedule,
        batch_size=max(1, schedule.batch_size // len(marks)),
        learning_rate=schedule.learning_rate / 2,
        warmup_steps=schedule.warmup_steps // 2,
    )
    listwise = LambdaLoss if recipe.then == "LambdaLoss" else ListNetLoss
    groups = Lesson(
        loss=listwise(base.model, mini_batch_size=schedule.batch_size),
        columns={"question": questions, "passages": lists, "label": [marks] * len(lists)},
        prompts={},
        batches=recipe.batches,
        probe=probe,
        plan=resolve_schedule(second, rows=len(lists), max_steps=left),
        patience=recipe.patience,
    )
    return pairs, groups


def _margins(session: Session, training: QuestionRows, hard: HardNegatives) -> list[list[float]]:
    """Let the teacher say by how much each question's context is above each of its negatives."""
    assert session.recipe.teacher is not None  # asked at the door
    teacher = trained_cross_encoder(session.recipe.teacher, device=session.device, role="teacher")
    pairs = [
        (pair.question, text)
        for pair, own in zip(training.pairs, hard.texts, strict=True)
        for text in (pair.context, *own)
    ]
    logits = pair_logits(teacher, pairs, _BATCH).reshape(len(training.pairs), -1)
    margins: list[list[float]] = (logits[:, :1] - logits[:, 1:]).tolist()
    return margins


def _distillation(
    session: Session,
    training: QuestionRows,
    hard: HardNegatives,
    margins: list[list[float]],
    base: Base[CrossEncoder],
) -> Lesson[CrossEncoder]:
    columns: dict[str, Sequence[object]] = {
        "question": _questions(session, training),
        "context": [pair.context for pair in training.pairs],
    }
    for number, texts in enumerate(zip(*hard.texts, strict=True), start=1):
        columns[f"negative_{number}"] = list(texts)
    return Lesson(
        loss=MarginMSELoss(base.model),
        columns=columns | {"label": margins},
        prompts={},
        batches=session.recipe.batches,
        probe=_probe(session),
        plan=resolve_schedule(session.schedule, rows=len(training.pairs), max_steps=session.request.max_steps),
        patience=session.recipe.patience,
    )
