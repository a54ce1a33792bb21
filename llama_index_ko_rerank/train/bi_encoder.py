"""Training an embedding model on questions with contexts, or on labelled sentence pairs."""

from __future__ import annotations

from pathlib import Path

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.train.recipe import SCRATCH, Recipe
from llama_index_ko_rerank.train.request import TrainingRequest
from llama_index_ko_rerank.train.result import TrainingResult
from llama_index_ko_rerank.train.training import train_model


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
            sentence pairs ``book-sts`` (so where None) or ``sts``; or one with options in it, from `adjust_recipe`.
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
    return train_model("bi-encoder", dataset, request, validation=validation)
