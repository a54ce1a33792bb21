"""What the page says in Korean."""

from __future__ import annotations

from llama_index_ko_rerank.app.components import Legs, RerankerKind

LEGS: dict[Legs, str] = {"hybrid": "함께", "lexical": "낱말", "dense": "뜻"}
RERANKERS: dict[RerankerKind, str] = {"none": "끄기", "ranker": "학습 랭커", "cross-encoder": "교차 인코더"}
SOURCE_COUNTS = (1, 3, 5, 10)
LEG_SCORES = {"lexical": "낱말", "dense": "뜻", "morphemes": "형태소", "bigrams": "글자쌍"}
KINDS = {
    "extracts": "문서에서 그대로 옮긴 답",
    "generated": "언어 모델이 쓴 답",
    "not_found": "찾지 못함",
}
STAGES = {"retrieve": "찾기", "rerank": "재순위", "answer": "답하기"}
SEARCHING = "문서를 찾고 있습니다…"
WRITING = "답을 쓰고 있습니다…"
