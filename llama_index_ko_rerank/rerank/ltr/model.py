"""A ranker of cheap features: a network of one hidden layer in NumPy, with its weights in a small JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.rerank.ltr.features import FEATURES_VERSION, feature_names

DEFAULT = "default"
_DEFAULT_FILE = Path(__file__).parents[2] / "models" / "ltr.json"
_FORMAT = 1
_Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearningToRank:
    """Fitted weights, and the scores they give.

    The network sees each feature of a candidate and, for those in `relative`, how far it is behind the best candidate
    of the question. Its inputs are standardised; ``score = relu(inputs @ hidden_weights + hidden_bias) @
    output_weights``. Only differences between the scores of one question mean anything.

    Attributes:
        feature_sets: The sets of features it reads, keys of `feature_sets.FEATURE_SETS`.
        relative: The features, by name, that are read a second time as the difference to the list's largest.
        mean: Of each input over the lists it was fitted on, shape (inputs,): the features, then the relative ones.
        deviation: The standard deviation of each, above 0.
        hidden_weights: Shape (inputs, hidden).
        hidden_bias: Shape (hidden,).
        output_weights: Shape (hidden,).
        tokenizers: The identity of each view's tokenizer that it was fitted with.
        notes: What else is worth knowing, plain JSON values: settings, data sets, figures.
    """

    feature_sets: tuple[str, ...]
    relative: tuple[str, ...]
    mean: _Matrix
    deviation: _Matrix
    hidden_weights: _Matrix
    hidden_bias: _Matrix
    output_weights: _Matrix
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features it reads, in the order of a matrix's columns."""
        return feature_names(self.feature_sets)

    def scores(self, matrix: _Matrix) -> _Matrix:
        """Score the candidates of one question.

        Args:
            matrix: One row a candidate, one column a feature in the order of `feature_names`.

        Returns:
            Shape (candidates,), larger is better; a candidate's score does not depend on the order of the rows. It is
            rounded to 9 decimals, so that equal candidates have equal scores whatever the order of summation.
        """
        hidden = np.maximum(self._inputs(matrix) @ self.hidden_weights + self.hidden_bias, 0)
        scores: _Matrix = np.round(hidden @ self.output_weights, 9)
        return scores

    def contributions(self, matrix: _Matrix) -> _Matrix:
        """Say what each feature adds to each candidate's score, against a candidate that is the mean of the list.

        The rows add up to the candidates' scores less the score of the mean, to rounding.

        Returns:
            Shape (candidates, features); what a feature adds by itself and by its difference to the best is one value.

        Source: integrated gradients, Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017.
        Along the straight path from the mean to a candidate each hidden unit bends once at most, so that the integral
        has a closed form and no steps are needed: the unit's change is shared by ``input change * weight``.
        """
        inputs = self._inputs(matrix)
        mean = inputs.mean(0)
        changes = inputs - mean
        before = mean @ self.hidden_weights + self.hidden_bias
        rise = changes @ self.hidden_weights
        active = np.maximum(before + rise, 0) - np.maximum(before, 0)
        steep = np.abs(rise) > 1e-9
        slopes = np.where(steep, active / np.where(steep, rise, 1), before > 0)
        shares = changes * ((slopes * self.output_weights) @ self.hidden_weights.T)
        names = self.feature_names
        added: _Matrix = shares[:, : len(names)].copy()
        for place, name in enumerate(self.relative):
            added[:, names.index(name)] += shares[:, len(names) + place]
        return added

    def to_json(self) -> str:
        """Write the weights, which are kept to 6 digits, as JSON."""
        values = {
            "format": _FORMAT,
            "features_version": FEATURES_VERSION,
            "feature_names": self.feature_names,
            **{entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)},
        }
        lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "the JSON given") -> LearningToRank:
        """Read what `to_json` wrote.

        Args:
            text: The JSON.
            source: Where it is from, for messages.

        Raises:
            UnsuitableModel: It holds no such weights, or weights for features of another version or other names.
        """
        try:
            values = json.loads(text)
            _check_version(values, source)
            parts: dict[str, Any] = {name: tuple(values[name]) for name in ("feature_sets", "relative")}
            parts |= {name: np.array(values[name], np.float64) for name in _ARRAYS}
            parts |= {name: dict(values[name]) for name in ("tokenizers", "notes")}
            ranker = cls(**parts)
            ranker._check(list(values["feature_names"]), source)
            return ranker
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, UnsuitableModel):
                raise
            raise UnsuitableModel(f"{source} holds no weights of a ranker ({error!r})") from error

    def _inputs(self, matrix: _Matrix) -> _Matrix:
        names = self.feature_names
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise UnsuitableModel(f"the ranker reads {len(names)} features, the matrix has the shape {matrix.shape}")
        relative = matrix[:, [names.index(name) for name in self.relative]]
        behind = relative - relative.max(0, initial=-np.inf) if len(matrix) else relative
        inputs: _Matrix = (np.hstack([matrix, behind]) - self.mean) / self.deviation
        return inputs

    def _check(self, names: Sequence[str], source: str) -> None:
        if list(names) != list(self.feature_names):
            differing = sorted({*names} ^ {*self.feature_names}) or "the order"
            raise UnsuitableModel(f"{source} was fitted on other features than those computed here: {differing}; refit")
        inputs, hidden = len(names) + len(self.relative), len(self.hidden_bias)
        shapes = [(inputs,), (inputs,), (inputs, hidden), (hidden,), (hidden,)]
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise UnsuitableModel(f"{source}: {name} must be {shape} finite numbers, and is {array.shape}")
        if not set(self.relative) <= set(names) or (self.deviation <= 0).any():
            raise UnsuitableModel(f"{source}: 'relative' or 'deviation' does not fit the features; refit it")


_ARRAYS = ("mean", "deviation", "hidden_weights", "hidden_bias", "output_weights")


def load_ranker(weights: str | Path = DEFAULT) -> LearningToRank:
    """Read fitted weights.

    Args:
        weights: ``default`` for those that ship with the package, or the path of a file that `to_json` was written to.

    Raises:
        ModelNotFound: There is no such file.
        UnsuitableModel: It holds no weights, or weights for other features.
    """
    path = _DEFAULT_FILE if weights == DEFAULT else Path(weights)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"the weights {str(weights)!r} cannot be read: {error}") from error
    return LearningToRank.from_json(text, source=str(weights))


def _check_version(values: Any, source: str) -> None:
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise UnsuitableModel(f"{source} holds no weights of a ranker in format {_FORMAT}")
    if values["features_version"] != FEATURES_VERSION:
        raise UnsuitableModel(
            f"{source} was fitted on features of version {values['features_version']}, "
            f"here they are of version {FEATURES_VERSION}; refit it"
        )


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return dict(value) if isinstance(value, Mapping) else value
    return np.vectorize(lambda number: float(f"{number:.6g}"), otypes=[float])(value).tolist()
