"""Fitting the ranker of cheap features: a listwise loss over small lists, in seconds on one core."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.rerank.ltr.features import LEXICAL, feature_names
from llama_index_ko_rerank.rerank.ltr.model import LearningToRank

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 64
_BATCHES = 50
_LEARNING_RATE = 3e-3
_DROPOUT = 0.1
_OUTSIDE = -1e9


@dataclass(frozen=True, slots=True, eq=False)
class RankingExample:
    """The candidates of one question.

    Attributes:
        matrix: One row a candidate, one column a feature, as `FeatureExtractor.matrix` gives it.
        relevant: The rows that answer the question; an example with none is left out of the fit and counted.
        weight: How much the question counts, above 0.
    """

    matrix: NDArray[np.float64]
    relevant: tuple[int, ...]
    weight: float = 1.0


def fit_ranker(
    examples: Sequence[RankingExample],
    *,
    feature_sets: Sequence[str] = (LEXICAL,),
    hidden: int = 32,
    restarts: int = 2,
    epochs: int = 15,
    weight_decay: float = 0.1,
    seed: int = 0,
    tokenizers: Mapping[str, str] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> LearningToRank:
    """Fit a ranker so that the softmax over a question's candidates falls on those that answer it.

    Args:
        examples: The questions; 100 are enough to learn something, and a few thousand take seconds.
        feature_sets: What the columns of the matrices are.
        hidden: Hidden units of one network.
        restarts: How many networks are fitted from different starts and averaged; the result is one network of
            `restarts * hidden` units, since a mean of networks of one hidden layer is one.
        epochs: How often each question is seen.
        weight_decay: AdamW's.
        seed: The same examples and seed give the same weights on one machine.
        tokenizers: The identity of each view's tokenizer, to be kept with the weights.
        notes: Plain JSON values to be kept with the weights.

    Raises:
        EmptyCorpus: No example has both a relevant candidate and another.
        InvalidSetting: A number is out of range, or a matrix does not fit the feature sets.

    Source: the listwise softmax loss, ListNet's with one relevant document: Cao et al., "Learning to rank: from
    pairwise approach to listwise approach", ICML 2007; with several, the log of their summed probability.
    """
    names = feature_names(feature_sets)
    _check(examples, names, hidden=hidden, restarts=restarts, epochs=epochs)
    usable = [example for example in examples if 0 < len(example.relevant) < len(example.matrix)]
    if not usable:
        raise EmptyCorpus(f"none of {len(examples)} questions has both an answer and another passage as candidates")
    if len(usable) < len(examples):
        logger.info("%d of %d questions teach nothing and are left out", len(examples) - len(usable), len(examples))
    relative = _varying(usable)
    inputs, candidates, relevant = _padded(usable, relative)
    mean = inputs[candidates].mean(0)
    deviation = inputs[candidates].std(0)
    deviation[deviation < 1e-6] = 1
    standard = np.where(candidates[:, :, None], (inputs - mean) / deviation, 0).astype(np.float32)
    weights = np.array([example.weight for example in usable], np.float32)
    networks = [
        _trained(standard, candidates, relevant, weights, hidden=hidden, epochs=epochs, decay=weight_decay, seed=number)
        for number in range(seed * restarts, (seed + 1) * restarts)
    ]
    return LearningToRank(
        feature_sets=tuple(feature_sets),
        relative=tuple(names[column] for column in relative),
        mean=mean,
        deviation=deviation,
        hidden_weights=np.hstack([network[0] for network in networks]),
        hidden_bias=np.hstack([network[1] for network in networks]),
        output_weights=np.hstack([network[2] for network in networks]) / restarts,
        tokenizers=dict(tokenizers or {}),
        notes={"questions": len(usable), "left_out": len(examples) - len(usable), "epochs": epochs}
        | {"weight_decay": weight_decay, "seed": seed, "restarts": restarts}
        | dict(notes or {}),
    )


def _check(examples: Sequence[RankingExample], names: Sequence[str], **counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise InvalidSetting(f"{name} must be 1 or more, not {value}")
    for number, example in enumerate(examples):
        if example.matrix.ndim != 2 or example.matrix.shape[1] != len(names):
            raise InvalidSetting(
                f"example {number} has the shape {example.matrix.shape}; {len(names)} features are due"
            )
        if any(not 0 <= row < len(example.matrix) for row in example.relevant) or not example.weight > 0:
            raise InvalidSetting(f"example {number}: relevant={example.relevant} or weight={example.weight} is invalid")


def _varying(examples: Sequence[RankingExample]) -> list[int]:
    """Return the columns that differ within a list; those of the question alone do not."""
    spread = np.max([np.ptp(example.matrix, axis=0) for example in examples], axis=0)
    return np.flatnonzero(spread > 1e-9).tolist()


def _padded(
    examples: Sequence[RankingExample], relative: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return inputs (questions, most candidates, inputs), and which rows are candidates and which are relevant."""
    most = max(len(example.matrix) for example in examples)
    columns = examples[0].matrix.shape[1]
    inputs = np.zeros((len(examples), most, columns + len(relative)))
    candidates = np.zeros((len(examples), most), bool)
    relevant = np.zeros((len(examples), most), bool)
    for number, example in enumerate(examples):
        rows = len(example.matrix)
        chosen = example.matrix[:, relative]
        inputs[number, :rows] = np.hstack([example.matrix, chosen - chosen.max(0)])
        candidates[number, :rows] = True
        relevant[number, list(example.relevant)] = True
    return inputs, candidates, relevant


def _trained(
    inputs: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    relevant: NDArray[np.bool_],
    weights: NDArray[np.float32],
    *,
    hidden: int,
    epochs: int,
    decay: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Train one network and return its hidden weights, hidden bias and output weights.

    Few questions come in smaller batches, so that 100 of them still make enough steps.
    """
    import torch

    data = [torch.from_numpy(array) for array in (inputs, candidates, relevant, weights / weights.mean())]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(inputs.shape[2], hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(_DROPOUT),
            torch.nn.Linear(hidden, 1, bias=False),
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=decay)
        batch = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, len(inputs) // _BATCHES))
        steps = epochs * -(-len(inputs) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(inputs)).split(batch):  # type: ignore[no-untyped-call]  # torch's own
                loss = _loss(network, *(part[rows] for part in data))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch's own
                optimizer.step()
                schedule.step()
    first, last = (network[place].state_dict() for place in (0, 3))
    arrays = (first["weight"].T, first["bias"], last["weight"][0])
    return tuple(array.double().numpy().copy() for array in arrays)


def _loss(
    network: torch.nn.Module,
    inputs: torch.Tensor,
    candidates: torch.Tensor,
    relevant: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    scores = network(inputs).squeeze(-1).masked_fill(~candidates, _OUTSIDE)
    answering = scores.masked_fill(~relevant, _OUTSIDE).logsumexp(1)
    loss: torch.Tensor = ((scores.logsumexp(1) - answering) * weights).mean()
    return loss
