"""Training a cross-encoder on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from llama_index_ko_rerank.embed.loading import find_model_folder, load_model
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.data.hard_negatives import HardNegatives, mine_hard_negatives
from llama_index_ko_rerank.train.data.rows import (
    QuestionRows,
    SentenceRows,
    class_sizes,
    count_truncated,
    drop_spaces,
    labelled_pairs,
)
from llama_index_ko_rerank.train.model_card import TrainingResult
from llama_index_ko_rerank.train.models.loading import (
    StartingModel,
    cross_encoder_base,
    pair_logits,
    shape_transformer,
    trained_cross_encoder,
)
from llama_index_ko_rerank.train.recipes.schedule import ResolvedSchedule, resolve_schedule
from llama_index_ko_rerank.train.run import TrainingPlan, ValidatedRun, run_training, validate_run
from llama_index_ko_rerank.train.trainer.evaluators import (
    ClassEvaluator,
    Evaluator,
    FirstStageEvaluator,
    LogitEvaluator,
    RerankEvaluator,
)
from llama_index_ko_rerank.train.trainer.trainer import TrainingStage

_BATCH = 32


def train_cross_encoder(
    dataset: RetrievalDataset | PairDataset,
    output_dir: str | Path,
    *,
    arguments: TrainingArguments = TrainingArguments(),
    validation: RetrievalDataset | PairDataset | None = None,
) -> TrainingResult:
    """Train a cross-encoder, keep its best evaluated step, and write a folder for `CrossEncoderNodePostprocessor`.

    From ``scratch`` it is a small BERT with a vocabulary learnt from the data; a base that is no cross-encoder yet gets
    a new last layer. Recipes for questions with contexts are ``book-rerank`` (the default), ``strong``, and ``distil``
    with its option ``teacher``; for sentence pairs ``book-rerank`` and ``classify``. The second stage of ``strong``
    learns at half the rate, and reads as many passages a step, in lists of one question each.

    The best step of ``strong`` and ``distil`` is the one with the highest MRR@10 after reranking what BM25 found, for
    at most 100 validation questions; no context is put among the candidates. That of ``book-rerank`` has the highest
    MRR@10 of a context among ten candidates: half of the others are the passages nearest to the question by character
    bigrams, half are sampled. For sentence pairs it is the highest Spearman correlation of logit and label, and for
    classes the highest mean F1. Question and context together are read up to 512 tokens. Texts are normalised.
    Interrupted, or out of disk, the run leaves whole checkpoints in ``output_dir/checkpoints``; they are removed when
    the model is there.

    Args:
        dataset: Training data: at least 10 distinct contexts or sentence pairs.
        output_dir: The folder of the model.
        arguments: Settings of the run; `pooling` is none of them.
        validation: Data that choose the best step. Defaults to a tenth of the contexts, or pairs, of `dataset`.

    Raises:
        InvalidSetting: A setting is unknown, out of range or does not fit, or the folder is not free to be written.
        EmptyCorpus: There is too little to learn from, or a question has no irrelevant context.
        MalformedData: A row is empty, or a label is no similarity in 0-1 or no class, or all labels are equal.
        SplitLeak: Training and validation share contexts or sentence pairs.
        InvalidText: A text holds lone surrogates.
        ModelNotFound: There is no such base, filter or teacher, and the hub does not have it or is out of reach.
        UnsuitableModel: The base cannot become a cross-encoder with such a head, a filter or teacher is none, or a
            tokenizer has no pad token.
        DiskFull: A checkpoint or the model could not be written; what was there is whole.
    """
    run = validate_run("cross-encoder", dataset, output_dir, validation=validation, arguments=arguments)
    return run_training(prepare_cross_encoder(run))


def prepare_cross_encoder(run: ValidatedRun) -> TrainingPlan[CrossEncoder]:
    """Make the rows and load the base; nothing is learnt yet.

    Raises:
        InvalidSetting, ModelNotFound, UnsuitableModel, MalformedData: As of `train_cross_encoder`.
        EmptyCorpus: A question has no passage that could be its negative.
    """
    recipe, training = run.recipe, run.training
    if recipe.loss == "MarginMSELoss" and recipe.teacher is None:
        raise InvalidSetting(
            f"the recipe {recipe.name!r} learns from a stronger cross-encoder; pass its folder or name "
            "as the option teacher"
        )
    names = _class_names(run)
    if recipe.mining is not None and isinstance(training, QuestionRows):
        return _prepare_mined(run, training)
    first, second, labels = labelled_pairs(training, classes=recipe.learns_classes, seed=run.arguments.seed)
    base = _base(run, names)
    loss = CrossEntropyLoss(base.model) if recipe.learns_classes else BinaryCrossEntropyLoss(base.model)
    columns: dict[str, Sequence[object]] = {"first": first, "second": second, "label": labels}
    schedule = resolve_schedule(run.schedule, rows=len(labels), max_steps=run.arguments.max_steps)
    stage = _stage(run, _evaluator(run), loss=loss, columns=columns, schedule=schedule)
    cut_rows = count_truncated(base, list(zip(first, second, strict=True)))
    return TrainingPlan(run=run, base=base, stages=(stage,), cut_rows=cut_rows, notes=_balance(run, names))


def _prepare_mined(run: ValidatedRun, training: QuestionRows) -> TrainingPlan[CrossEncoder]:
    """Mine before the base is loaded, so that a filter, a teacher and an embedding model have made room for it."""
    hard = _mined(run, training)
    margins = _margins(run, training, hard) if run.recipe.loss == "MarginMSELoss" else None
    base = _base(run, ())
    stages = (
        _stages(run, training, hard, base) if margins is None else (_distillation(run, training, hard, margins, base),)
    )
    return TrainingPlan(
        run=run, base=base, stages=stages, cut_rows=count_truncated(base, _pairs(training, hard)), notes=(hard.summary,)
    )


def _stage(
    run: ValidatedRun,
    evaluator: Evaluator[CrossEncoder],
    *,
    loss: torch.nn.Module,
    columns: Mapping[str, Sequence[object]],
    schedule: ResolvedSchedule,
) -> TrainingStage[CrossEncoder]:
    """Make a stage with what all stages of a recipe share; a cross-encoder has no prompts."""
    return TrainingStage(
        loss=loss,
        columns=columns,
        prompts={},
        batches=run.recipe.batches,
        evaluator=evaluator,
        schedule=schedule,
        patience=run.recipe.patience,
    )


def _pairs(training: QuestionRows, hard: HardNegatives) -> list[tuple[str, str]]:
    """Return each question with its context and then with each of its hard negatives."""
    return [
        (pair.question, text)
        for pair, own in zip(training.pairs, hard.texts, strict=True)
        for text in (pair.context, *own)
    ]


def _base(run: ValidatedRun, class_names: Sequence[str]) -> StartingModel[CrossEncoder]:
    base = cross_encoder_base(
        run.arguments.base,
        texts=run.training.texts,
        device=run.device,
        seed=run.arguments.seed,
        class_names=class_names,
    )
    return shape_transformer(
        base, layers=run.arguments.layers, train_embeddings=run.arguments.train_embeddings, device=run.device
    )


def _evaluator(run: ValidatedRun) -> Evaluator[CrossEncoder]:
    rows, seed = run.validation, run.arguments.seed
    if isinstance(rows, SentenceRows):
        return ClassEvaluator(rows) if run.recipe.learns_classes else LogitEvaluator(rows)
    return FirstStageEvaluator(rows, seed=seed) if run.recipe.mining is not None else RerankEvaluator(rows, seed=seed)


def _class_names(run: ValidatedRun) -> tuple[str, ...]:
    rows, recipe = run.training, run.recipe
    if not recipe.learns_classes or not isinstance(rows, SentenceRows):
        return ()
    sizes = class_sizes(rows, recipe.class_names)
    if isinstance(run.validation, SentenceRows):
        highest = max(int(pair.label) for pair in run.validation.pairs)
        if highest >= len(sizes):
            raise InvalidSetting(f"the validation rows have the class {highest}, which no training row has")
    return recipe.class_names or tuple(str(label) for label in range(len(sizes)))


def _balance(run: ValidatedRun, names: Sequence[str]) -> tuple[str, ...]:
    if not names or not isinstance(run.training, SentenceRows):
        return ()
    sizes = class_sizes(run.training, names)
    return ("training rows a class: " + ", ".join(f"{name} {size:,}" for name, size in zip(names, sizes, strict=True)),)


def _mined(run: ValidatedRun, training: QuestionRows) -> HardNegatives:
    recipe, device = run.recipe, run.device
    assert recipe.mining is not None  # checked by the caller
    embedding = None
    if recipe.embed_model is not None:
        folder = find_model_folder(recipe.embed_model)
        embedding = load_model(folder, dtype="float32", device=device, trust_remote_code=False)
        embedding.prompts = {"query": folder.query_prompt, "document": folder.passage_prompt}
    return mine_hard_negatives(
        training,
        recipe.mining,
        seed=run.arguments.seed,
        without=run.validation.contexts if isinstance(run.validation, QuestionRows) else (),
        embedding=embedding,
        cross_encoder_filter=trained_cross_encoder(
            recipe.cross_encoder_filter, device=device, role="cross-encoder filter"
        )
        if recipe.cross_encoder_filter
        else None,
    )


def _questions(run: ValidatedRun, training: QuestionRows) -> list[str]:
    questions = [pair.question for pair in training.pairs]
    return drop_spaces(questions, run.recipe.space_drop_rate, seed=run.arguments.seed)


def _stages(
    run: ValidatedRun, training: QuestionRows, hard: HardNegatives, base: StartingModel[CrossEncoder]
) -> tuple[TrainingStage[CrossEncoder], ...]:
    """Make one stage of the pairs of each question, then one of the same passages as lists."""
    recipe, schedule, most = run.recipe, run.schedule, run.arguments.max_steps
    questions, evaluator, count = _questions(run, training), _evaluator(run), len(hard.texts[0])
    lists = [[pair.context, *own] for pair, own in zip(training.pairs, hard.texts, strict=True)]
    marks = [1.0, *[0.0] * count]
    pairs = _stage(
        run,
        evaluator,
        loss=BinaryCrossEntropyLoss(base.model, pos_weight=torch.tensor(float(count))),
        columns={
            "first": [question for question in questions for _ in marks],
            "second": [text for texts in lists for text in texts],
            "label": marks * len(lists),
        },
        schedule=resolve_schedule(
            schedule, rows=len(lists) * len(marks), max_steps=None if most is None else -(-most // 2)
        ),
    )
    left = None if most is None else most - pairs.schedule.steps
    if recipe.then is None or left == 0:
        return (pairs,)
    second = replace(
        schedule,
        batch_size=max(1, schedule.batch_size // len(marks)),
        learning_rate=schedule.learning_rate / 2,
        warmup_steps=schedule.warmup_steps // 2,
    )
    listwise = LambdaLoss if recipe.then == "LambdaLoss" else ListNetLoss
    groups = _stage(
        run,
        evaluator,
        loss=listwise(base.model, mini_batch_size=schedule.batch_size),
        columns={"question": questions, "passages": lists, "label": [marks] * len(lists)},
        schedule=resolve_schedule(second, rows=len(lists), max_steps=left),
    )
    return pairs, groups


def _margins(run: ValidatedRun, training: QuestionRows, hard: HardNegatives) -> list[list[float]]:
    """Compute with the teacher by how much each question's context is above each of its negatives."""
    assert run.recipe.teacher is not None  # checked in `prepare_cross_encoder`
    teacher = trained_cross_encoder(run.recipe.teacher, device=run.device, role="teacher")
    logits = pair_logits(teacher, _pairs(training, hard), _BATCH).reshape(len(training.pairs), -1)
    margins: list[list[float]] = (logits[:, :1] - logits[:, 1:]).tolist()
    return margins


def _distillation(
    run: ValidatedRun,
    training: QuestionRows,
    hard: HardNegatives,
    margins: list[list[float]],
    base: StartingModel[CrossEncoder],
) -> TrainingStage[CrossEncoder]:
    columns: dict[str, Sequence[object]] = {
        "question": _questions(run, training),
        "context": [pair.context for pair in training.pairs],
    }
    for number, texts in enumerate(zip(*hard.texts, strict=True), start=1):
        columns[f"negative_{number}"] = list(texts)
    return _stage(
        run,
        _evaluator(run),
        loss=MarginMSELoss(base.model),
        columns=columns | {"label": margins},
        schedule=resolve_schedule(run.schedule, rows=len(training.pairs), max_steps=run.arguments.max_steps),
    )
