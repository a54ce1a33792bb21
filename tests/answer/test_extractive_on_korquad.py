from __future__ import annotations

import os
from pathlib import Path

import pytest
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.answer import build_query_engine
from llama_index_ko_rerank.data.load import load_dataset
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever

DATA = Path(os.environ.get("KO_RERANK_DATA", Path(__file__).parents[2] / "../shared/data"))
KORQUAD = DATA / "korquad" / "KorQuAD_v1.0_dev.json"


@pytest.mark.skipif(not KORQUAD.is_file(), reason=f"no KorQuAD at {KORQUAD}; set KO_RERANK_DATA")
def test_three_sentences_hold_the_answer_for_most_questions():
    dataset = load_dataset(f"squad:{KORQUAD}", "tune")
    passages = dataset.passages[:40]
    known = {passage.id for passage in passages}
    questions = [question for question in dataset.questions if known.issuperset(question.passage_ids)][:60:2]
    retriever = KoreanBM25Retriever.from_nodes([TextNode(id_=p.id, text=p.text) for p in passages])
    engine = build_query_engine(retriever, sentences=3)

    responses = [engine.query(question.text) for question in questions]

    held = sum(
        any(answer in extract for answer in question.answers for extract in extracts_of(response))
        for question, response in zip(questions, responses, strict=True)
    )
    assert len(questions) == 30
    assert held / len(questions) >= 0.85


def extracts_of(response):
    texts = [source.node.text for source in response.source_nodes]
    return [texts[place["source"] - 1][place["start"] : place["end"]] for place in response.metadata["extracts"]]
