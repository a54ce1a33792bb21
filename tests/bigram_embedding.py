"""An embedding of the tests that needs no model and sees what a text says."""

import zlib

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding


class BigramEmbedding(BaseEmbedding):
    """Counts of hashed character pairs: texts that share words are near each other."""

    model_name: str = "bigrams"
    dimension: int = 64

    def _vector(self, text):
        vector = np.zeros(self.dimension)
        for pair in zip(text, text[1:] + " ", strict=True):
            vector[zlib.crc32("".join(pair).encode("utf-8", "surrogatepass")) % self.dimension] += 1.0
        return vector.tolist()

    def _get_text_embedding(self, text):
        return self._vector(text)

    def _get_query_embedding(self, query):
        return self._vector(query)

    async def _aget_query_embedding(self, query):
        return self._vector(query)
