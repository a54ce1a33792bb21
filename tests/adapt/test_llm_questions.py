"""Questions of an LLM in place of rules: its replies are data, and those that cannot be read are counted."""

from __future__ import annotations

import json
import logging
import re

import pytest
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.adapt.inputs import AdaptSettings, collect
from llama_index_ko_rerank.adapt.questions import PARTS, read_questions, write_questions
from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.errors import EmptyCorpus

FENCED = re.compile(r'<자료 번호="(\d+)" 열쇠="(\w+)">\n(.*?)\n</자료 열쇠="\2">', re.DOTALL)
UNREADABLE = "죄송하지만 질문을 만들 수 없습니다."


class Examiner(CustomLLM):
    """Asks about the first words of each passage it is shown; one prompt in `silent_after` gets no JSON."""

    silent_after: int = 0
    prompts: list[str]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="examiner")

    def complete(self, prompt: str, formatted: bool = False, **_: object) -> CompletionResponse:
        self.prompts.append(prompt)
        if self.silent_after and len(self.prompts) % self.silent_after == 0:
            return CompletionResponse(text=UNREADABLE)
        lines = []
        for number, _, text in FENCED.findall(prompt):
            words = text.split()
            for start in (0, 4, 8, 12):
                phrase = " ".join(words[start : start + 3])
                if len(words) > start + 6:
                    answer = words[start + 5]
                    lines.append({"passage": int(number), "question": f"{phrase} 다음은 무엇인가요?", "answer": answer})
        return CompletionResponse(text="\n".join(json.dumps(line, ensure_ascii=False) for line in lines))

    def stream_complete(self, prompt: str, formatted: bool = False, **_: object):
        raise NotImplementedError


@pytest.fixture(scope="module")
def collected():
    passages = load_dataset("sample", "train").passages[:90]
    nodes = [TextNode(id_=p.id, text=p.text, metadata={"title": p.title or p.id}) for p in passages]
    return collect(nodes)


def made(collected, folder, llm):
    folder.mkdir()
    result = write_questions(collected, AdaptSettings(), folder, llm=llm, on_progress=lambda *_: None)
    return read_questions(folder, result)


def test_the_questions_are_the_llms_and_each_stays_with_its_passage(collected, tmp_path):
    words = {passage.id: {"title:", *f"{passage.title} {passage.text}".split()} for passage in collected.passages}
    found = made(collected, tmp_path / "q", Examiner(prompts=[]))
    questions = [question for part in PARTS for question in found.parts[part]]
    assert len(questions) > 60
    for question in questions:
        assert set(question.text.removesuffix(" 다음은 무엇인가요?").split()) <= words[question.passage_ids[0]]


def test_replies_that_cannot_be_read_are_counted_in_the_log(collected, tmp_path, caplog):
    llm = Examiner(prompts=[], silent_after=5)
    with caplog.at_level(logging.WARNING):
        made(collected, tmp_path / "q", llm)
    silent = len(llm.prompts) // 5
    messages = [record.getMessage() for record in caplog.records if "could not be read" in record.getMessage()]
    assert len(messages) == 1
    lost = int(messages[0].split()[0])
    assert 4 * (silent - 1) < lost <= 4 * silent
    assert "of 90 passages" in messages[0]


def test_an_llm_that_never_gives_questions_is_an_error(collected, tmp_path):
    with pytest.raises(EmptyCorpus, match="only 0 usable questions"):
        made(collected, tmp_path / "q", Examiner(prompts=[], silent_after=1))
