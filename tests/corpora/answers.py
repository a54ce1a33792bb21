"""The invented company whose handbook the tests of this room ask about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

LEAVE = "연차 휴가는 한 해에 15일이다. 입사 첫해에는 매달 하루씩 생긴다. 남은 휴가는 다음 해로 넘길 수 없다."
CANTEEN = "구내식당은 본관 지하에 있다. 점심은 오전 11시 30분부터 준다. 외부 손님은 식권을 사야 한다."
PARKING = "주차장은 별관 뒤에 있다. 전기차 충전기는 네 대다. 방문 차량은 두 시간까지 무료다."
LAPTOP = "노트북은 ThinkPad X1을 준다. 고장이 나면 전산팀에 맡긴다. 교체 주기는 4년이다."


def handbook() -> list[TextNode]:
    return [
        TextNode(id_="leave", text=LEAVE, metadata={"title": "휴가 규정"}),
        TextNode(id_="canteen", text=CANTEEN, metadata={"file_name": "식당.md"}),
        TextNode(id_="parking", text=PARKING, metadata={"title": "주차 안내"}),
        TextNode(id_="laptop", text=LAPTOP),
    ]


def bigrams(text: str) -> set[str]:
    joined = "".join(text.split())
    return {joined[i : i + 2] for i in range(len(joined) - 1)}


def found(*nodes: TextNode) -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=1.0 / place) for place, node in enumerate(nodes, start=1)]


class BigramRetriever(BaseRetriever):
    """Finds the nodes that share character pairs with the question, and remembers what it was asked."""

    def __init__(self, nodes: Sequence[TextNode]) -> None:
        self.nodes = nodes
        self.asked: list[str] = []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.asked.append(query_bundle.query_str)
        query_bundle.embedding = [1.0]
        wanted = bigrams(query_bundle.query_str)
        shared = [(len(wanted & bigrams(node.text)), node) for node in self.nodes]
        best = sorted((pair for pair in shared if pair[0]), key=lambda pair: -pair[0])
        return [NodeWithScore(node=node, score=float(count)) for count, node in best]


class BigramEmbedding(BaseEmbedding):
    """Counts character pairs in 64 buckets."""

    def _embed(self, text: str) -> list[float]:
        counts = [0.0] * 64
        for pair in bigrams(text):
            counts[(ord(pair[0]) * 31 + ord(pair[1])) % 64] += 1.0
        return counts

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embed(text)


class WordThreshold(BaseNodePostprocessor):
    """Keeps the nodes whose text has a word, in the opposite of the incoming order."""

    word: str

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return [node.model_copy() for node in reversed(nodes) if self.word in node.node.get_content()]


class RecordingLLM(CustomLLM):
    """Remembers every prompt, and answers with how many sources it was shown."""

    prompts: list[str] = Field(default_factory=list)
    context_window: int = 8192
    num_output: int = 256
    is_chat_model: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self.context_window, num_output=self.num_output, is_chat_model=self.is_chat_model
        )

    def _answer(self, prompt: str) -> list[str]:
        self.prompts.append(prompt)
        return ["자료 ", f"{len(fences(prompt).bodies)}개를 ", "읽었습니다. [1]"]

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="".join(self._answer(prompt)))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        def stream() -> CompletionResponseGen:
            text = ""
            for delta in self._answer(prompt):
                text += delta
                yield CompletionResponse(text=text, delta=delta)

        return stream()


class ScriptedLLM(RecordingLLM):
    """Answers each prompt with the next of its lines; a line that is an error is raised in the middle of a word."""

    script: list[Any] = Field(default_factory=list)

    def _answer(self, prompt):
        self.prompts.append(prompt)
        return self.script[min(len(self.prompts), len(self.script)) - 1]

    def complete(self, prompt, formatted=False, **kwargs):
        pieces = list(self.stream_complete(prompt))
        return CompletionResponse(text="".join(piece.delta for piece in pieces))

    def stream_complete(self, prompt, formatted=False, **kwargs):
        line = self._answer(prompt)

        def stream():
            for piece in line:
                if isinstance(piece, Exception):
                    raise piece
                yield CompletionResponse(text=piece, delta=piece)

        return stream()


@dataclass(frozen=True)
class Fences:
    """What stands inside the fences of a prompt, by number, and what stands outside."""

    bodies: dict[int, str]
    outside: str


def fences(prompt: str) -> Fences:
    key = re.search('열쇠 "([0-9a-f]+)"', prompt)[1]
    fence = re.compile(f'<자료 번호="(\\d+)" 열쇠="{key}">\n(.*?)\n</자료 열쇠="{key}">', re.DOTALL)
    bodies = {int(number): body for number, body in fence.findall(prompt)}
    return Fences(bodies, fence.sub("", prompt))
