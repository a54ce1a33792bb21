"""The rows, the loss and the measure that each recipe of an embedding model teaches by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

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
from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel, nearest
from llama_index_ko_rerank.train.augment import with_lost_spaces
from llama_index_ko_rerank.train.bases import Base, bi_encoder_base, trained_cross_encoder
from llama_index_ko_rerank.train.distributed import processes
from llama_index_ko_rerank.train.loop import Lesson
from llama_index_ko_rerank.train.lora import merge_adapters, prepare_decoder, require_peft
from llama_index_ko_rerank.train.mining import mine_hard_negatives
from llama_index_ko_rerank.train.plan import plan_run
from llama_index_ko_rerank.train.preflight import count_cut
from llama_index_ko_rerank.train.probes import CosineProbe, SearchProbe
from llama_index_ko_rerank.train.recipe import Recipe
from llama_index_ko_rerank.train.rows import QuestionRows, SentenceRows
from llama_index_ko_rerank.train.scratch import weigh_by_rarity
from llama_index_ko_rerank.train.session import Session
from llama_index_ko_rerank.train.teaching import Prepared


def check_pooling(pooling: PoolingMode | None) -> None:
    """Refuse a pooling that does not exist.

    Raises:
        InvalidSetting: There is no such pooling.
    """
    if pooling is not None and pooling not in get_args(PoolingMode):
        raise InvalidSetting(f"there is no pooling {pooling!r}; {nearest(str(pooling), get_args(PoolingMode))}")


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
        cut_rows=count_cut(base, [(text,) for text in dict.fromkeys(texts)]),
        notes=notes,
        first_weights=(lambda untrained: weigh_by_rarity(untrained, texts)) if base.is_scratch else None,
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
        plan=plan_run(session.schedule, rows=len(training.pairs), max_steps=session.request.max_steps),
        patience=session.recipe.patience,
    )
    return lesson, ()


def _question_lesson(
    session: Session, base: Base[SentenceTransformer], training: QuestionRows, validation: QuestionRows
) -> tuple[Lesson[SentenceTransformer], tuple[str, ...]]:
    recipe, seed = session.recipe, session.request.seed
    contexts = [pair.context for pair in training.pairs]
    questions = [pair.question for pair in training.pairs]
    columns = {"question": with_lost_spaces(questions, recipe.space_loss, seed=seed), "context": contexts}
    negatives, notes = _negatives(session, base, training, validation)
    columns |= {f"negative_{number}": list(texts) for number, texts in enumerate(negatives, start=1)}
    query_prompt, passage_prompt = base.model.prompts["query"] or "", base.model.prompts["document"] or ""
    plan = plan_run(session.schedule, rows=len(contexts), max_steps=session.request.max_steps, contexts=contexts)
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
