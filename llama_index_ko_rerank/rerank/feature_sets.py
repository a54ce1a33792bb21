"""The features of a question's candidates as one matrix: lexical ones, and what other judges said where asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.ranked_node import legs_of
from llama_index_ko_rerank.rerank.features import LEXICAL_FEATURES, Columns, lexical_columns
from llama_index_ko_rerank.rerank.lexical_statistics import BIGRAMS, MORPHEMES, LexicalStatistics
from llama_index_ko_rerank.rerank.passages import PassageReader
from llama_index_ko_rerank.rerank.question import read_question
from llama_index_ko_rerank.text.normalize import check_text, normalize

if TYPE_CHECKING:
    from llama_index_ko_rerank.rerank.scorer import PairScorer

LEXICAL, DENSE, CROSS_ENCODER = "lexical", "dense", "cross-encoder"
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    LEXICAL: LEXICAL_FEATURES,
    DENSE: ("dense_found", "dense_score", "dense_reciprocal_rank"),
    CROSS_ENCODER: ("cross_encoder_logit",),
}
"""The features by set. Weights say which sets they read, so that weights fitted without an embedding or a cross-encoder
work the same whether one is there or not, and weights fitted with one are refused where it is missing."""


def feature_names(feature_sets: Sequence[str]) -> tuple[str, ...]:
    """List the features of some sets, in the order of a matrix's columns.

    Raises:
        InvalidSetting: There is no such set, none is named, or one is named twice.
    """
    if not feature_sets or len(set(feature_sets)) != len(feature_sets):
        raise InvalidSetting(f"feature sets are named once each, at least one; given: {list(feature_sets)}")
    for name in feature_sets:
        if name not in FEATURE_SETS:
            raise InvalidSetting(f"no feature set is called {name!r}; {nearest(name, FEATURE_SETS)}")
    return tuple(feature for name in feature_sets for feature in FEATURE_SETS[name])


class FeatureExtractor:
    """Computes the features of retrieved nodes; safe from several threads.

    Nodes are known to the lexical index by id. Those that it does not hold are analysed from their text, with the
    index's tokenizers, idf and mean length, and the last 512 of them are remembered by text.

    Args:
        statistics: A lexical index with both views.
        feature_sets: Which sets, keys of `FEATURE_SETS`.
        dense_leg: The leg whose rank and score are the features of the set ``dense``, as `legs_of` names it.
        scorer: The cross-encoder of the set ``cross-encoder``.
        metadata_mode: Which metadata are read with the text, where a text is read.

    Raises:
        InvalidSetting: The index lacks a view, or a set lacks its leg or its scorer.
    """

    def __init__(
        self,
        statistics: LexicalStatistics,
        *,
        feature_sets: Sequence[str] = (LEXICAL,),
        dense_leg: str | None = None,
        scorer: PairScorer | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
    ) -> None:
        self.feature_names = feature_names(feature_sets)
        missing = {MORPHEMES, BIGRAMS} - set(statistics.identity)
        if missing:
            raise InvalidSetting(f"learning to rank needs an index with both views; this one lacks {sorted(missing)}")
        if DENSE in feature_sets and dense_leg is None:
            raise InvalidSetting("the feature set 'dense' needs dense_leg, the name of the leg that an embedding is")
        if CROSS_ENCODER in feature_sets and scorer is None:
            raise InvalidSetting("the feature set 'cross-encoder' needs a scorer")
        self.feature_sets = tuple(feature_sets)
        self._statistics = statistics
        self._reader = PassageReader(statistics)
        self._dense_leg = dense_leg or ""
        self._scorer = scorer
        self._metadata_mode = metadata_mode

    def matrix(self, query: str, nodes: Sequence[NodeWithScore]) -> NDArray[np.float64]:
        """Compute the features of a question's candidates: one row a node, one column a name of `feature_names`.

        Raises:
            InvalidText: The text of a node that the index does not hold has lone surrogates.
        """
        if not nodes:
            return np.zeros((0, len(self.feature_names)))
        columns: Columns = {}
        if LEXICAL in self.feature_sets:
            columns |= self._lexical(query, nodes)
        if DENSE in self.feature_sets:
            columns |= dense_columns(nodes, self._dense_leg)
        if self._scorer is not None and CROSS_ENCODER in self.feature_sets:
            texts = [self._text(node) for node in nodes]
            columns["cross_encoder_logit"] = _logits(self._scorer, query, texts)
        return np.stack([columns[name] for name in self.feature_names], axis=1)

    def _lexical(self, query: str, nodes: Sequence[NodeWithScore]) -> Columns:
        ids = [node.node.node_id for node in nodes]

        def text_of(place: int) -> str:
            return self._text(nodes[place])

        self._reader.prepare(ids, text_of)
        with self._statistics.lock:
            question = read_question(query, self._statistics)
            passages = self._reader.read(query, ids, text_of)
            return lexical_columns(query, question, passages, self._statistics)

    def _text(self, found: NodeWithScore) -> str:
        text = found.node.get_content(metadata_mode=self._metadata_mode)
        check_text(text, f"the text of node {found.node.node_id!r}")
        return normalize(text)


def dense_columns(nodes: Sequence[NodeWithScore], leg: str) -> Columns:
    """Read whether a leg found each node, with what score and at which rank.

    A node that the leg did not find has the lowest score that it gave in this list, and a reciprocal rank of 0.
    """
    hits = [legs_of(node).get(leg) for node in nodes]
    lowest = min((hit.score for hit in hits if hit), default=0.0)
    return {
        "dense_found": np.array([float(hit is not None) for hit in hits]),
        "dense_score": np.array([hit.score if hit else lowest for hit in hits]),
        "dense_reciprocal_rank": np.array([1 / hit.rank if hit else 0.0 for hit in hits]),
    }


def _logits(scorer: PairScorer, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Ask the cross-encoder; a passage with no text gets one less than the lowest."""
    readable = [place for place, text in enumerate(texts) if text.strip()]
    logits = np.zeros(len(texts))
    if readable:
        given = scorer.logits(query, [texts[place] for place in readable])
        logits[:] = given.min() - 1
        logits[readable] = given
    return logits
