"""Training an embedding model on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import cos_sim

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.data.hard_negatives import mine_hard_negatives
from llama_index_ko_rerank.train.data.rows import QuestionRows, SentenceRows, count_truncated, drop_spaces
from llama_index_ko_rerank.train.model_card import TrainingResult
from llama_index_ko_rerank.train.models.loading import (
    StartingModel,
    bi_encoder_base,
    shape_transformer,
    trained_cross_encoder,
)
from llama_index_ko_rerank.train.models.lora import merge_adapters, prepare_decoder, require_peft
from llama_index_ko_rerank.train.models.scratch import apply_idf_weights
from llama_index_ko_rerank.train.recipes.recipe import Recipe
from llama_index_ko_rerank.train.recipes.schedule import resolve_schedule
from llama_index_ko_rerank.train.run import TrainingPlan, ValidatedRun, run_training, validate_run
from llama_index_ko_rerank.train.trainer.distributed import world_size
from llama_index_ko_rerank.train.trainer.evaluators import CosineEvaluator, SearchEvaluator
from llama_index_ko_rerank.train.trainer.trainer import TrainingStage


def train_bi_encoder(
    dataset: RetrievalDataset | PairDataset,
    output_dir: str | Path,
    *,
    arguments: TrainingArguments = TrainingArguments(),
    validation: RetrievalDataset | PairDataset | None = None,
) -> TrainingResult:
    """Train an embedding model, keep its best evaluated step, and write a folder that `KoreanEmbedding` loads.

    From ``scratch`` it is a static embedding with a vocabulary learnt from the data. Recipes for questions with
    contexts are ``book-mrc`` (the default), ``strong``, ``static`` and ``e5-mistral``; for sentence pairs ``book-sts``
    (the default) and ``sts``. The best step is the one with the highest MRR@10 of the validation questions over the
    collection (at most 2,000 passages), or for sentence pairs with the highest Spearman correlation of cosine and
    label. Texts are normalised. Interrupted, or out of disk, the run leaves whole checkpoints in
    ``output_dir/checkpoints``; they are removed when the model is there.

    Args:
        dataset: Training data: at least 10 distinct contexts or sentence pairs.
        output_dir: The folder of the model.
        arguments: Settings of the run.
        validation: Data that choose the best step. Defaults to a tenth of the contexts, or pairs, of `dataset`.

    Raises:
        InvalidSetting: A setting is unknown, out of range or does not fit, or the folder is not free to be written.
        EmptyCorpus: There is too little to learn from, or a question has no passage that could be its negative.
        MalformedData: A row is empty, or a label is not in 0-1, or all labels are equal.
        SplitLeak: Training and validation share contexts or sentence pairs.
        InvalidText: A text holds lone surrogates.
        ModelNotFound: There is no such base or filter, and the hub does not have it or is out of reach.
        UnsuitableModel: The base is no embedding model of the kind that the recipe trains, is damaged, or its tokenizer
            has no pad token.
        MissingExtra: The recipe needs peft, and it is not installed.
        DiskFull: A checkpoint or the model could not be written; what was there is whole.
    """
    run = validate_run("bi-encoder", dataset, output_dir, validation=validation, arguments=arguments)
    return run_training(prepare_bi_encoder(run))


def prepare_bi_encoder(run: ValidatedRun) -> TrainingPlan[SentenceTransformer]:
    """Load the base and make the rows; the model itself is not changed but for what the recipe needs of any base.

    Raises:
        InvalidSetting, ModelNotFound, UnsuitableModel, MissingExtra: As of `train_bi_encoder`.
        EmptyCorpus: A question has no passage that could be its negative.
    """
    recipe, texts = run.recipe, run.training.texts
    if recipe.lora is not None:
        require_peft()
    base = _base(run, texts)
    stage, notes = _stage(run, base)
    return TrainingPlan(
        run=run,
        base=base,
        stages=(stage,),
        cut_rows=count_truncated(base, [(text,) for text in dict.fromkeys(texts)]),
        notes=notes,
        initialize=(lambda untrained: apply_idf_weights(untrained, texts)) if base.is_scratch else None,
        finish=merge_adapters if recipe.lora is not None and recipe.lora.merged else None,
    )


def _base(run: ValidatedRun, texts: Sequence[str]) -> StartingModel[SentenceTransformer]:
    arguments, recipe = run.arguments, run.recipe
    pooling = arguments.pooling
    if recipe.backbone == "decoder":
        if pooling not in (None, "lasttoken"):
            raise InvalidSetting(f"the recipe {recipe.name!r} pools the last token; leave pooling={pooling!r} out")
        if arguments.layers is not None or arguments.train_embeddings is not None:
            raise InvalidSetting(f"the recipe {recipe.name!r} trains adapters; leave layers and train_embeddings out")
        pooling = "lasttoken"
    frozen = recipe.lora is not None and run.device == "cuda"
    base = bi_encoder_base(
        arguments.base,
        texts=texts,
        pooling=pooling,
        device=run.device,
        seed=arguments.seed,
        dtype="bfloat16" if frozen else "float32",
    )
    if recipe.backbone == "static" and not isinstance(base.model[0], StaticEmbedding):
        raise UnsuitableModel(f"{base.name!r} is no static embedding, which {recipe.name!r} trains; take 'strong'")
    if recipe.backbone == "decoder":
        return prepare_decoder(base, recipe, seed=arguments.seed)
    return shape_transformer(
        base, layers=arguments.layers, train_embeddings=arguments.train_embeddings, device=run.device
    )


def _stage(
    run: ValidatedRun, base: StartingModel[SentenceTransformer]
) -> tuple[TrainingStage[SentenceTransformer], tuple[str, ...]]:
    training, validation = run.training, run.validation
    if isinstance(training, QuestionRows) and isinstance(validation, QuestionRows):
        return _question_stage(run, base, training, validation)
    assert isinstance(training, SentenceRows)  # `split_rows` gives two of one kind
    assert isinstance(validation, SentenceRows)
    passage_prompt = base.model.prompts["document"] or ""
    stage = TrainingStage(
        loss=_loss(base, run.recipe, run.schedule.batch_size),
        columns={
            "sentence1": [pair.sentence1 for pair in training.pairs],
            "sentence2": [pair.sentence2 for pair in training.pairs],
            "label": [float(pair.label) for pair in training.pairs],
        },
        prompts={"sentence1": passage_prompt, "sentence2": passage_prompt},
        batches=run.recipe.batches,
        evaluator=CosineEvaluator(validation),
        schedule=resolve_schedule(run.schedule, rows=len(training.pairs), max_steps=run.arguments.max_steps),
        patience=run.recipe.patience,
    )
    return stage, ()


def _question_stage(
    run: ValidatedRun, base: StartingModel[SentenceTransformer], training: QuestionRows, validation: QuestionRows
) -> tuple[TrainingStage[SentenceTransformer], tuple[str, ...]]:
    recipe, seed = run.recipe, run.arguments.seed
    contexts = [pair.context for pair in training.pairs]
    questions = [pair.question for pair in training.pairs]
    columns = {"question": drop_spaces(questions, recipe.space_drop_rate, seed=seed), "context": contexts}
    negatives, notes = _negatives(run, base, training, validation)
    columns |= {f"negative_{number}": list(texts) for number, texts in enumerate(negatives, start=1)}
    query_prompt, passage_prompt = base.model.prompts["query"] or "", base.model.prompts["document"] or ""
    schedule = resolve_schedule(run.schedule, rows=len(contexts), max_steps=run.arguments.max_steps, contexts=contexts)
    stage = TrainingStage(
        loss=_loss(base, recipe, schedule.batch_size),
        columns=columns,
        prompts={name: query_prompt if name == "question" else passage_prompt for name in columns},
        batches=recipe.batches,
        evaluator=SearchEvaluator(validation, seed=seed),
        schedule=schedule,
        patience=recipe.patience,
    )
    return stage, notes


def _negatives(
    run: ValidatedRun, base: StartingModel[SentenceTransformer], training: QuestionRows, validation: QuestionRows
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Mine the columns of hard negatives, of which there are none for a recipe that wants none."""
    recipe = run.recipe
    if recipe.mining is None:
        return [], ()
    mined = mine_hard_negatives(
        training,
        recipe.mining,
        seed=run.arguments.seed,
        without=validation.contexts,
        embedding=base.model,
        cross_encoder_filter=trained_cross_encoder(
            recipe.cross_encoder_filter, device=run.device, role="cross-encoder filter"
        )
        if recipe.cross_encoder_filter
        else None,
    )
    return list(zip(*mined.texts, strict=True)), (mined.summary,)


def _loss(base: StartingModel[SentenceTransformer], recipe: Recipe, batch_size: int) -> torch.nn.Module:
    model = base.model
    loss: torch.nn.Module
    if recipe.loss == "MultipleNegativesRankingLoss":
        loss = ranking_loss(model, recipe, batch_size)
    else:
        loss = CoSENTLoss(model) if recipe.loss == "CoSENTLoss" else CosineSimilarityLoss(model)
    if not recipe.matryoshka_dims:
        return loss
    dimension = model.get_embedding_dimension()
    assert dimension is not None  # every model that pools knows its own
    too_long = [length for length in recipe.matryoshka_dims if length >= dimension]
    if too_long:
        raise InvalidSetting(
            f"matryoshka_dims are cut from vectors of {dimension} numbers; {too_long[0]} is not shorter"
        )
    return MatryoshkaLoss(model, loss, [dimension, *recipe.matryoshka_dims])


def ranking_loss(model: SentenceTransformer, recipe: Recipe, batch_size: int) -> torch.nn.Module:
    """Cache gradients where the batch is larger than what goes through the model at once."""
    whole = recipe.mini_batch is None or batch_size <= recipe.mini_batch or isinstance(model[0], StaticEmbedding)
    similarity = _cosines_in_32_bits if recipe.lora is not None else cos_sim
    if whole:
        return MultipleNegativesRankingLoss(
            model, scale=recipe.scale, similarity_fct=similarity, gather_across_devices=world_size() > 1
        )
    return CachedMultipleNegativesRankingLoss(
        model,
        scale=recipe.scale,
        similarity_fct=similarity,
        mini_batch_size=recipe.mini_batch or 1,
        gather_across_devices=world_size() > 1,
    )


def _cosines_in_32_bits(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Compare vectors of a backbone in 16 bits, whose cosines would be too coarse once multiplied by the scale."""
    return cos_sim(left.float(), right.float())
