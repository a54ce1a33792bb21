"""What holds for every test."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.bigram_embedding import BigramEmbedding
from tests.corpora.cli import RULES

settings.register_profile("busy machines", deadline=None)
settings.load_profile("busy machines")


@pytest.fixture(autouse=True)
def the_process_as_it_was():
    """Undo what a command line may do to its process and a test may not: logging and environment."""
    root, package = logging.getLogger(), logging.getLogger("llama_index_ko_rerank")
    before = root.handlers[:], root.level, package.level, root.manager.disable
    environment = dict(os.environ)
    yield
    root.handlers[:], level, package_level, disabled = before
    root.setLevel(level)
    package.setLevel(package_level)
    logging.disable(disabled)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def shared_data():
    """The data beside the repository that no file of it may hold."""
    folder = Path(os.environ.get("KO_RERANK_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the shared data is not here: set KO_RERANK_DATA to its folder")
    return folder


@pytest.fixture
def embed_model():
    return BigramEmbedding()


@pytest.fixture
def make_embedding():
    return BigramEmbedding


@pytest.fixture
def static_model(tmp_path):
    """A static embedding of random vectors: enough to tell texts with other words apart."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(set("".join([*RULES, *RULES.values()])) - {" "})
    vocabulary = {token: number for number, token in enumerate(["[UNK]", *letters])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix=""))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "static"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)]).save(str(folder))
    return folder
