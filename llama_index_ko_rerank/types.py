"""The result type of every retriever and reranker here: a node with its score and its sources."""

from __future__ import annotations

from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.schema import NodeWithScore


class SourceHit(BaseModel):
    """The rank that one retriever gave a node, counted from 1, and the score on that retriever's own scale."""

    rank: int
    score: float


class RankedNode(NodeWithScore):
    """A node with its score, the hits of the retrievers that found it, and where it matched.

    Sources and window stand beside the node and not in its metadata, so that neither the LLM's text nor `node.hash`
    sees them.

    Attributes:
        sources: The hit of each retriever that found the node, by the retriever's name.
        window: Offsets of the first character and after the last, in
            ``node.get_content(metadata_mode=MetadataMode.NONE)``, of the stretch that a reranker scored best, or of the
            only one that it read, for citations. None after a reranker that read all of the text, or without one.
    """

    sources: dict[str, SourceHit] = Field(default_factory=dict)
    window: tuple[int, int] | None = None

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "RankedNode"


def sources_of(found: NodeWithScore) -> dict[str, SourceHit]:
    """Return a copy of a node's sources; a plain `NodeWithScore` has none."""
    return dict(found.sources) if isinstance(found, RankedNode) else {}
