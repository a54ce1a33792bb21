"""The two shapes in which clients ask for a reranking, and their answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class StrictBody(BaseModel):
    """A request's body: unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Document(StrictBody):
    """A passage as an object."""

    text: str


class CohereRerank(StrictBody):
    """A reranking as clients of Cohere and Jina ask for it."""

    query: str = Field(min_length=1, description="The question.")
    documents: list[str | Document] = Field(min_length=1, description="The passages.")
    model: str | None = Field(None, description="The served model, or nothing.")
    top_n: int | None = Field(None, ge=1, description="How many come back at most; all where left out.")
    return_documents: bool = Field(False, description="Whether the texts come back too.")


class TeiRerank(StrictBody):
    """A reranking as clients of TEI ask for it."""

    query: str = Field(min_length=1, description="The question.")
    texts: list[str] = Field(min_length=1, description="The passages.")
    raw_scores: bool = Field(False, description="Whether scores are logits; probabilities in 0-1 where not.")
    return_text: bool = Field(False, description="Whether the texts come back too.")
    truncate: bool | None = Field(None, description="Of no effect: long passages are read whole, in windows.")
    truncation_direction: Literal["Left", "Right"] | None = Field(None, description="Of no effect, as `truncate`.")


class DocumentText(BaseModel):
    """A passage that came back."""

    text: str


class CohereRank(BaseModel):
    """A passage's place among those that were sent, and how well it answers."""

    index: int
    relevance_score: float = Field(ge=0, le=1)
    document: DocumentText | None = None


class CohereRanking(BaseModel):
    """The passages, best first."""

    id: str
    model: str
    results: list[CohereRank]


class TeiRank(BaseModel):
    """A passage's place among those that were sent, and how well it answers."""

    index: int
    score: float
    text: str | None = None


TeiRanking = list[TeiRank]


def _shape(body: Any) -> str | None:
    fields = set(body) if isinstance(body, dict) else {name for name in ("texts", "documents") if hasattr(body, name)}
    shapes = fields & {"texts", "documents"}
    return f"{shapes.pop()}-shape" if len(shapes) == 1 else None


EitherRerank = Annotated[
    Annotated[TeiRerank, Tag("texts-shape")] | Annotated[CohereRerank, Tag("documents-shape")],
    Discriminator(
        _shape,
        custom_error_type="rerank_shape",
        custom_error_message="a reranking has 'query' and either 'texts' (as in TEI) or 'documents' (as in Cohere)",
    ),
]
"""One body of either shape, told apart by the field that holds the passages."""
