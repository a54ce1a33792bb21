"""Inputs of an adaptation: its settings, and the documents, read once and cut into passages as the index cuts them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import MetadataMode, TextNode

from llama_index_ko_rerank.adapt.step_cache import digest
from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset, dataset_nodes
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, UnreadableDocument
from llama_index_ko_rerank.ingest.chunking import Chunker, SourceRecord
from llama_index_ko_rerank.ingest.documents import DocumentText, SkippedFile, read_document, read_payload
from llama_index_ko_rerank.ingest.sync import FileToIngest, SyncPlan

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


FEWEST_PASSAGES = 10


@dataclass(frozen=True, slots=True)
class Sources:
    """What is adapted to: files, or the passages of a data set.

    Attributes:
        files: Each file that could be read, with its text.
        refused: What could not be read, and why.
        dataset: The data set, where there are no files; its questions are never read.
    """

    files: tuple[tuple[FileToIngest, DocumentText], ...] = ()
    refused: tuple[SkippedFile, ...] = ()
    dataset: RetrievalDataset | None = None

    @property
    def digest(self) -> str:
        """A digest of all texts and of what they are called."""
        if self.dataset is not None:
            return digest([[p.id, p.title, p.text] for p in self.dataset.passages])
        return digest([[planned.document_id, asdict(text)] for planned, text in self.files])

    @property
    def texts(self) -> list[str]:
        """Every text, before it is cut into passages."""
        if self.dataset is not None:
            return [passage.text for passage in self.dataset.passages]
        return [section.text for _, text in self.files for section in text.sections]

    def nodes(self, embed_model: BaseEmbedding) -> list[TextNode]:
        """Cut the documents into the nodes that an index made with this model has."""
        if self.dataset is not None:
            return dataset_nodes(self.dataset)
        chunker = Chunker(embed_model, chunk_tokens=None)
        nodes: list[TextNode] = []
        for planned, text in self.files:
            recipe = chunker.recipe(planned.kind, planned.file)
            record = SourceRecord(planned.document_id, "", recipe, chunker.content_sha256(recipe, text), chunks=0)
            nodes += chunker.chunked(planned.file, text, record).nodes
        return nodes


def read_files(plan: SyncPlan) -> Sources:
    """Read the files of a plan.

    Raises:
        EmptyCorpus: None of them can be read.
    """
    files, refused = [], list(plan.refused)
    for planned in plan.to_read:
        try:
            payload = read_payload(planned.file.path, max_bytes=plan.max_bytes)
            files.append((planned, read_document(planned.kind, payload)))
        except UnreadableDocument as error:
            refused.append(SkippedFile(planned.file.path, str(error)))
    if not files:
        reasons = "; ".join(f"{Path(each.path).name} {each.reason}" for each in refused[:3])
        raise EmptyCorpus(f"none of the {len(refused)} files can be read: {reasons}")
    return Sources(tuple(files), tuple(refused))


@dataclass(frozen=True, slots=True)
class Collected:
    """The passages of a collection.

    Attributes:
        nodes: As they are indexed.
        passages: As an embedding reads them, headings in front, one for each node and with its id.
        documents: The document of each.
    """

    nodes: tuple[TextNode, ...]
    passages: tuple[Passage, ...]
    documents: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A digest of all passages."""
        return digest([[p.id, p.title, p.text] for p in self.passages])


def collect(nodes: Sequence[TextNode]) -> Collected:
    """Take nodes as passages.

    Raises:
        EmptyCorpus: There are fewer than ten different texts, or fewer than three documents.
    """
    passages = tuple(
        Passage(node.node_id, node.get_content(MetadataMode.EMBED), str(node.metadata.get("title", "")))
        for node in nodes
    )
    documents = tuple(node.ref_doc_id or node.metadata.get("title") or node.node_id for node in nodes)
    distinct = len({hashlib.sha256(passage.text.encode()).digest() for passage in passages})
    if distinct < FEWEST_PASSAGES:
        raise EmptyCorpus(
            f"adapting needs {FEWEST_PASSAGES} different passages or more, and the {len(set(documents))} documents "
            f"have {distinct}; add documents, or use `ko-rerank index`, which needs no training"
        )
    if len(set(documents)) < 3:
        raise EmptyCorpus(
            f"there are {len(set(documents))} documents; three or more are needed, for some are trained on, some "
            "fitted on and some measured on"
        )
    return Collected(tuple(nodes), passages, documents)
