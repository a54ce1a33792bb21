"""Documents with no questions become a collection that opens, finds and says what it gained."""

from __future__ import annotations

import json
import shutil

import pytest

from llama_index_ko_rerank.adapt import adapt_to_documents
from llama_index_ko_rerank.collection import Collection, read_settings
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, IndexNotFound, InvalidSetting


@pytest.fixture(scope="module")
def adapted(documents, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapted") / "모음"
    broken = documents / "깨진 글.pdf"
    broken.write_bytes(b"%PDF-1.7 nothing")
    try:
        return adapt_to_documents([documents], out, settings=tiny, command="ko-rerank adapt")
    finally:
        broken.unlink()


def test_the_collection_holds_every_document_and_finds_them(adapted):
    found = Collection.open(adapted.folder)
    assert adapted.documents == 20
    assert found.count == adapted.passages
    assert "통근버스" in found.retriever().retrieve("퇴근하는 통근버스는 몇 시에 떠나나요?")[0].node.text


def test_the_report_has_figures_with_intervals_and_a_warning(adapted):
    report = json.loads((adapted.folder / "report.json").read_text(encoding="utf-8"))
    assert report == adapted.report
    assert report["embedding"]["questions"] >= 10
    for value, low, high in report["embedding"]["figures"].values():
        assert 0 <= low <= value <= high <= 1
    text = (adapted.folder / "report.md").read_text(encoding="utf-8")
    assert "Made questions are not users' questions" in text
    assert "Command: `ko-rerank adapt`" in text


def test_counts_of_questions_add_up(adapted):
    for counts in adapted.report["questions"].values():
        assert counts["made"] == counts["kept"] + counts["not_found"] + counts["too_easy"]


def test_a_file_that_cannot_be_read_is_listed_with_the_reason(adapted):
    assert [refusal.path.name for refusal in adapted.refused] == ["깨진 글.pdf"]
    assert "깨진 글.pdf" in (adapted.folder / "report.md").read_text(encoding="utf-8")


def test_the_same_call_again_does_nothing(adapted, documents, tiny):
    messages = []
    again = adapt_to_documents([documents], adapted.folder, settings=tiny, on_step=messages.append)
    assert messages == ["nothing has changed: the collection is as it was"]
    assert again.report == adapted.report


def test_index_finds_nothing_to_do_in_an_adapted_collection(adapted, documents):
    from llama_index_ko_rerank.collection import index_folder
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.ingest.sync import plan_sync

    model = KoreanEmbedding(read_settings(adapted.folder).embed_model)
    plan = plan_sync(index_folder(adapted.folder), [documents], embed_model=model)
    assert (len(plan.to_read), plan.unchanged, plan.deleted) == (0, 20, [])


class _Stopped(BaseException):
    """A kill at the moment that a step is announced."""


@pytest.mark.slow
def test_a_run_stopped_anywhere_is_no_collection_and_goes_on_to_the_same_result(adapted, documents, tiny, tmp_path):
    out = tmp_path / "모음"
    for stop in ("training the embedding", "indexing all documents", "measuring every step"):

        def on_step(step, stop=stop):
            if step.startswith(stop):
                raise _Stopped

        with pytest.raises(_Stopped):
            adapt_to_documents([documents], out, settings=tiny, on_step=on_step)
        with pytest.raises(IndexNotFound):
            read_settings(out)
    messages = []
    result = adapt_to_documents([documents], out, settings=tiny, on_step=messages.append)
    assert {"start: done before, kept", "questions: done before, kept", "embedding: done before, kept"} <= set(messages)
    for part in ("questions", "embedding", "fit"):
        assert result.report[part] == adapted.report[part]
    weights = "embedding/model.safetensors"
    assert result.embedding == adapted.embedding
    if (out / weights).exists():
        assert (out / weights).read_bytes() == (adapted.folder / weights).read_bytes()

    changed = tmp_path / "문서"
    shutil.copytree(documents, changed)
    (changed / "문서 00.md").write_text("# 새 글\n\n새로 쓴 글은 다른 것을 말한다.", encoding="utf-8")
    messages.clear()
    adapt_to_documents([changed], out, settings=tiny, on_step=messages.append)
    assert any(line.startswith("start: made again") and "documents" in line for line in messages)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([f"{n}번 글은 짧다." for n in range(6)], "10 different passages"),
        (["같은 글이다."] * 20, "10 different passages"),
    ],
)
def test_too_little_is_said_before_anything_is_written(texts, message, tiny, tmp_path):
    folder = tmp_path / "글"
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    with pytest.raises(EmptyCorpus, match=message):
        adapt_to_documents([folder], tmp_path / "모음", settings=tiny)
    assert not (tmp_path / "모음").exists()


def test_bad_calls_are_refused_before_anything_is_written(documents, tiny, tmp_path):
    out = tmp_path / "모음"
    with pytest.raises(InvalidSetting, match="either files and folders, or a data set"):
        adapt_to_documents([documents], out, data="sample", settings=tiny)
    with pytest.raises(DatasetUnavailable):
        adapt_to_documents([tmp_path / "없음"], out, settings=tiny)
    (tmp_path / "빈").mkdir()
    with pytest.raises(EmptyCorpus):
        adapt_to_documents([tmp_path / "빈"], out, settings=tiny)
    assert not out.exists()
    with pytest.raises(InvalidSetting, match="something else"):
        adapt_to_documents([documents], documents, settings=tiny)
