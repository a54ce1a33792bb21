"""Where a found node keeps what each leg said of it."""

from __future__ import annotations

from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.schema import NodeWithScore


class LegHit(BaseModel):
    """What one leg said of a node: its rank, counted from 1, and its score on the leg's own scale."""

    rank: int
    score: float


class RankedNode(NodeWithScore):
    """A node with its score and, in `legs`, the rank and score that each leg gave it.

    The legs stand beside the node and not in its metadata, so that neither the LLM's text nor `node.hash` sees them.
    A leg that did not find the node is not in `legs`.
    """

    legs: dict[str, LegHit] = Field(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "RankedNode"


def legs_of(found: NodeWithScore) -> dict[str, LegHit]:
    """Return the legs of a found node, none where it is a plain `NodeWithScore`."""
    return dict(found.legs) if isinstance(found, RankedNode) else {}
