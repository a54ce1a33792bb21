from __future__ import annotations

import json
import logging
import os

import pytest
from company_rules import RULES


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
def pairs_file(tmp_path):
    path = tmp_path / "규정 질문.jsonl"
    rows = [{"question": question, "context": context, "split": "test"} for context, question in RULES.items()]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


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
