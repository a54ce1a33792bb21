"""Questions on the passages of documents that have no questions, in three parts that share no document."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llama_index_ko_rerank.adapt.inputs import AdaptSettings, Collected, held_out_share
from llama_index_ko_rerank.data.dataset import Passage, Question
from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.train.data.splits import split_by_document
from llama_index_ko_rerank.train.synthesis.filters import filter_by_search
from llama_index_ko_rerank.train.synthesis.generate import make_questions
from llama_index_ko_rerank.train.synthesis.llm import questions_from_llm

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

_logger = logging.getLogger(__name__)

PARTS = ("train", "fit", "held-out")
_DEPTH = 30
_FEWEST = {"train": 30, "fit": 0, "held-out": 10}
_FILE = "questions.json"


@dataclass(frozen=True, slots=True)
class PartCounts:
    """How many questions a part had, and why some went.

    Attributes:
        passages: Passages of the part.
        made: Questions made.
        not_found: Dropped, since both lexical views together do not find their passage among the first thirty.
        too_easy: Dropped, since their passage is found first by far, and such questions are half of the rest already.
        kept: What is left.
    """

    passages: int
    made: int
    not_found: int
    too_easy: int
    kept: int


@dataclass(frozen=True, slots=True)
class MadeQuestions:
    """Questions by part, and their counts.

    Attributes:
        parts: ``train``, ``fit`` and ``held-out``.
        counts: By part.
        left_out: Passages of documents set aside that nearly copy a passage of another part; no question is about them.
    """

    parts: dict[str, tuple[Question, ...]]
    counts: dict[str, PartCounts]
    left_out: int


def write_questions(
    collected: Collected,
    settings: AdaptSettings,
    folder: Path,
    *,
    llm: LLM | None,
    on_progress: Callable[[str, int, int], None],
) -> dict[str, object]:
    """Make, filter and write questions; what is returned goes into `read_questions`.

    Raises:
        EmptyCorpus: Too few questions could be made.
    """
    parts, left_out = _split(collected, settings.seed)
    made = _made(collected, settings, llm, on_progress)
    once = Counter(passage.text for passage in collected.passages)
    unrepeated = {passage.id for passage in collected.passages if once[passage.text] == 1}
    retriever = KoreanBM25Retriever.from_nodes(collected.nodes, similarity_top_k=_DEPTH)
    kept: dict[str, list[Question]] = {}
    counts: dict[str, PartCounts] = {}
    for part in PARTS:
        own = {passage.id for passage in parts[part]} & unrepeated
        questions = [question for question in made if question.passage_ids[0] in own]
        kept[part], counts[part] = _filtered(
            questions, retriever, len(parts[part]), lambda done, total: on_progress("searching", done, total)
        )
        if len(kept[part]) < _FEWEST[part]:
            raise EmptyCorpus(
                f"only {len(kept[part])} usable questions could be made for the part {part!r} of the documents "
                f"({counts[part].made} made on {counts[part].passages} passages), and {_FEWEST[part]} are needed; add "
                "documents with whole sentences, or use `ko-rerank index`, which needs no training"
            )
    write_json_file(folder / _FILE, {part: [asdict(question) for question in kept[part]] for part in PARTS})
    return {"counts": {part: asdict(counts[part]) for part in PARTS}, "left_out": left_out}


def read_questions(folder: Path, result: dict[str, dict[str, dict[str, int]]]) -> MadeQuestions:
    """Read what `write_questions` wrote."""
    content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    parts = {
        part: tuple(Question(row["id"], row["text"], tuple(row["passage_ids"])) for row in rows)
        for part, rows in content.items()
    }
    left_out = result["left_out"]
    assert isinstance(left_out, int)
    return MadeQuestions(parts, {part: PartCounts(**counts) for part, counts in result["counts"].items()}, left_out)


def _split(collected: Collected, seed: int) -> tuple[dict[str, tuple[Passage, ...]], int]:
    share = held_out_share(len(collected.passages))
    outer = split_by_document(collected.passages, seed=seed, held_out_share=share, documents=collected.documents)
    document = {p.id: name for p, name in zip(collected.passages, collected.documents, strict=True)}
    inner = split_by_document(
        outer.training,
        seed=seed + 1,
        held_out_share=min(0.5, share / (1 - share)),
        documents=[document[passage.id] for passage in outer.training],
    )
    parts = {"train": inner.training, "fit": inner.held_out, "held-out": outer.held_out}
    return parts, len(outer.left_out) + len(inner.left_out)


def _made(
    collected: Collected, settings: AdaptSettings, llm: LLM | None, on_progress: Callable[[str, int, int], None]
) -> list[Question]:
    found: Sequence[tuple[str, str]]
    if llm is None:
        found = [
            (question.text, question.passage_id)
            for question in make_questions(
                collected.passages,
                seed=settings.seed,
                per_passage=settings.questions_per_passage,
                on_progress=lambda done, total: on_progress("reading passages", done, total),
            )
        ]
    else:
        found = []
        unread: list[tuple[int, MalformedData]] = []
        for start in range(0, len(collected.passages), _DEPTH):
            some = collected.passages[start : start + _DEPTH]
            answered = questions_from_llm(
                some,
                llm,
                per_passage=min(4, settings.questions_per_passage),
                on_failure=lambda batch, error: unread.append((len(batch), error)),
            )
            found += [(question.text, question.passage_id) for question in answered]
            on_progress("asking the LLM", start + len(some), len(collected.passages))
        if unread:
            _logger.warning(
                "%d of %d passages got no questions, since the LLM's replies on them could not be read; the first: %s",
                *(sum(passages for passages, _ in unread), len(collected.passages), unread[0][1]),
            )
    return [Question(f"made-{number}", text, (passage,)) for number, (text, passage) in enumerate(found)]


def _filtered(
    questions: Sequence[Question],
    retriever: KoreanBM25Retriever,
    passages: int,
    on_progress: Callable[[int, int], None],
) -> tuple[list[Question], PartCounts]:
    ranks: list[int | None] = []
    margins: list[float] = []
    for number, question in enumerate(questions, start=1):
        hits = retriever.retrieve(question.text)
        ids = [hit.node.node_id for hit in hits]
        ranks.append(ids.index(question.passage_ids[0]) + 1 if question.passage_ids[0] in ids else None)
        scores = [float(hit.score or 0.0) for hit in hits[:2]] + [0.0, 0.0]
        margins.append(1 - scores[1] / scores[0] if scores[0] > 0 else 0.0)
        on_progress(number, len(questions))
    verdict = filter_by_search(ranks, margins, deepest=_DEPTH)
    kept = [questions[index] for index in verdict.kept]
    counts = PartCounts(passages, len(questions), len(verdict.not_found), len(verdict.too_easy), len(kept))
    return kept, counts
