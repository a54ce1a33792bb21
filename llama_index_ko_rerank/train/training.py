"""A training run of either kind of model, or what it would take."""

from __future__ import annotations

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.train.bi_encoder import prepare_bi_encoder
from llama_index_ko_rerank.train.cross_encoder import prepare_cross_encoder
from llama_index_ko_rerank.train.dry_run import TrainingEstimate, forecast
from llama_index_ko_rerank.train.model_card import TrainingResult
from llama_index_ko_rerank.train.recipes.recipe import ModelTask
from llama_index_ko_rerank.train.run import teach
from llama_index_ko_rerank.train.setup import TrainingRequest, open_session


def train_model(
    task: ModelTask,
    dataset: RetrievalDataset | PairDataset,
    request: TrainingRequest,
    *,
    validation: RetrievalDataset | PairDataset | None = None,
) -> TrainingResult:
    """Train a model as `train_bi_encoder` and `train_cross_encoder` do, with the settings in one object.

    Raises:
        KoRerankError: What `train_bi_encoder` or `train_cross_encoder` raise.
    """
    session = open_session(task, dataset, validation, request)
    return teach(prepare_bi_encoder(session)) if task == "bi-encoder" else teach(prepare_cross_encoder(session))


def estimate_training(
    task: ModelTask,
    dataset: RetrievalDataset | PairDataset,
    request: TrainingRequest,
    *,
    validation: RetrievalDataset | PairDataset | None = None,
) -> TrainingEstimate:
    """Say what a run would do, how long it would take and how much memory, and write nothing into its folder.

    Every check of a real run is made, the rows are made as it would make them (hard negatives are mined), and a few
    steps are timed on a copy of the model that is then thrown away.

    Raises:
        KoRerankError: What the run itself would raise before its first step.
    """
    session = open_session(task, dataset, validation, request, writes=False)
    return forecast(prepare_bi_encoder(session)) if task == "bi-encoder" else forecast(prepare_cross_encoder(session))
