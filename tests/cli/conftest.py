from __future__ import annotations

import json

import pytest

from tests.corpora.cli import RULES


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
