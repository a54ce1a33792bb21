"""Search of an adapted collection: index, fitted weights and ranker, and the measurement of every step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index_ko_rerank.adapt.inputs import AdaptSettings, Collected, Sources
from llama_index_ko_rerank.adapt.questions import MadeQuestions
from llama_index_ko_rerank.collection import CANDIDATES, RANKER_FILE, CollectionSettings, fitted_settings
from llama_index_ko_rerank.data.dataset import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import IndexNotFound, ModelMismatch
from llama_index_ko_rerank.evaluate.report import EvaluationReport, interval_text, markdown_table
from llama_index_ko_rerank.evaluate.runner import SearchSystem, evaluate_retrieval
from llama_index_ko_rerank.evaluate.significance import Interval
from llama_index_ko_rerank.files import write_text_file
from llama_index_ko_rerank.ingest.sync import create_empty_index, plan_sync, run_sync
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.ltr.model import DEFAULT
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import DEFAULT_WEIGHTS, HybridRetriever
from llama_index_ko_rerank.store.index import build_index, open_index
from llama_index_ko_rerank.train.tuning.search import FEWEST_QUESTIONS, tune_search


def make_index(
    sources: Sources,
    collected: Collected,
    folder: Path,
    *,
    paths: Sequence[str | Path],
    max_mb: int,
    embed_model: KoreanEmbedding,
    on_progress: Callable[[str, int, int], None],
) -> VectorStoreIndex:
    """Index all documents; where an earlier attempt was interrupted, what it did is not done again.

    Args:
        sources: The documents.
        collected: Their passages.
        folder: The folder of the index, beside where it will be in the end: ids are paths as seen from it.
        paths: What the user named, for files.
        max_mb: The largest file that is read.
        embed_model: The embedding that stayed.
        on_progress: Called with how many files are done.
    """
    if sources.dataset is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return build_index(collected.nodes, folder, embed_model=embed_model)
    try:
        open_index(folder, embed_model=embed_model)
    except IndexNotFound:
        create_empty_index(folder, embed_model=embed_model)
    except ModelMismatch:
        shutil.rmtree(folder)
        create_empty_index(folder, embed_model=embed_model)
    plan = plan_sync(folder, paths, embed_model=embed_model, leave_out=folder.parent, max_mb=max_mb)
    run_sync(
        plan,
        embed_model=embed_model,
        on_progress=lambda report: on_progress("indexing", report.files_done, len(plan.to_read)),
    )
    return open_index(folder, embed_model=embed_model)


@dataclass(frozen=True, slots=True)
class Retrievers:
    """Retrievers of a search over a collection.

    Attributes:
        lexical: BM25.
        dense: The embedding's.
        texts: The passages as they are indexed, for judging what is found.
    """

    lexical: KoreanBM25Retriever
    dense: BaseRetriever
    texts: tuple[Passage, ...]

    @classmethod
    def over(cls, index: VectorStoreIndex, collected: Collected, snapshot: Path) -> Retrievers:
        """Open both over an index."""
        lexical = KoreanBM25Retriever.from_index(index, similarity_top_k=CANDIDATES, snapshot=snapshot)
        texts = tuple(
            Passage(passage.id, node.text, passage.title)
            for node, passage in zip(collected.nodes, collected.passages, strict=True)
        )
        return cls(lexical, index.as_retriever(similarity_top_k=CANDIDATES), texts)

    def dataset(self, questions: Sequence[Question], part: str) -> RetrievalDataset:
        """Ask questions of this collection."""
        return RetrievalDataset("made questions", part, self.texts, tuple(questions))


def write_fit(
    retrievers: Retrievers,
    questions: Sequence[Question],
    folder: Path,
    *,
    cross_encoder: Path | None,
    seed: int,
    on_step: Callable[[str], None],
) -> dict[str, Any]:
    """Fit weights and ranker, or leave them as they ship where there are fewer than a hundred questions.

    Returns:
        ``questions``, ``weights``, ``ranker`` (as `CollectionSettings` takes it), ``uses_cross_encoder``,
        ``retrieval_weight``, and ``gains`` with intervals; all but the first None or empty where nothing was fitted.
    """
    if len(questions) < FEWEST_QUESTIONS:
        on_step(f"fusion and ranker stay as they ship: {len(questions)} questions, {FEWEST_QUESTIONS} are needed")
        nothing: dict[str, Any] = {
            "weights": None,
            "ranker": DEFAULT,
            "uses_cross_encoder": False,
            "retrieval_weight": 0.0,
            "gains": {},
        }
        return {"questions": len(questions), **nothing}
    reranker = CrossEncoderNodePostprocessor(str(cross_encoder), top_n=CANDIDATES) if cross_encoder else None
    fitted = tune_search(
        retrievers.lexical,
        retrievers.dataset(questions, "fit"),
        dense=retrievers.dense,
        reranker=reranker,
        seed=seed,
        on_step=on_step,
    )
    write_text_file(folder / RANKER_FILE, fitted.fitted_ranker.to_json())
    kept = fitted_settings(CollectionSettings(None), fitted, rerank_model="cross-encoder")
    return {
        "questions": fitted.questions,
        "weights": kept.weights,
        "ranker": kept.ranker,
        "uses_cross_encoder": kept.rerank_model is not None,
        "retrieval_weight": kept.retrieval_weight,
        "gains": {part: tuple(gain) for part, gain in fitted.gains.items()},
    }


def hybrid(retrievers: Retrievers, fit: dict[str, Any]) -> HybridRetriever:
    """Put both retrievers together as they were fitted."""
    weights = fit["weights"] or DEFAULT_WEIGHTS
    return HybridRetriever.from_defaults(
        retrievers.lexical, retrievers.dense, similarity_top_k=CANDIDATES, weights=weights
    )


def ranker(retrievers: Retrievers, fit: dict[str, Any], folder: Path) -> LearningToRankPostprocessor | None:
    """Open the ranker that was kept, where one was."""
    if fit["ranker"] is None:
        return None
    weights = DEFAULT if fit["ranker"] == DEFAULT else str(folder / fit["ranker"])
    return LearningToRankPostprocessor.from_index(retrievers.lexical.lexical_index, weights=weights, top_n=10)


MOST_QUESTIONS = 500
_EMBEDDING, _WORDS, _BOTH = "embedding", "words", "both"


class ExactRetriever(BaseRetriever):
    """Finds the nearest nodes by exact cosines, with no index on disk: the base, to compare with."""

    def __init__(self, embed_model: KoreanEmbedding, collected: Collected, *, similarity_top_k: int) -> None:
        self._embed_model = embed_model
        self._nodes = collected.nodes
        self._similarity_top_k = similarity_top_k
        texts = [passage.text for passage in collected.passages]
        self._vectors = np.array(embed_model.get_text_embedding_batch(texts), np.float32)
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vector = np.array(self._embed_model.get_query_embedding(query_bundle.query_str), np.float32)
        cosines = self._vectors @ vector
        best = np.argsort(-cosines, kind="stable")[: self._similarity_top_k].tolist()
        return [NodeWithScore(node=self._nodes[row], score=float(cosines[row])) for row in best]


def measure_steps(
    retrievers: Retrievers,
    collected: Collected,
    questions: Sequence[Question],
    fit: dict[str, Any],
    folder: Path,
    *,
    base: KoreanEmbedding | None,
    cross_encoder: Path | None,
    seed: int,
    command: str,
    on_progress: Callable[[str, int, int], None],
) -> tuple[EvaluationReport, dict[str, tuple[float, ...]]]:
    """Ask each step of the search the held-out questions, at most five hundred of them.

    Args:
        retrievers: Over the collection.
        collected: Its passages.
        questions: On documents that were held out.
        fit: What `write_fit` returned.
        folder: Where it wrote.
        base: The embedding that was started from. None for the one in use.
        cross_encoder: The cross-encoder that was trained, if any.
        seed: Of the intervals.
        command: For the record.
        on_progress: Called with how many questions were searched.

    Returns:
        The figures of every system, and how much each step gains in MRR@10 over the step before, with intervals.
    """
    both = hybrid(retrievers, fit)
    systems: dict[str, SearchSystem] = {}
    if base is not None:
        before = ExactRetriever(base, collected, similarity_top_k=CANDIDATES)
        systems["embedding before"] = SearchSystem(before)
        pair = HybridRetriever.from_defaults(retrievers.lexical, before, similarity_top_k=CANDIDATES)
        systems["both before, default weights"] = SearchSystem(pair)
    systems |= {
        _EMBEDDING: SearchSystem(retrievers.dense),
        _WORDS: SearchSystem(retrievers.lexical),
        _BOTH: SearchSystem(both),
    }
    steps = [(_EMBEDDING, "embedding before"), (_BOTH, "both before, default weights"), (_BOTH, _WORDS)]
    for name, reorders in _reordering(retrievers, fit, folder, cross_encoder):
        systems[name] = SearchSystem(both, [reorders])
        steps.append((name, _BOTH))
    chosen = np.random.default_rng(seed).permutation(len(questions))[:MOST_QUESTIONS]
    sample = [questions[index] for index in sorted(chosen.tolist())]
    report = evaluate_retrieval(
        systems,
        retrievers.dataset(sample, "held-out"),
        command=command,
        seed=seed,
        on_progress=lambda _, done, total: on_progress("measuring", done, total),
    )
    gains = {f"{name} less {other}": tuple(report.difference(name, other)) for name, other in steps if other in systems}
    return report, gains


def _reordering(
    retrievers: Retrievers, fit: dict[str, Any], folder: Path, cross_encoder: Path | None
) -> list[tuple[str, BaseNodePostprocessor]]:
    found: list[tuple[str, BaseNodePostprocessor]] = []
    reorders = ranker(retrievers, fit, folder)
    if reorders is not None:
        found.append(("both, reordered by the ranker", reorders))
    if cross_encoder is not None:
        model = CrossEncoderNodePostprocessor(str(cross_encoder), top_n=10, retrieval_weight=fit["retrieval_weight"])
        found.append(("both, reordered by the cross-encoder", model))
    return found


WARNING = (
    "Made questions are not users' questions. These were made from the passages themselves, and those that the words "
    "alone do not find, or find too easily, were dropped. The figures say how the steps compare on such questions; how "
    "your users fare, only their own questions can say: collect some, and run `ko-rerank evaluate` and `ko-rerank fit`."
)
_EMBEDDING_FIGURES = ("step", "nDCG@10")


def report_content(
    sources: Sources,
    collected: Collected,
    made: MadeQuestions,
    settings: AdaptSettings,
    *,
    llm: str | None,
    start: Mapping[str, Any],
    embedding: Mapping[str, Any],
    fit: Mapping[str, Any],
    measured: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    """Put everything together in plain JSON types."""
    return {
        "format": 1,
        "warning": WARNING,
        "command": command,
        "settings": asdict(settings),
        "questions_made_by": llm or "rules",
        "documents": len(set(collected.documents)),
        "passages": len(collected.passages),
        "refused": [{"path": str(each.path), "reason": each.reason} for each in sources.refused],
        "questions": {part: asdict(counts) for part, counts in made.counts.items()},
        "near_copies_left_out": made.left_out,
        "start": dict(start),
        "embedding": dict(embedding),
        "fit": dict(fit),
        "measured": dict(measured),
    }


def report_markdown(content: Mapping[str, Any]) -> str:
    """Write a report for people."""
    embedding, measured = content["embedding"], content["measured"]
    parts = [
        "# A search adapted to documents",
        f"**{content['warning']}**",
        f"{content['documents']:,} documents, {content['passages']:,} passages, all of them in the index. Questions "
        f"made by: {content['questions_made_by']}. The three parts share no document, and no near copy of a passage "
        f"({content['near_copies_left_out']} passages are in none).",
        _counts_table(content["questions"]),
        f"## The embedding alone, on held-out documents\n\nExact cosines over all passages, {embedding['questions']:,} "
        "made questions, means with 95 % intervals.",
        markdown_table(
            _EMBEDDING_FIGURES, [(name, interval_text(Interval(*row))) for name, row in embedding["figures"].items()]
        ),
        _gains(embedding["gains"], "nDCG@10"),
        f"Kept: {embedding['kept']}.",
        f"## The search, fitted on {content['fit']['questions']:,} questions of documents set aside",
        _fit_text(content["fit"]),
        f"## Every step, on held-out documents\n\n{measured['report']['questions']:,} made questions over "
        f"{measured['report']['passages']:,} passages, means with 95 % intervals.",
        _systems_table(measured["report"]["systems"]),
        _gains(measured["gains"], "MRR@10"),
        f"Command: `{content['command']}`" if content["command"] else "",
        _refused(content["refused"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counts_table(parts: Mapping[str, Mapping[str, int]]) -> str:
    header = ("part", "passages", "questions made", "not found, dropped", "too easy, dropped", "kept")
    fields = ("passages", "made", "not_found", "too_easy", "kept")
    return markdown_table(header, [(part, *(f"{counts[name]:,}" for name in fields)) for part, counts in parts.items()])


def _systems_table(systems: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    metrics = {"hit@1": "HitRate@1", "hit@10": "HitRate@10", "mrr@10": "MRR@10", "ndcg@10": "nDCG@10"}
    rows = [(name, *(interval_text(Interval(**figures[m])) for m in metrics)) for name, figures in systems.items()]
    return markdown_table(("step", *metrics.values()), rows)


def _fit_text(fit: Mapping[str, Any]) -> str:
    if not fit["gains"]:
        return "Too few questions to fit on: weights and ranker are those that ship."
    weights = ", ".join(f"{name} {share:.2f}" for name, share in (fit["weights"] or {}).items())
    reorders = "the cross-encoder" if fit["uses_cross_encoder"] else fit["ranker"] or "nothing"
    return f"Weights: {weights}. Reordered by: {reorders}.\n\n" + _gains(fit["gains"], "MRR@10, by cross-validation")


def _gains(gains: Mapping[str, Sequence[float]], metric: str) -> str:
    lines = [f"- {name}: {value:+.3f} [{low:+.3f}, {high:+.3f}] {metric}" for name, (value, low, high) in gains.items()]
    return "\n".join(lines)


def _refused(refused: Sequence[Mapping[str, str]]) -> str:
    lines = [f"- {each['path'].encode('utf-8', 'backslashreplace').decode()} {each['reason']}" for each in refused]
    return "\n".join(["## Not read", "", *lines]) if lines else ""
