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

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel
from llama_index_ko_rerank.train.data.augmentation import drop_spaces
from llama_index_ko_rerank.train.data.checks import count_truncated
from llama_index_ko_rerank.train.data.hard_negatives import mine_hard_negatives
from llama_index_ko_rerank.train.data.rows import QuestionRows, SentenceRows
from llama_index_ko_rerank.train.model_card import TrainingResult
from llama_index_ko_rerank.train.models.loading import Base, bi_encoder_base, trained_cross_encoder
from llama_index_ko_rerank.train.models.lora import merge_adapters, prepare_decoder, require_peft
from llama_index_ko_rerank.train.models.scratch import apply_idf_weights
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, Recipe
from llama_index_ko_rerank.train.recipes.schedule import resolve_schedule
from llama_index_ko_rerank.train.run import Prepared, teach
from llama_index_ko_rerank.train.setup import Session, TrainingRequest, open_session
from llama_index_ko_rerank.train.trainer.distributed import processes
from llama_index_ko_rerank.train.trainer.evaluators import CosineProbe, SearchProbe
from llama_index_ko_rerank.train.trainer.trainer import Lesson


def train_bi_encoder(
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
    pooling: PoolingMode | None = None,
    seed: int = 42,
    resume: bool = False,
    overwrite: bool = False,
    keep_checkpoints: bool = False,
    show_progress: bool = True,
    device: str | None = None,
) -> TrainingResult:
    """Train an embedding model, keep its best measured step, and write a folder that `KoreanEmbedding` loads.

    The best step is the one with the highest MRR@10 of the validation questions over the collection (at most 2,000
    passages), or for sentence pairs with the highest Spearman correlation of cosine and label. Texts are normalised.
    Interrupted, or out of disk, the run leaves whole checkpoints in ``output_dir/checkpoints``; they are removed when
    the model is there.

    Args:
        dataset: What to learn from: at least 10 distinct contexts or sentence pairs.
        output_dir: The folder of the model.
        base: ``scratch`` (a static embedding with a vocabulary learnt from the data), a folder, a catalog name, or a
            hub name.
        recipe: For questions with contexts ``book-mrc`` (so where None), ``strong``, ``static`` or ``e5-mistral``; for
            sentence pairs ``book-sts`` (so where None) or ``sts``; or one with options in it, from `override_recipe`.
        validation: What to choose the best step by; a tenth of the contexts, or pairs, of `dataset` where None.
        epochs: The recipe's where None, as are the next three.
        batch_size: Rows a step.
        learning_rate: The highest one.
        warmup_steps: Steps until it is reached; at most half of the run.
        max_steps: The most steps of the whole run.
        pooling: ``cls``, ``mean``, ``max`` or ``lasttoken``; what the base says, or else the mean, where None.
        seed: Of what is held out, of the order of rows, and of new weights. On a CPU, the same seed and data give the
            same weights.
        resume: Go on from the last checkpoint in `output_dir`; it ends with the weights of an unbroken run.
        overwrite: Replace a model in `output_dir`, or begin again where checkpoints are.
        keep_checkpoints: Keep the last and the best checkpoint in ``output_dir/checkpoints``.
        show_progress: Draw a progress bar.
        device: ``cpu``, ``cuda`` or ``mps``; an accelerator where there is one, where None.

    Raises:
        InvalidSetting: A setting is unknown, out of range or does not fit, or the folder is not free to be written.
        EmptyCorpus: There is too little to learn from, or a question has no passage that could be its negative.
        MalformedData: A row is empty, or a label is not in 0-1, or all labels are equal.
        SplitLeak: Training and validation share contexts or sentence pairs.
        InvalidText: A text holds lone surrogates.
        ModelNotFound: There is no such base or judge, and the hub does not have it or is out of reach.
        UnsuitableModel: The base is no embedding model of the kind that the recipe trains, is damaged, or its tokenizer
            has no pad token.
        MissingExtra: The recipe needs peft, and it is not installed.
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
        pooling=pooling,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        keep_checkpoints=keep_checkpoints,
        show_progress=show_progress,
        device=device,
    )
    return teach(prepare_bi_encoder(open_session("bi-encoder", dataset, validation, request)))


def prepare_bi_encoder(session: Session) -> Prepared[SentenceTransformer]:
    """Load the base and make the rows; the model itself is not changed but for what the recipe asks of any base.

    Raises:
        InvalidSetting, ModelNotFound, UnsuitableModel, MissingExtra: As of `train_bi_encoder`.
        EmptyCorpus: A question has no passage that could be its negative.
    """
    recipe, texts = session.recipe, session.training.texts
    if recipe.lora is not None:
        require_peft()
    base = _base(session, texts)
    lesson, notes = _lesson(session, base)
    return Prepared(
        session=session,
        base=base,
        lessons=(lesson,),
        cut_rows=count_truncated(base, [(text,) for text in dict.fromkeys(texts)]),
        notes=notes,
        first_weights=(lambda untrained: apply_idf_weights(untrained, texts)) if base.is_scratch else None,
        finish=merge_adapters if recipe.lora is not None and recipe.lora.merged else None,
    )


def _base(session: Session, texts: Sequence[str]) -> Base[SentenceTransformer]:
    request, recipe = session.request, session.recipe
    pooling = request.pooling
    if recipe.backbone == "decoder":
        if pooling not in (None, "lasttoken"):
            raise InvalidSetting(f"the recipe {recipe.name!r} pools the last token; leave pooling={pooling!r} out")
        pooling = "lasttoken"
    frozen = recipe.lora is not None and session.device == "cuda"
    base = bi_encoder_base(
        request.base,
        texts=texts,
        pooling=pooling,
        device=session.device,
        seed=request.seed,
        dtype="bfloat16" if frozen else "float32",
    )
    if recipe.backbone == "static" and not isinstance(base.model[0], StaticEmbedding):
        raise UnsuitableModel(f"{base.name!r} is no static embedding, which {recipe.name!r} trains; take 'strong'")
    return prepare_decoder(base, recipe, seed=request.seed) if recipe.backbone == "decoder" else base


def _lesson(session: Session, base: Base[SentenceTransformer]) -> tuple[Lesson[SentenceTransformer], tuple[str, ...]]:
    training, validation = session.training, session.validation
    if isinstance(training, QuestionRows) and isinstance(validation, QuestionRows):
        return _question_lesson(session, base, training, validation)
    assert isinstance(training, SentenceRows)  # `split_rows` gives two of one kind
    assert isinstance(validation, SentenceRows)
    passage_prompt = base.model.prompts["document"] or ""
    lesson = Lesson(
        loss=_loss(base, session.recipe, session.schedule.batch_size),
        columns={
            "sentence1": [pair.sentence1 for pair in training.pairs],
            "sentence2": [pair.sentence2 for pair in training.pairs],
            "label": [float(pair.label) for pair in training.pairs],
        },
        prompts={"sentence1": passage_prompt, "sentence2": passage_prompt},
        batches=session.recipe.batches,
        probe=CosineProbe(validation),
        plan=resolve_schedule(session.schedule, rows=len(training.pairs), max_steps=session.request.max_steps),
        patience=session.recipe.patience,
    )
    return lesson, ()


def _question_lesson(
    session: Session, base: Base[SentenceTransformer], training: QuestionRows, validation: QuestionRows
) -> tuple[Lesson[SentenceTransformer], tuple[str, ...]]:
    recipe, seed = session.recipe, session.request.seed
    contexts = [pair.context for pair in training.pairs]
    questions = [pair.question for pair in training.pairs]
    columns = {"question": drop_spaces(questions, recipe.space_drop_rate, seed=seed), "context": contexts}
    negatives, notes = _negatives(session, base, training, validation)
    columns |= {f"negative_{number}": list(texts) for number, texts in enumerate(negatives, start=1)}
    query_prompt, passage_prompt = base.model.prompts["query"] or "", base.model.prompts["document"] or ""
    plan = resolve_schedule(
        session.schedule, rows=len(contexts), max_steps=session.request.max_steps, contexts=contexts
    )
    lesson = Lesson(
        loss=_loss(base, recipe, plan.schedule.batch_size),
        columns=columns,
        prompts={name: query_prompt if name == "question" else passage_prompt for name in columns},
        batches=recipe.batches,
        probe=SearchProbe(validation, seed=seed),
        plan=plan,
        patience=recipe.patience,
    )
    return lesson, notes


def _negatives(
    session: Session, base: Base[SentenceTransformer], training: QuestionRows, validation: QuestionRows
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Mine the columns of hard negatives, of which there are none for a recipe that wants none."""
    recipe = session.recipe
    if recipe.mining is None:
        return [], ()
    mined = mine_hard_negatives(
        training,
        recipe.mining,
        seed=session.request.seed,
        without=validation.contexts,
        embedding=base.model,
        judge=trained_cross_encoder(recipe.judge, device=session.device, role="judge") if recipe.judge else None,
    )
    return list(zip(*mined.texts, strict=True)), (mined.summary,)


def _loss(base: Base[SentenceTransformer], recipe: Recipe, batch_size: int) -> torch.nn.Module:
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
            model, scale=recipe.scale, similarity_fct=similarity, gather_across_devices=processes() > 1
        )
    return CachedMultipleNegativesRankingLoss(
        model,
        scale=recipe.scale,
        similarity_fct=similarity,
        mini_batch_size=recipe.mini_batch or 1,
        gather_across_devices=processes() > 1,
    )


def _cosines_in_32_bits(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Compare vectors of a backbone in 16 bits, whose cosines would be too coarse once multiplied by the scale."""
    return cos_sim(left.float(), right.float())
