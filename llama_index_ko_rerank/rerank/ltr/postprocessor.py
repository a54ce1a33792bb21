"""Learning to rank as a LlamaIndex node postprocessor: no transformer, milliseconds on one core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel
from llama_index_ko_rerank.rerank.ltr.features import FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.matching import LexicalStatistics
from llama_index_ko_rerank.rerank.ltr.model import DEFAULT, LearningToRank, load_ranker
from llama_index_ko_rerank.rerank.nodes import rerank_nodes
from llama_index_ko_rerank.rerank.postprocessor import RerankingPostprocessor
from llama_index_ko_rerank.text.normalize import check_query

if TYPE_CHECKING:
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import PairScorer


@dataclass(frozen=True, slots=True)
class FeatureContribution:
    """What one feature says of a candidate.

    Attributes:
        name: The feature.
        value: Its value.
        contribution: What it adds to the candidate's score, against a candidate that is the mean of the list.
    """

    name: str
    value: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a candidate stands where it stands.

    Attributes:
        node_id: The candidate.
        probability: The score that it is returned with, in 0-1.
        score: The ranker's score less that of the mean of the list; the sum of the contributions.
        features: All features, those that add or take most first.
    """

    node_id: str
    probability: float
    score: float
    features: tuple[FeatureContribution, ...]


class LearningToRankPostprocessor(RerankingPostprocessor):
    """Reorders retrieved nodes by a small network over how question and passage share words.

    It needs the lexical index of the collection, for its statistics and its analysed passages::

        retriever = KoreanBM25Retriever.from_nodes(nodes, similarity_top_k=30)
        reranker = LearningToRankPostprocessor.from_index(retriever.lexical_index, top_n=5)

    New nodes come back, best first; the nodes handed in are not changed. Equal scores keep the incoming order. The
    score of a node is a probability in 0-1: the softmax of the ranker's scores over the reordered nodes, which is what
    it was fitted by. Nodes beyond `candidates` keep their order below the others, with the score 0. Nodes that are not
    in the index are analysed on the spot. It may be used from several threads and does not block the event loop.

    `to_dict` and `to_json` keep the settings and not the index: give a restored one its index with `attach`.

    Raises:
        InvalidSetting: A parameter is out of range, on construction; no index is attached, on use.
        ModelNotFound: There are no such weights; on construction.
        UnsuitableModel: The weights are for other features or another tokenizer; on construction or `attach`.
        BlankQuery: A question is missing or blank; on use.
    """

    top_n: int = Field(default=5, ge=1, strict=True, description="How many nodes to return at most, 1 or more.")
    candidates: int = Field(
        default=30, ge=1, strict=True, description="How many of the incoming nodes are reordered, 1 or more."
    )
    weights: str = Field(default=DEFAULT, description="`default`, or the path of a file of fitted weights.")
    dense_retriever: str | None = Field(
        default=None,
        description="The source whose rank and score are features, for weights fitted with the set `dense`.",
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata are read with a text that the index does not hold."
    )
    keep_retrieval_score: bool = Field(
        default=False,
        description="Whether the returned nodes keep the incoming rank and score as their source `retrieval`.",
    )
    _ranker: LearningToRank = PrivateAttr()
    _extractor: FeatureExtractor | None = PrivateAttr(default=None)

    def __init__(
        self,
        *,
        top_n: int = 5,
        candidates: int = 30,
        weights: str | Path = DEFAULT,
        dense_retriever: str | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        keep_retrieval_score: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(
            top_n=top_n,
            candidates=candidates,
            weights=str(weights),
            dense_retriever=dense_retriever,
            metadata_mode=metadata_mode,
            keep_retrieval_score=keep_retrieval_score,
            callback_manager=callback_manager,
        )
        self._ranker = load_ranker(self.weights)

    @classmethod
    def from_index(
        cls,
        lexical_index: LexicalStatistics,
        *,
        scorer: PairScorer | None = None,
        top_n: int = 5,
        candidates: int = 30,
        weights: str | Path = DEFAULT,
        dense_retriever: str | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        keep_retrieval_score: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> LearningToRankPostprocessor:
        """Make one for a collection.

        Args:
            lexical_index: Its lexical index with both views, such as `KoreanBM25Retriever.lexical_index`.
            scorer: The cross-encoder, for weights fitted with the set ``cross-encoder``.
            top_n: As the field, and so the others.
            candidates: As the field.
            weights: As the field.
            dense_retriever: As the field.
            metadata_mode: As the field.
            keep_retrieval_score: As the field.
            callback_manager: LlamaIndex's.
        """
        ranker = cls(
            top_n=top_n,
            candidates=candidates,
            weights=weights,
            dense_retriever=dense_retriever,
            metadata_mode=metadata_mode,
            keep_retrieval_score=keep_retrieval_score,
            callback_manager=callback_manager,
        )
        return ranker.attach(lexical_index, scorer=scorer)

    def attach(
        self, lexical_index: LexicalStatistics, *, scorer: PairScorer | None = None
    ) -> LearningToRankPostprocessor:
        """Give it the lexical index of the collection, and return it.

        Raises:
            InvalidSetting: The index lacks a view, or a `dense_retriever` or scorer that the weights need is missing.
            UnsuitableModel: The weights were fitted on another kind of tokens.
        """
        for view, identity in self._ranker.tokenizers.items():
            here = lexical_index.identity.get(view, identity)
            if _kind(here) != _kind(identity):
                raise UnsuitableModel(
                    f"the weights {self.weights!r} were fitted on {_kind(identity)}, this index has {_kind(here)}"
                )
        self._extractor = FeatureExtractor(
            lexical_index,
            feature_sets=self._ranker.feature_sets,
            dense_retriever=self.dense_retriever,
            scorer=scorer,
            metadata_mode=self.metadata_mode,
        )
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "LearningToRankPostprocessor"

    def explain(self, query: str, nodes: Sequence[NodeWithScore]) -> list[Explanation]:
        """Say what each feature adds to the score of each candidate.

        Args:
            query: The question.
            nodes: The candidates, as they were retrieved.

        Returns:
            One a node, best first, of the first `candidates` nodes; `LearningToRank.contributions` says how.
        """
        query = check_query(query)
        chosen = list(nodes)[: self.candidates]
        if not chosen:
            return []
        matrix = self._attached().matrix(query, chosen)
        added = self._ranker.contributions(matrix)
        probabilities = softmax(self._ranker.scores(matrix))
        return [
            Explanation(
                chosen[place].node.node_id,
                float(probabilities[place]),
                float(added[place].sum()),
                _by_size(self._ranker.feature_names, matrix[place], added[place]),
            )
            for place in np.argsort(-probabilities, kind="stable")
        ]

    def _model_name(self) -> str:
        self._attached()
        return f"learning-to-rank:{self.weights}"

    def _rerank(self, query: str, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        scores = np.zeros(len(nodes))
        chosen = nodes[: self.candidates]
        scores[: len(chosen)] = softmax(self._ranker.scores(self._attached().matrix(query, chosen)))
        return rerank_nodes(nodes, scores, top_n=self.top_n, keep_retrieval_score=self.keep_retrieval_score)

    def _attached(self) -> FeatureExtractor:
        if self._extractor is None:
            raise InvalidSetting(
                "learning to rank has no lexical index to read; make it with LearningToRankPostprocessor.from_index, "
                "or call attach(retriever.lexical_index) on a restored one"
            )
        return self._extractor


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn scores into probabilities that add up to 1.

    >>> softmax(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    powers = np.exp(scores - scores.max())
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


def _kind(identity: str) -> str:
    """Take name and version from a tokenizer's identity; its options and Kiwi's version may differ."""
    return identity.split(" ", 1)[0]


def _by_size(
    names: Sequence[str], values: NDArray[np.float64], added: NDArray[np.float64]
) -> tuple[FeatureContribution, ...]:
    order = np.argsort(-np.abs(added), kind="stable")
    return tuple(FeatureContribution(names[place], float(values[place]), float(added[place])) for place in order)
