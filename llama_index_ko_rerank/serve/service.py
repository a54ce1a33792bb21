"""What the routes share: the models, the limits, and what is checked of every text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index_ko_rerank.serve.failures import refusal
from llama_index_ko_rerank.serve.gate import Gate
from llama_index_ko_rerank.serve.metrics import Metrics
from llama_index_ko_rerank.serve.models import Models, is_called
from llama_index_ko_rerank.serve.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Service:
    """One running service."""

    settings: ServerSettings
    models: Models
    gate: Gate
    metrics: Metrics

    def check_texts(self, field: str, texts: Sequence[str]) -> None:
        """Refuse too many texts, or one that is too long.

        Raises:
            HTTPException: 413 for their number, 422 for a length.
        """
        most = self.settings.max_texts
        if len(texts) > most:
            raise refusal(413, f"{field} has {len(texts)} texts; a request may have {most}")
        longest = self.settings.max_text_characters
        for place, text in enumerate(texts):
            if len(text) > longest:
                raise refusal(422, f"{field}[{place}] has {len(text):,} characters; a text may have {longest:,}")

    def check_query(self, query: str) -> None:
        """Refuse a question that is too long.

        Raises:
            HTTPException: 422.
        """
        longest = self.settings.max_text_characters
        if len(query) > longest:
            raise refusal(422, f"query has {len(query):,} characters; a text may have {longest:,}")


def check_model(asked: str | None, name: str) -> None:
    """Refuse another model than the one that is served.

    Raises:
        HTTPException: 404.
    """
    if asked is not None and not is_called(asked, name):
        raise refusal(404, f"the model {asked[:100]!r} is not served here; leave it out or name {name!r}")
