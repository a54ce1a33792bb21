"""Indexing files: only what changed, nothing lost, and the same as from the beginning."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.errors import (
    DatasetUnavailable,
    DiskFull,
    EmptyCorpus,
    IndexExists,
    MissingExtra,
    ModelMismatch,
)
from llama_index_ko_rerank.ingest.chunking import Chunker, SourceRecord
from llama_index_ko_rerank.ingest.documents import DocumentText, FoundFile, Section
from llama_index_ko_rerank.ingest.sync import create_empty_index, plan_sync, run_sync
from llama_index_ko_rerank.store import DurableFaissVectorStore, open_index
from llama_index_ko_rerank.store.index_folder import IndexFolder
from tests.ingest.sync_process import SlowEmbedding

LEAVE = "연차휴가는 입사한 날부터 1년 동안 열다섯 날을 쓸 수 있다."
SICK = "병가는 진단서를 내면 한 해에 예순 날까지 쓸 수 있다."
TRIP = "출장비는 돌아온 날부터 닷새 안에 영수증과 함께 청구한다."


@pytest.fixture
def docs(tmp_path):
    return _write(tmp_path / "문서", {"휴가/연차.md": f"# 휴가\n## 연차\n{LEAVE}", "병가.txt": SICK, "출장.txt": TRIP})


@pytest.fixture
def place(tmp_path):
    return tmp_path / "모음" / "index"


@pytest.fixture
def sync(place, embed_model):
    """Index folders as the command does, and say what was done."""

    def run(*sources, model=embed_model, on_progress=None, folder=place, **options):
        plan = plan_sync(folder, sources, embed_model=model, **options)
        if not plan.exists:
            create_empty_index(folder, embed_model=model, overwrite=options.get("reset", False))
        return run_sync(plan, embed_model=model, on_progress=on_progress)

    return run


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def counts(report):
    return (report.added, report.changed, report.unchanged, report.deleted, len(report.failed))


def contents(folder):
    """All that an index holds, by node id: the node and its vector."""
    index = IndexFolder(Path(folder), mode="open", embedding_identity=None)
    with index.read() as view:
        rows = list(view.all_rows())
        vectors = [vector for _, block in view.vector_blocks(0) for vector in block]
    index.close()
    assert len(vectors) == len(rows)
    return {row.node_id: (row, vector.tolist()) for row, vector in zip(rows, vectors, strict=True)}


def texts(folder):
    return sorted(row.text for row, _ in contents(folder).values())


def test_files_become_nodes_that_know_where_they_are_from(docs, place, sync):
    report = sync(docs)
    assert counts(report) == (3, 0, 0, 0, 0)
    assert report.chunks == 3
    with DurableFaissVectorStore(place, create=False) as store:
        nodes = {node.metadata["source"]: node for node in store.nodes()}
    leave = nodes["휴가/연차.md"]
    assert leave.node_id == "../../문서/휴가/연차.md:0"
    assert leave.ref_doc_id == "../../문서/휴가/연차.md"
    assert leave.metadata == {"source": "휴가/연차.md", "title": "휴가", "headings": "휴가 > 연차"}
    assert leave.get_content(MetadataMode.EMBED) == f"휴가 > 연차\n\n{LEAVE}"
    assert leave.get_content(MetadataMode.LLM) == f"휴가\n휴가 > 연차\n\n{LEAVE}"
    assert nodes["병가.txt"].metadata == {"source": "병가.txt", "title": "병가.txt"}
    assert nodes["병가.txt"].get_content(MetadataMode.EMBED) == SICK


def test_long_documents_become_numbered_chunks_of_whole_sentences(docs, place, sync):
    _write(docs, {"긴 글.md": "# 하나\n" + f"{LEAVE}\n" * 40 + "# 둘\n" + SICK})
    sync(docs)
    long = [node_id for node_id in contents(place) if "긴 글" in node_id]
    assert long == [f"../../문서/긴 글.md:{number}" for number in range(len(long))]
    assert len(long) > 3
    assert all(row.text.endswith("있다.") for row, _ in contents(place).values() if "긴 글" in row.node_id)


def test_a_chunk_knows_its_page_and_its_number_goes_on_from_section_to_section(tmp_path, embed_model):
    file = FoundFile(tmp_path / "a.pdf", "a.pdf", 1)
    text = DocumentText("휴가 규정", (Section(f"{LEAVE}\n" * 30, page=1), Section(SICK, page=2)))
    chunked = Chunker(embed_model, chunk_tokens=None).chunked(file, text, SourceRecord("id", "f", "r", "c", 0))
    assert [node.metadata["page"] for node in chunked.nodes] == [1] * (len(chunked.nodes) - 1) + [2]
    assert [node.node_id for node in chunked.nodes] == [f"id:{number}" for number in range(len(chunked.nodes))]
    assert chunked.record.chunks == len(chunked.nodes) > 2
    last = chunked.nodes[-1]
    assert last.metadata == {"source": "a.pdf", "title": "휴가 규정", "page": 2}
    assert last.get_content(MetadataMode.EMBED) == SICK
    assert last.get_content(MetadataMode.LLM) == f"휴가 규정\n\n{SICK}"


def test_only_what_changed_is_embedded_again(docs, sync):
    model = SlowEmbedding()
    sync(docs, model=model)
    model.embedded.clear()
    _write(docs, {"병가.txt": SICK + " 다음 해로 넘기지 못한다.", "새 글.txt": "주차장은 지하에 있다."})
    (docs / "출장.txt").unlink()
    assert counts(sync(docs, model=model)) == (1, 1, 1, 1, 0)
    assert sorted(model.embedded) == [SICK + " 다음 해로 넘기지 못한다.", "주차장은 지하에 있다."]


def test_a_second_run_has_nothing_to_do(docs, place, sync):
    sync(docs)
    with DurableFaissVectorStore(place, create=False) as store:
        before = store.generation
    assert counts(sync(docs)) == (0, 0, 3, 0, 0)
    with DurableFaissVectorStore(place, create=False) as store:
        assert store.generation == before


def test_other_bytes_of_the_same_text_are_not_embedded_again(docs, sync):
    model = SlowEmbedding()
    sync(docs, model=model)
    model.embedded.clear()
    (docs / "병가.txt").write_bytes(b"\xef\xbb\xbf" + SICK.encode() + b"\r\n")
    assert counts(sync(docs, model=model)) == (0, 0, 3, 0, 0)
    assert model.embedded == []


def test_a_file_that_shrinks_leaves_no_old_chunk_behind(docs, place, sync):
    _write(docs, {"병가.txt": f"{SICK}\n" * 40})
    assert sync(docs).chunks > 4
    _write(docs, {"병가.txt": SICK})
    assert sync(docs).changed == 1
    assert texts(place) == sorted([LEAVE, SICK, TRIP])


def test_only_documents_under_the_folders_named_now_are_deleted(docs, place, sync, tmp_path):
    other = _write(tmp_path / "다른 곳", {"주차.txt": "주차장은 지하에 있다."})
    sync(docs, other)
    (docs / "병가.txt").unlink()
    (other / "주차.txt").write_text("주차장은 옥상에 있다.", encoding="utf-8")
    assert counts(sync(docs / "휴가")) == (0, 1, 0, 0, 0)  # its name below the folder is another now
    assert len(contents(place)) == 4
    assert counts(sync(docs)) == (0, 1, 1, 1, 0)
    assert texts(place) == sorted([LEAVE, TRIP, "주차장은 지하에 있다."])


def test_nodes_from_elsewhere_are_left_alone(docs, place, sync, embed_model):
    sync(docs)
    index = open_index(place, embed_model=embed_model)
    index.insert_nodes([TextNode(id_="메모", text="손으로 넣은 글")])
    index.vector_store.close()
    (docs / "병가.txt").unlink()
    sync(docs)
    assert texts(place) == sorted([LEAVE, TRIP, "손으로 넣은 글"])


def test_a_document_that_lost_a_node_is_indexed_again(docs, place, sync):
    _write(docs, {"병가.txt": f"{SICK}\n" * 40})
    sync(docs)
    whole = contents(place)
    with DurableFaissVectorStore(place, create=False) as store:
        store.delete_nodes(["../../문서/병가.txt:1"])
    assert sync(docs).added == 1
    assert contents(place) == whole


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_source_that_vanished_is_an_error_and_deletes_nothing_unless_said(docs, place, sync, tmp_path, what):
    gone = docs if what == "folder" else docs / "병가.txt"
    sync(docs)
    gone.rename(tmp_path / "옮김")
    with pytest.raises(DatasetUnavailable, match="--prune"):
        sync(gone)
    assert len(contents(place)) == 3
    assert sync(gone, prune=True).deleted == (3 if what == "folder" else 1)


def test_a_folder_that_is_empty_all_at_once_is_an_error_unless_said(docs, place, sync):
    sync(docs)
    shutil.rmtree(docs / "휴가")
    (docs / "병가.txt").unlink()
    (docs / "출장.txt").rename(docs / ".출장.txt")
    with pytest.raises(EmptyCorpus, match="3 of it are in the index"):
        sync(docs)
    assert len(contents(place)) == 3
    assert counts(sync(docs, prune=True)) == (0, 0, 0, 3, 0)
    assert contents(place) == {}


def test_nothing_to_index_is_an_error_before_anything_is_made(tmp_path, place, sync):
    empty = _write(tmp_path / "빈 곳", {"그림.png": "x", ".숨김.txt": "x"})
    with pytest.raises(EmptyCorpus, match="1 hidden ones and 1 of other kinds"):
        sync(empty)
    assert not place.exists()


def test_a_bad_file_does_not_stop_the_others_and_is_told_with_its_reason(docs, place, sync):
    (docs / "깨짐.pdf").write_bytes(b"%PDF-1.4 broken")
    (docs / "일본.txt").write_bytes("有給休暇は十五日使える。".encode("shift_jis"))
    (docs / "묶음.zip").write_bytes(b"PK")
    report = sync(docs)
    assert counts(report) == (3, 0, 0, 0, 3)
    reasons = {refusal.path.name: refusal.reason for refusal in report.failed}
    assert set(reasons) == {"깨짐.pdf", "일본.txt", "묶음.zip"}
    assert "damaged" in reasons["깨짐.pdf"]
    assert "UTF-8" in reasons["일본.txt"]
    assert texts(place) == sorted([LEAVE, SICK, TRIP])


def test_what_was_indexed_of_a_file_stays_while_it_cannot_be_read(docs, place, sync):
    sync(docs)
    (docs / "병가.txt").write_bytes(b"\0")
    (docs / "출장.txt").write_bytes(b"x" * 1_000_001)
    report = sync(docs, max_mb=1)
    assert counts(report) == (0, 0, 1, 0, 2)
    assert texts(place) == sorted([LEAVE, SICK, TRIP])


def test_a_text_that_the_model_makes_no_vector_of_spoils_no_other(docs, place, sync, make_embedding):
    class Zero(make_embedding):
        def _get_text_embedding(self, text):
            return [0.0] * 8 if "진단서" in text else [1.0] * 8

    report = sync(docs, model=Zero())
    assert counts(report) == (2, 0, 0, 0, 1)
    assert report.failed[0].path.name == "병가.txt"
    assert "zeros" in report.failed[0].reason
    assert texts(place) == sorted([LEAVE, TRIP])


def test_the_folder_of_the_index_is_not_read(docs, place, sync):
    inside = docs / "모음" / "index"
    _write(docs / "모음", {"모형.txt": "읽지 말 것"})
    assert sync(docs, folder=inside, leave_out=docs / "모음").added == 3
    assert sync(docs, folder=inside, leave_out=docs / "모음").unchanged == 3


def test_two_folders_that_overlap_give_each_file_once(docs, place, sync):
    assert sync(docs, docs / "휴가").added == 3
    assert contents(place)["../../문서/휴가/연차.md:0"][0].metadata.count("휴가/연차.md") == 1


def test_index_and_files_may_be_moved_together(docs, place, sync, tmp_path):
    sync(docs)
    moved = tmp_path / "이사"
    moved.mkdir()
    docs.rename(moved / "문서")
    place.parent.rename(moved / "모음")
    assert counts(sync(moved / "문서", folder=moved / "모음" / "index")) == (0, 0, 3, 0, 0)


def test_another_model_is_refused_before_anything_is_done(docs, sync, make_embedding):
    sync(docs)
    with pytest.raises(ModelMismatch):
        sync(docs, model=make_embedding(model_name="다른 모형"))


def test_an_index_is_begun_again_where_that_is_said(docs, place, sync, make_embedding):
    sync(docs)
    (docs / "병가.txt").unlink()
    other = make_embedding(model_name="다른 모형", dimension=16)
    with pytest.raises(IndexExists):
        create_empty_index(place, embed_model=other)
    assert counts(sync(docs, model=other, reset=True)) == (2, 0, 0, 0, 0)
    assert texts(place) == sorted([LEAVE, TRIP])


def test_a_missing_library_is_told_before_any_work_and_only_where_it_is_needed(docs, place, sync, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    assert sync(docs).added == 3
    (docs / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(MissingExtra, match=r"\[documents\]"):
        sync(docs)


def test_other_settings_of_the_splitter_index_everything_again(docs, sync, monkeypatch):
    sync(docs)
    monkeypatch.setattr("llama_index_ko_rerank.text.splitter.DEFAULT_CHUNK_TOKENS", 64)
    assert counts(sync(docs)) == (0, 3, 0, 0, 0)


def test_progress_counts_files_and_bytes(docs, sync):
    seen = []
    (docs / "깨짐.txt").write_bytes(b"\0")
    sync(docs, on_progress=lambda report: seen.append((report.files_done, report.bytes_done)))
    assert [files for files, _ in seen] == [1, 2, 3, 4]
    assert seen[-1][1] == sum(path.stat().st_size for path in docs.rglob("*") if path.is_file())


def test_a_full_disk_stops_the_run_and_keeps_what_was_done(docs, place, sync, monkeypatch):
    _write(docs, {f"{number}.txt": f"{number}번 글이다. " * 60 for number in range(20)})
    real = IndexFolder.add
    added = []

    def fill_up(self, nodes):
        added.append(nodes)
        if len(added) > 5:
            raise DiskFull("no space")
        real(self, nodes)

    monkeypatch.setattr("llama_index_ko_rerank.ingest.sync._NODES_AT_ONCE", 1)
    monkeypatch.setattr(IndexFolder, "add", fill_up)
    with pytest.raises(DiskFull):
        sync(docs)
    monkeypatch.undo()
    assert len({row.ref_doc_id for row, _ in contents(place).values()}) == 5
    assert counts(sync(docs)) == (18, 0, 5, 0, 0)


def test_a_model_that_counts_tokens_is_read_for_from_threads_with_the_same_outcome(docs, place, sync, make_embedding):
    class Counting(make_embedding):
        def token_count(self, text):
            return len(text.split())

    _write(docs, {f"{number}.txt": f"{number}번 손님은 강가를 걸었다. " * 80 for number in range(30)})
    model = Counting()
    assert sync(docs, model=model).added == 33
    first = contents(place)
    assert list(first) == sorted(
        first, key=lambda node_id: (node_id.rsplit(":", 1)[0].split("/"), int(node_id.rsplit(":", 1)[1]))
    )
    other = place.with_name("again")
    sync(docs, model=model, folder=other)
    assert contents(other) == first


NAMES = st.sampled_from(["가.txt", "나.md", "다/라.html", "다/마.txt"])
TEXTS = st.sampled_from([LEAVE, SICK, f"# 제목\n{TRIP}", f"# 하나\n{LEAVE}\n## 둘\n{SICK}", f"{LEAVE}\n" * 30, "<p>글"])
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, TEXTS),
    st.tuples(st.just("delete"), NAMES, st.just("")),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("sync"), st.just(""), st.just("")),
)


@given(steps=st.lists(STEPS, min_size=4, max_size=14))
@settings(max_examples=25, deadline=None)
def test_an_index_that_followed_every_change_equals_one_built_at_the_end(tmp_path_factory, steps):
    base = tmp_path_factory.mktemp("sync")
    docs = _write(base / "문서", {"늘 있음.txt": TRIP})
    model = SlowEmbedding()

    def sync(folder):
        plan = plan_sync(folder, [docs], embed_model=model)
        if not plan.exists:
            create_empty_index(folder, embed_model=model)
        report = run_sync(plan, embed_model=model)
        assert not report.failed

    for act, name, other in steps:
        if act == "write":
            _write(docs, {name: other})
        elif act == "sync":
            sync(base / "따라감")
        elif (docs / name).exists():
            if act == "delete":
                (docs / name).unlink()
            else:
                (docs / other).parent.mkdir(exist_ok=True)
                (docs / name).replace(docs / other)
    sync(base / "따라감")
    sync(base / "새로")
    assert contents(base / "따라감") == contents(base / "새로")


@pytest.mark.slow
def test_after_kill_9_what_was_done_is_kept_and_the_next_run_does_the_rest(tmp_path):
    docs = _write(tmp_path / "문서", {f"{number:03}.txt": f"{number}번째 글이다. {LEAVE}" * 30 for number in range(40)})
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("sync_process.py")), str(tmp_path / "index"), str(docs)],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = iter(process.stdout.readline, "")
    done = next(int(line) for line in lines if int(line) >= 5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    model = SlowEmbedding()
    model.embedded.clear()
    plan = plan_sync(tmp_path / "index", [docs], embed_model=model)
    assert done <= plan.unchanged < 40
    report = run_sync(plan, embed_model=model)
    assert report.added == 40 - plan.unchanged
    assert len(model.embedded) == report.chunks
    create_empty_index(tmp_path / "fresh", embed_model=model)
    run_sync(plan_sync(tmp_path / "fresh", [docs], embed_model=model), embed_model=model)
    assert contents(tmp_path / "index") == contents(tmp_path / "fresh")


def test_what_was_synchronised_is_searched(docs, place, sync, embed_model):
    sync(docs)
    with DurableFaissVectorStore(place, create=False) as store:
        query = VectorStoreQuery(query_embedding=embed_model.get_query_embedding(TRIP), similarity_top_k=1)
        assert store.query(query).nodes[0].text == TRIP
