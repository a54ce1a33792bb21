"""Recipes as plain data: a loss over rows, with a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llama_index_ko_rerank.errors import InvalidSetting

ModelTask = Literal["bi-encoder", "cross-encoder"]
DataKind = Literal["retrieval", "sentence-pairs"]
Batches = Literal["shuffled", "no-duplicates", "apart"]
Backbone = Literal["any", "static", "decoder"]
Loss = Literal[
    "CosineSimilarityLoss",
    "CoSENTLoss",
    "MultipleNegativesRankingLoss",
    "BinaryCrossEntropyLoss",
    "MarginMSELoss",
    "CrossEntropyLoss",
    "LambdaLoss",
    "ListNetLoss",
]

SCRATCH = "scratch"
"""The base that starts from nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Length and rates of training.

    Attributes:
        epochs: Passes over the rows.
        batch_size: Rows a step.
        learning_rate: The highest rate, after warm-up; it falls to 0 in a straight line.
        warmup_steps: Steps in which the rate rises from 0; never more than half of the run.
        weight_decay: AdamW's.
        evaluations: Evaluations, each with a checkpoint, during the run.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    evaluations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningSettings:
    """Settings of the mining of hard negatives.

    Attributes:
        negatives: Hard negatives a row, at least 1.
        depth: Candidates that each source names for a question.
        margin: A candidate counts as an answer nobody marked, and is dropped, where its cosine with the question is
            above ``(1 - margin)`` times that of the row's context; 0-1.
        cross_encoder_margin: With `cross_encoder_filter`, a candidate is dropped where its logit is above that of the
            context less this.

    Raises:
        InvalidSetting: A number is out of range.

    Source of the margin: Moreira et al., "NV-Retriever", 2024 (TopK-PercPos, with .95 of the positive's score).
    """

    negatives: int
    depth: int = 50
    margin: float = 0.05
    cross_encoder_margin: float = 1.0

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise InvalidSetting(f"negatives must be 1 or more, not {self.negatives}")
        if self.depth < self.negatives:
            raise InvalidSetting(f"depth must be at least the {self.negatives} negatives, not {self.depth}")
        if not 0 <= self.margin <= 1:
            raise InvalidSetting(f"margin must be between 0 and 1, not {self.margin}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters beside every linear layer; the backbone itself stays as it is.

    Attributes:
        rank: Width of an adapter, at least 1.
        alpha: Its weight times `rank`.
        dropout: Share of an adapter's inputs left out while learning.
        merged: Whether the adapters are added into the backbone when the model is written, so that the folder is whole
            without peft; otherwise it holds the adapters and names the backbone.

    Raises:
        InvalidSetting: The rank is below 1.

    Source: Hu et al., "LoRA", ICLR 2022; the numbers are those of Wang et al., "Improving Text Embeddings with Large
    Language Models", ACL 2024.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    merged: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InvalidSetting(f"lora_rank must be 1 or more, not {self.rank}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A way to train one kind of model on one kind of data; `override_recipe` changes what may be changed.

    Attributes:
        name: What the user calls it.
        task: The kind of model.
        data: The kinds of data that it can learn from.
        loss: The sentence-transformers loss.
        batches: ``shuffled``; ``no-duplicates``, where no text stands twice in a batch; or ``apart``, where no row's
            context stands in a batch with a row that it would be a false negative of.
        schedule: For a base that is trained already.
        scratch: For the base ``scratch``; None where there is no such base.
        backbone: ``any``, ``static`` (a static embedding), or ``decoder`` (a language model, pooled at the last token).
        options: The options of `override_recipe` that mean something here.
        choices: The losses that the option ``loss`` chooses among.
        then: A listwise loss for a second stage over the same negatives, at half the rate.
        scale: What cosines are multiplied by before the softmax; 1 / temperature.
        mini_batch: Texts that go through the model at once, however large the batch is; defaults to the whole batch.
        mining: Mining of hard negatives; None for none.
        lora: Adapters that learn instead of the backbone.
        matryoshka_dims: Shorter vectors that must serve too, cut from the front.
        space_drop_rate: Share of the training questions that lose spaces, 0-1.
        instruction: What a question is prefixed with, if the base has nothing of its own.
        cross_encoder_filter: A cross-encoder that drops false negatives: a folder or a hub name.
        teacher: The cross-encoder whose margins are learnt.
        embed_model: An embedding model whose neighbours are mined beside those of BM25.
        class_names: The names of the classes, by number.
        drops_near_leaks: Whether training rows that nearly copy a validation row are left out.
        patience: Training stops after so many evaluations without a gain; None for never.
    """

    name: str
    task: ModelTask
    data: tuple[DataKind, ...]
    loss: Loss
    batches: Batches
    schedule: Schedule
    scratch: Schedule | None
    backbone: Backbone = "any"
    options: tuple[str, ...] = ()
    choices: tuple[Loss, ...] = ()
    then: Loss | None = None
    scale: float = 20.0
    mini_batch: int | None = None
    mining: MiningSettings | None = None
    lora: LoraSettings | None = None
    matryoshka_dims: tuple[int, ...] = ()
    space_drop_rate: float = 0.0
    instruction: str = ""
    cross_encoder_filter: str | None = None
    teacher: str | None = None
    embed_model: str | None = None
    class_names: tuple[str, ...] = ()
    drops_near_leaks: bool = True
    patience: int | None = None

    @property
    def learns_classes(self) -> bool:
        """Whether labels are the numbers of classes, and not similarities."""
        return self.loss == "CrossEntropyLoss"
