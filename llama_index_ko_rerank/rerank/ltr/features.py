"""The features by which learning to rank judges a passage for a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.rerank.ltr.matching import (
    BIGRAMS,
    CENTRE_WINDOW,
    CUES,
    MORPHEMES,
    WINDOWS,
    CandidateBatch,
    CandidateReader,
    LexicalStatistics,
    Matches,
    QueryAnalysis,
    analyze_query,
    best_by_passage,
    find_matches,
    pairs_found,
    sentence_presence,
    stable_ids,
    window_presence,
)
from llama_index_ko_rerank.rerank.nodes import BlankLast, model_input_text
from llama_index_ko_rerank.text.tokenizers import TAG_NAMES
from llama_index_ko_rerank.types import sources_of

if TYPE_CHECKING:
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import PairScorer


Columns = dict[str, NDArray[np.float64]]

FEATURES_VERSION = 1
"""Goes up whenever a feature comes to mean something else; weights of another version are refused."""

_COVERAGE = ("coverage", "sentence", "two_sentences", *(f"window_{window}" for window in WINDOWS))

LEXICAL_FEATURES: tuple[str, ...] = (
    *("morphemes_to_best", "morphemes_share", "bigrams_to_best", "bigrams_share", "views_to_best"),
    *("passage_length", "question_length"),
    *_COVERAGE,
    *(f"local_{name}" for name in _COVERAGE),
    *("pairs_adjacent", "pairs_near"),
    *("missing_rarest", "missing_count", "rarest_three"),
    *("names_found", "numbers_found", "latin_found"),
    *(f"asks_{kind}" for kind in CUES),
    *("asks_unit", "dates_near", "names_near", "numbers_near", "unit_near", "unit_anywhere", "best_place"),
)
"""The lexical features in the order of a matrix's columns. `lexical_columns` says what they are."""

_KINDS = {"names": ("NNP",), "numbers": ("SN", "NR"), "latin": ("SL", "SH")}
_DATE_UNITS = ("년", "월", "일")


def lexical_columns(
    query: str, question: QueryAnalysis, passages: CandidateBatch, statistics: LexicalStatistics
) -> Columns:
    """Compute every lexical feature: arrays of shape (passages,) by name, which do not depend on the order.

    "Share" is always a share of the question's idf: how much of what is rare in the question is found. Where a name
    starts with ``local_``, morphemes weigh by how few of the candidates have them instead of how few of the
    collection: candidates have much in common, and what tells them apart is what only some of them have.
    """
    matches = find_matches(question, passages)
    windows = {window: window_presence(matches, window) for window in WINDOWS}
    columns = _score_columns(query, question, passages, statistics)
    sentences = sentence_presence(matches)
    columns |= _coverage_columns(matches, sentences, windows, question.idf)
    in_candidates = _coverage_columns(matches, sentences, windows, _local_idf(matches))
    columns |= {f"local_{name}": column for name, column in in_candidates.items()}
    columns |= _pair_columns(question, matches)
    columns |= _missing_columns(question, matches)
    columns |= _kind_columns(question, matches)
    columns |= _answer_columns(question, passages, matches, windows[CENTRE_WINDOW] @ question.idf, statistics)
    return columns


def _score_columns(
    query: str, question: QueryAnalysis, passages: CandidateBatch, statistics: LexicalStatistics
) -> Columns:
    """BM25 in both views, beside the best candidate's and beside the most that the question's idf allows."""
    bigram_idf = statistics.idf(BIGRAMS, statistics.query_tokens(query)[BIGRAMS])
    columns = {}
    for view, most in ((MORPHEMES, question.idf.sum()), (BIGRAMS, float(bigram_idf.sum()))):
        scores = passages.scores[view]
        columns[f"{view}_to_best"] = scores / max(scores.max(), 1e-9)
        columns[f"{view}_share"] = scores / max(most, 1e-9)
    columns["views_to_best"] = (columns["morphemes_to_best"] + columns["bigrams_to_best"]) / 2
    columns["passage_length"] = np.log1p(passages.lengths)
    columns["question_length"] = np.full(len(passages), np.log1p(len(question.ids)))
    return columns


def _coverage_columns(
    matches: Matches,
    sentences: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]],
    windows: dict[int, NDArray[np.bool_]],
    idf: NDArray[np.float64],
) -> Columns:
    """The share found in the passage, in its best sentence, best two sentences, and best windows."""
    shares = idf / max(idf.sum(), 1e-9)
    single, double, doc_index = sentences
    columns = {
        "coverage": matches.present @ shares,
        "sentence": best_by_passage(single @ shares, doc_index, matches.passages),
        "two_sentences": best_by_passage(double @ shares, doc_index, matches.passages),
    }
    for window, presence in windows.items():
        columns[f"window_{window}"] = best_by_passage(presence @ shares, matches.doc_index, matches.passages)
    return columns


def _local_idf(matches: Matches) -> NDArray[np.float64]:
    having = matches.present.sum(0)
    return np.where(having > 0, np.log((matches.passages + 1) / (having + 0.5)), 0.0)


def _pair_columns(question: QueryAnalysis, matches: Matches) -> Columns:
    """The share of the question's neighbours that are neighbours in the passage too, or at most 3 apart."""
    weights = question.idf[question.pairs].sum(1)
    shares = weights / max(weights.sum(), 1e-9)
    return {
        "pairs_adjacent": pairs_found(question, matches, reach=1) @ shares,
        "pairs_near": pairs_found(question, matches, reach=3) @ shares,
    }


def _missing_columns(question: QueryAnalysis, matches: Matches) -> Columns:
    """The rarest morpheme that the passage lacks, how many it lacks, and its share of the three rarest."""
    rarest = np.argsort(-question.idf, kind="stable")[:3]
    lacking = 1 - matches.present
    return {
        "missing_rarest": (lacking * question.idf).max(1, initial=0) / max(question.idf.max(initial=0), 1e-9),
        "missing_count": lacking.sum(1),
        "rarest_three": matches.present[:, rarest] @ question.idf[rarest] / max(question.idf[rarest].sum(), 1e-9),
    }


def _kind_columns(question: QueryAnalysis, matches: Matches) -> Columns:
    """The share found of the question's proper nouns, numbers, and Latin or Chinese words; 1 where it has none."""
    columns = {}
    for name, tags in _KINDS.items():
        idf = question.idf * [tag in tags for tag in question.tags]
        total = idf.sum()
        columns[f"{name}_found"] = matches.present @ idf / total if total else np.ones(matches.passages)
    return columns


def _answer_columns(
    question: QueryAnalysis,
    passages: CandidateBatch,
    matches: Matches,
    closeness: NDArray[np.float64],
    statistics: LexicalStatistics,
) -> Columns:
    """What the question asks for, and how much of that kind stands around the passage's best window."""
    asks, count = question.answer_type, len(passages)
    centres = _best_places(closeness, matches)
    asked = np.zeros(len(passages.token_ids), bool)
    asked[matches.at] = True
    unit = int(stable_ids([asks.unit], statistics)[0]) if asks.unit else None
    found = evidence(
        passages.token_ids,
        passages.tags,
        asked,
        starts=passages.starts,
        lengths=passages.lengths,
        centres=centres,
        date_units=stable_ids(_DATE_UNITS, statistics),
        unit=unit,
    )
    columns = {f"asks_{kind}": np.full(count, float(asks.kind == kind)) for kind in CUES}
    return columns | {
        "asks_unit": np.full(count, float(bool(asks.unit))),
        "dates_near": np.log1p(found["dates"]) * (asks.kind == "date"),
        "names_near": np.log1p(found["names"]) * (asks.kind in ("person", "place")),
        "numbers_near": np.log1p(found["numbers"]) * (asks.kind == "number"),
        "unit_near": np.minimum(found["units"], 1),
        "unit_anywhere": np.minimum(found["units_anywhere"], 1),
        "best_place": centres / np.maximum(passages.lengths, 1),
    }


def _best_places(closeness: NDArray[np.float64], matches: Matches) -> NDArray[np.int64]:
    """Return where each passage's best window starts, the first of equal ones; 0 where nothing matches."""
    best = best_by_passage(closeness, matches.doc_index, matches.passages)
    places = np.zeros(matches.passages, np.int64)
    winners = np.flatnonzero(closeness >= best[matches.doc_index] - 1e-12)[::-1]
    places[matches.doc_index[winners]] = matches.positions[winners]
    return places


_BEFORE, _AFTER = 12, 28
_NUMBER, _NAME = TAG_NAMES.index("SN"), TAG_NAMES.index("NNP")


def evidence(
    token_ids: NDArray[np.int64],
    tags: NDArray[np.uint8],
    asked: NDArray[np.bool_],
    *,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    centres: NDArray[np.int64],
    date_units: NDArray[np.int64],
    unit: int | None,
) -> dict[str, NDArray[np.float64]]:
    """Count what could be an answer in each passage, within 12 morphemes before its best match and 28 after.

    Args:
        token_ids: The passages' morphemes end to end, shape (morphemes,).
        tags: The tag of each, as a place in `TAG_NAMES`.
        asked: Which of them the question has.
        starts: Where each passage starts, shape (passages,).
        lengths: Its number of morphemes.
        centres: Where its best match is, counted from its start.
        date_units: The ids of 년, 월 and 일.
        unit: The id of the morpheme that is counted, None where nothing is.

    Returns:
        Counts of shape (passages,): ``dates`` (numbers before a date unit), ``names`` (proper nouns that the question
        does not have), ``numbers``, ``units`` (numbers before the unit), and ``units_anywhere`` in the whole passage.
    """
    following = np.append(token_ids[1:], 0)
    last = (starts + lengths - 1)[lengths > 0]
    is_number = tags == _NUMBER
    counted = is_number.copy()
    counted[last] = False
    before_unit = counted & (following == unit) if unit is not None else np.zeros(len(tags), bool)
    first, stop = starts + np.maximum(0, centres - _BEFORE), starts + np.minimum(lengths, centres + _AFTER)
    return {
        "dates": _between(counted & (following[:, None] == date_units).any(1), first, stop),
        "names": _between((tags == _NAME) & ~asked, first, stop),
        "numbers": _between(is_number, first, stop),
        "units": _between(before_unit, first, stop),
        "units_anywhere": _between(before_unit, starts, starts + lengths),
    }


def _between(mask: NDArray[np.bool_], first: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count the True values from each first place up to its stop."""
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(mask)])
    between: NDArray[np.float64] = (counts[stop] - counts[first]).astype(np.float64)
    return between


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
        dense_retriever: The source whose rank and score are the features of the set ``dense``.
        scorer: The cross-encoder of the set ``cross-encoder``.
        metadata_mode: Which metadata are read with the text, where a text is read.

    Raises:
        InvalidSetting: The index lacks a view, or a set lacks its source or its scorer.
    """

    def __init__(
        self,
        statistics: LexicalStatistics,
        *,
        feature_sets: Sequence[str] = (LEXICAL,),
        dense_retriever: str | None = None,
        scorer: PairScorer | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
    ) -> None:
        self.feature_names = feature_names(feature_sets)
        missing = {MORPHEMES, BIGRAMS} - set(statistics.identity)
        if missing:
            raise InvalidSetting(f"learning to rank needs an index with both views; this one lacks {sorted(missing)}")
        if DENSE in feature_sets and dense_retriever is None:
            raise InvalidSetting(
                "the feature set 'dense' needs dense_retriever, the name of the embedding among the sources"
            )
        if CROSS_ENCODER in feature_sets and scorer is None:
            raise InvalidSetting("the feature set 'cross-encoder' needs a scorer")
        self.feature_sets = tuple(feature_sets)
        self._statistics = statistics
        self._reader = CandidateReader(statistics)
        self._dense_leg = dense_retriever or ""
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
            candidates = BlankLast([self._text(node) for node in nodes])
            logits = self._scorer.logits(query, candidates.texts) if candidates.texts else np.zeros(0)
            columns["cross_encoder_logit"] = candidates.fill_logits(logits)
        return np.stack([columns[name] for name in self.feature_names], axis=1)

    def _lexical(self, query: str, nodes: Sequence[NodeWithScore]) -> Columns:
        ids = [node.node.node_id for node in nodes]

        def text_of(place: int) -> str:
            return self._text(nodes[place])

        self._reader.prepare(ids, text_of)
        with self._statistics.lock:
            question = analyze_query(query, self._statistics)
            passages = self._reader.read(query, ids, text_of)
            return lexical_columns(query, question, passages, self._statistics)

    def _text(self, found: NodeWithScore) -> str:
        return model_input_text(found, self._metadata_mode)


def dense_columns(nodes: Sequence[NodeWithScore], source: str) -> Columns:
    """Return whether a retriever found each node, with what score and at which rank.

    A node that the retriever did not find has the lowest score that it gave in this list, and a reciprocal rank of 0.
    """
    hits = [sources_of(node).get(source) for node in nodes]
    lowest = min((hit.score for hit in hits if hit), default=0.0)
    return {
        "dense_found": np.array([float(hit is not None) for hit in hits]),
        "dense_score": np.array([hit.score if hit else lowest for hit in hits]),
        "dense_reciprocal_rank": np.array([1 / hit.rank if hit else 0.0 for hit in hits]),
    }
