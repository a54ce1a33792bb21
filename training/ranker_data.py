"""The lists that the default ranker is fitted on: candidates of questions of four collections, with their features."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pyarrow.parquet as parquet
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.data import Passage, RetrievalDataset, load_dataset
from llama_index_ko_rerank.rerank.ltr.features import FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.fit import RankingExample
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from training.synthetic_questions import made_dataset

FOLDS, CANDIDATES, QUESTIONS, PASSAGES = 5, 30, 1000, 10_000
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "data" / "statute_questions.jsonl"


@dataclass(frozen=True)
class JudgedSet:
    """The questions of one collection.

    Attributes:
        name: What reports call it.
        family: Sets of one family are held out together: the same questions, or questions made by the same rules.
        examples: One a question.
        folds: The fold of each, the same for all questions on one document.
        tokenizers: The identity of the tokenizers of its index.
    """

    name: str
    family: str
    examples: list[RankingExample]
    folds: list[int]
    tokenizers: dict[str, str]


def default_sets(data: Path) -> list[JudgedSet]:
    """Build everything that the default ranker is fitted on.

    A question counts by its set: 1 for KorQuAD and the sample, half for the same with titles in the text and for
    made ones.
    """
    tune = load_dataset(f"squad:{data / 'korquad/KorQuAD_v1.0_dev.json'}", "tune")
    sample = load_dataset("sample", "train")
    return [
        judged("KorQuAD tune", "korquad", tune),
        judged("KorQuAD tune, with titles", "korquad", titled(tune), weight=0.5),
        judged("sample train", "sample", sample),
        judged("sample train, with titles", "sample", titled(sample), weight=0.5),
        made(data / "corpus" / "statutes.parquet", "law", with_titles=False),
        made(data / "corpus" / "tech_docs.parquet", "title", with_titles=True),
    ]


def judged(
    name: str,
    family: str,
    dataset: RetrievalDataset,
    *,
    weight: float = 1.0,
    retriever: KoreanBM25Retriever | None = None,
) -> JudgedSet:
    """Retrieve the candidates of every question and compute their features."""
    retriever = retriever or searched(dataset)
    extractor = FeatureExtractor(retriever.lexical_index)
    titles = {passage.id: passage.title for passage in dataset.passages}
    documents = sorted({titles[question.passage_ids[0]] for question in dataset.questions})
    Random(0).shuffle(documents)
    fold_of = {title: place % FOLDS for place, title in enumerate(documents)}
    examples = []
    for question in dataset.questions:
        nodes = retriever.retrieve(question.text)
        relevant = tuple(place for place, node in enumerate(nodes) if node.node.node_id in question.passage_ids)
        examples.append(RankingExample(extractor.matrix(question.text, nodes), relevant, weight))
    folds = [fold_of[titles[question.passage_ids[0]]] for question in dataset.questions]
    return JudgedSet(name, family, examples, folds, dict(retriever.lexical_index.identity))


def searched(dataset: RetrievalDataset) -> KoreanBM25Retriever:
    """Index a collection."""
    nodes = [TextNode(id_=passage.id, text=passage.text) for passage in dataset.passages]
    return KoreanBM25Retriever.from_nodes(nodes, similarity_top_k=CANDIDATES)


def titled(dataset: RetrievalDataset) -> RetrievalDataset:
    """Put each title into the text, as LlamaIndex does with metadata."""
    with_titles = (replace(passage, text=f"title: {passage.title}\n\n{passage.text}") for passage in dataset.passages)
    return replace(dataset, passages=tuple(with_titles))


def made(path: Path, key: str, *, with_titles: bool) -> JudgedSet:
    """Make questions over whole documents, chosen by chance, so that a passage stands among its neighbours.

    Laws that the statute benchmark asks about are left out.
    """
    measured = {json.loads(line)["law"] for line in BENCHMARK.read_text(encoding="utf-8").splitlines()}
    documents: dict[str, list[Passage]] = {}
    for number, row in enumerate(parquet.read_table(path).to_pylist()):
        if 40 <= len(row["text"]) <= 2000 and row[key] not in measured:
            passage = Passage(f"{path.stem}-{number}", f"{row['heading']}\n{row['text']}", row[key])
            documents.setdefault(row[key], []).append(passage)
    chosen: dict[str, Passage] = {}
    for name in Random(1).sample(sorted(documents), len(documents)):
        chosen |= {passage.text: passage for passage in documents[name]}
        if len(chosen) >= PASSAGES:
            break
    collection = RetrievalDataset(path.stem, "made", tuple(chosen.values()), ())
    retriever = searched(titled(collection) if with_titles else collection)
    index = retriever.lexical_index
    asked = made_dataset(
        path.stem,
        collection.passages,
        rarity=lambda tokens: index.idf("morphemes", tokens),
        questions=QUESTIONS,
        rng=Random(2),
    )
    return judged(f"made from {path.stem}", "made", asked, weight=0.5, retriever=retriever)
