"""Training an embedding model on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.train.bases import Base, bi_encoder_base
from llama_index_ko_rerank.train.loop import Lesson
from llama_index_ko_rerank.train.plan import plan_run
from llama_index_ko_rerank.train.preflight import count_cut
from llama_index_ko_rerank.train.probes import CosineProbe, SearchProbe
from llama_index_ko_rerank.train.recipes import SCRATCH
from llama_index_ko_rerank.train.result import TrainingResult
from llama_index_ko_rerank.train.rows import QuestionRows, SentenceRows
from llama_index_ko_rerank.train.scratch import weigh_by_rarity
from llama_index_ko_rerank.train.session import Request, Session, open_session, teach


def train_bi_encoder(
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
        recipe: ``book-mrc`` for questions with contexts, ``book-sts`` for sentence pairs; by the data where None.
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
        EmptyCorpus: There is too little to learn from.
        MalformedData: A row is empty, or a label is not in 0-1, or all labels are equal.
        SplitLeak: Training and validation share contexts or sentence pairs.
        InvalidText: A text holds lone surrogates.
        ModelNotFound: There is no such base, and the hub does not have it or is out of reach.
        UnsuitableModel: The base is no embedding model, is damaged, or its tokenizer has no pad token.
    """
    if pooling is not None and pooling not in get_args(PoolingMode):
        raise InvalidSetting(f"there is no pooling {pooling!r}; {nearest(str(pooling), get_args(PoolingMode))}")
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
    session = open_session("bi-encoder", dataset, validation, request)
    texts = session.training.texts
    model = bi_encoder_base(base, texts=texts, pooling=pooling, device=session.device, seed=seed)
    return teach(
        session,
        model,
        _lesson(session, model),
        cut_rows=count_cut(model, [(text,) for text in dict.fromkeys(texts)]),
        first_weights=(lambda untrained: weigh_by_rarity(untrained, texts)) if model.is_scratch else None,
    )


def _lesson(session: Session, base: Base[SentenceTransformer]) -> Lesson[SentenceTransformer]:
    training, validation = session.training, session.validation
    query_prompt, passage_prompt = base.model.prompts["query"] or "", base.model.prompts["document"] or ""
    if isinstance(training, QuestionRows) and isinstance(validation, QuestionRows):
        contexts = [pair.context for pair in training.pairs]
        return Lesson(
            loss=MultipleNegativesRankingLoss(base.model),
            columns={"question": [pair.question for pair in training.pairs], "context": contexts},
            prompts={"question": query_prompt, "context": passage_prompt},
            distinct_in_batch=session.recipe.distinct_in_batch,
            probe=SearchProbe(validation, seed=session.request.seed),
            plan=plan_run(session.schedule, rows=len(contexts), max_steps=session.request.max_steps, contexts=contexts),
        )
    assert isinstance(training, SentenceRows)  # `split_rows` gives two of one kind
    assert isinstance(validation, SentenceRows)
    return Lesson(
        loss=CosineSimilarityLoss(base.model),
        columns={
            "sentence1": [pair.sentence1 for pair in training.pairs],
            "sentence2": [pair.sentence2 for pair in training.pairs],
            "label": [float(pair.label) for pair in training.pairs],
        },
        prompts={"sentence1": passage_prompt, "sentence2": passage_prompt},
        distinct_in_batch=session.recipe.distinct_in_batch,
        probe=CosineProbe(validation),
        plan=plan_run(session.schedule, rows=len(training.pairs), max_steps=session.request.max_steps),
    )
