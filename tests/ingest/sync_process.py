"""Indexing in a process of its own, slowly, so that a test can kill it in the middle."""

import sys
import time
from pathlib import Path

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field

from llama_index_ko_rerank.ingest.sync import create_empty_index, plan_sync, run_sync


class SlowEmbedding(BaseEmbedding):
    """Counts the letters of a text, and takes its time."""

    seconds: float = 0.0
    embedded: list[str] = Field(default_factory=list)

    def _get_text_embedding(self, text):
        time.sleep(self.seconds)
        self.embedded.append(text)
        return [text.count(letter) + 1.0 for letter in "가나다라마바사아이을는에"]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


def main(folder, source):
    model = SlowEmbedding(seconds=0.02)
    create_empty_index(folder, embed_model=model)
    run_sync(
        plan_sync(folder, [source], embed_model=model),
        embed_model=model,
        on_progress=lambda report: sys.stdout.write(f"{report.files_done}\n") and sys.stdout.flush(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
