"""The models in the wheel, and what is asked of them."""

from __future__ import annotations

import httpx
import pytest
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
from llama_index_ko_rerank.serve.app import app_of
from llama_index_ko_rerank.serve.models import load_models
from llama_index_ko_rerank.serve.settings import ServerSettings
from llama_index_ko_rerank.store import build_index
from tests.serve.service_process import TEXTS, running_server


@pytest.fixture(scope="session")
def models():
    return load_models(ServerSettings())


@pytest.fixture(scope="session")
def direct(models):
    """The probabilities as the scorer gives them when nobody else asks."""
    from llama_index_ko_rerank.rerank.nodes import sigmoid

    return lambda query, texts: sigmoid(models.scorer.logits(query, texts)).tolist()


@pytest.fixture
def client_of(models):
    """Make an asynchronous client of an application in this process; errors come back as answers."""

    def make(*, models=models, headers=None, **settings):
        app = app_of(ServerSettings(**settings), models)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers)
        client.limiter = app.state.limiter
        return client

    return make


@pytest.fixture(scope="session")
def collection(tmp_path_factory, models):
    """Four rules of an office, which `/search` searches."""
    folder = tmp_path_factory.mktemp("모음")
    nodes = [
        TextNode(text=text, id_=f"규정-{place}", metadata={"title": f"제{place}조"}) for place, text in enumerate(TEXTS)
    ]
    build_index(nodes, index_folder(folder), embed_model=models.embedding).vector_store.close()
    write_settings(folder, CollectionSettings("ko-static", "ko-mini-rerank"))
    return folder


@pytest.fixture(scope="module")
def server(collection, tmp_path_factory):
    with running_server(collection, tmp_path_factory.mktemp("log") / "log.jsonl") as process:
        yield process
