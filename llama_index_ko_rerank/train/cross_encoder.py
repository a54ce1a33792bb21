"""Training a cross-encoder on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

from pathlib import Path

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.train.recipe import SCRATCH, Recipe
from llama_index_ko_rerank.train.request import TrainingRequest
from llama_index_ko_rerank.train.result import TrainingResult
from llama_index_ko_rerank.train.training import train_model


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
            ``teacher``; for sentence pairs ``book-rerank`` or ``classify``; or one with options, from `adjust_recipe`.
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
    return train_model("cross-encoder", dataset, request, validation=validation)
