"""How a search is adapted, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.errors import InvalidSetting

MOST_HELD_OUT = 0.2
"""The share of the passages that is set aside, twice: once to fit the search on, and once to measure on."""
_ENOUGH_PASSAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptSettings:
    """What decides the outcome beside the documents.

    Attributes:
        base: The embedding that is started from: a catalog or hub name, a folder, or ``scratch``.
        cross_encoder: Also train a cross-encoder, from ``ko-mini-rerank``.
        questions_per_passage: The most made questions for one passage.
        random_index_dimensions: How many dimensions a static embedding gets for directions of single words; 0 for none.
        steps: Steps of training, of a static embedding and of a cross-encoder; the recipe's epochs count for another
            embedding.
        passages_per_step: The passages that a step of a static embedding tells apart.
        seed: Of every draw.

    Raises:
        InvalidSetting: A number is out of range.
    """

    base: str = DEFAULT_EMBEDDING
    cross_encoder: bool = False
    questions_per_passage: int = 12
    random_index_dimensions: int = 512
    steps: int = 120
    passages_per_step: int = 480
    seed: int = 0

    def __post_init__(self) -> None:
        least = {
            "questions_per_passage": 1,
            "random_index_dimensions": 0,
            "steps": 1,
            "passages_per_step": 2,
            "seed": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise InvalidSetting(f"{name} must be {bound} or more, not {getattr(self, name)}")


def held_out_share(passages: int) -> float:
    """Give the share of the passages that is set aside once: a hundred passages, but a tenth to a fifth of all."""
    return min(MOST_HELD_OUT, max(0.1, _ENOUGH_PASSAGES / passages))
