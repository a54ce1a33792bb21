"""A Ray cluster, and the model that its workers load."""

from contextlib import ExitStack

import pytest

from llama_index_ko_rerank.embed import KoreanEmbedding


@pytest.fixture(scope="module")
def model():
    return KoreanEmbedding()


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests of a file, since starting it takes longer than they do."""
    from llama_index_ko_rerank.scale.ray.pipeline import ray_session

    with ExitStack() as stack:
        stack.enter_context(ray_session(None, 2))
        yield
