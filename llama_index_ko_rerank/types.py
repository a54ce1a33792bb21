"""Where a found node keeps what each leg said of it."""

from __future__ import annotations

from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.schema import NodeWithScore


class SourceHit(BaseModel):
    """What one leg said of a node: its rank, counted from 1, and its score on the leg's own scale."""

    rank: int
    score: float


class RankedNode(NodeWithScore):
    """A node with its score and what the search said of it beside: the ranks of its legs, and where it matched.

    These stand beside the node and not in its metadata, so that neither the LLM's text nor `node.hash` sees them.

    Attributes:
        legs: The rank and score that each leg gave the node; a leg that did not find it is not there.
        window: Where a reranker read only a stretch of a long text, or found its best one: the offsets of the first
            character and after the last in ``node.get_content(metadata_mode=MetadataMode.NONE)``, for citations. None
            where it read all of it, or where no reranker did.
    """

    legs: dict[str, SourceHit] = Field(default_factory=dict)
    window: tuple[int, int] | None = None

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "RankedNode"


def legs_of(found: NodeWithScore) -> dict[str, SourceHit]:
    """Return the legs of a found node, none where it is a plain `NodeWithScore`."""
    return dict(found.legs) if isinstance(found, RankedNode) else {}
