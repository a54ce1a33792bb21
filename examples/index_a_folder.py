"""Index a folder of files, and keep the index up to date when the files change.

    python examples/index_a_folder.py

On the command line this is `ko-rerank index my_docs --source notes/`; here are the same steps in Python. They read txt,
md, html, pdf, docx and hwpx, and touch only what has changed since the last run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from llama_index_ko_rerank import HybridRetriever, KoreanBM25Retriever, KoreanEmbedding, build_query_engine, open_index
from llama_index_ko_rerank.ingest.sync import SyncReport, create_empty_index, plan_sync, run_sync

QUESTION = "텃밭 물은 언제 주나요?"
FILES = {
    "garden.md": "# 텃밭\n\n## 물 주기\n\n텃밭 물은 해 뜨기 전에 준다. 한낮에는 주지 않는다.\n\n"
    "## 거름\n\n거름은 봄과 가을에 한 번씩 낸다.\n",
    "tools.txt": "삽과 호미는 쓰고 나서 흙을 털어 창고 왼쪽 벽에 건다.\n예초기는 반장에게 열쇠를 받아 쓴다.\n",
    "meeting.html": "<h1>모임</h1><p>텃밭 모임은 매달 첫 토요일 아침 8시에 정자에서 연다.</p>",
}


def bring_up_to_date(index: Path, notes: Path, embed_model: KoreanEmbedding) -> SyncReport:
    """Make the index hold what the folder holds."""
    plan = plan_sync(index, [notes], embed_model=embed_model)  # looks, and changes nothing
    if not plan.exists:
        create_empty_index(index, embed_model=embed_model)
    return run_sync(plan, embed_model=embed_model)  # every document is one transaction: kill it, and run it again


def main() -> None:
    """Index three files, ask, change one, delete one, and ask again."""
    embed_model = KoreanEmbedding()
    with tempfile.TemporaryDirectory() as folder:
        notes, place = Path(folder) / "notes", Path(folder) / "index"
        notes.mkdir()
        for name, text in FILES.items():
            (notes / name).write_text(text, encoding="utf-8")

        report = bring_up_to_date(place, notes, embed_model)
        print(f"added {report.added}, changed {report.changed}, deleted {report.deleted}, unchanged {report.unchanged}")

        # The words and the vectors of one index; both follow it, so nothing below is made twice.
        index = open_index(place, embed_model=embed_model)
        words, meaning = KoreanBM25Retriever.from_index(index), index.as_retriever(similarity_top_k=10)
        engine = build_query_engine(HybridRetriever.from_defaults(words, meaning), sentences=1)
        print(engine.query(QUESTION))

        changed = FILES["garden.md"].replace("해 뜨기 전에", "저녁 7시 뒤에")
        (notes / "garden.md").write_text(changed, encoding="utf-8")
        (notes / "tools.txt").unlink()
        report = bring_up_to_date(place, notes, embed_model)
        print(
            f"\nadded {report.added}, changed {report.changed}, deleted {report.deleted}, unchanged {report.unchanged}"
        )
        print(engine.query(QUESTION))


if __name__ == "__main__":
    main()
