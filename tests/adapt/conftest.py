from __future__ import annotations

import pytest

from llama_index_ko_rerank.adapt import AdaptSettings
from llama_index_ko_rerank.data import load_dataset

TINY = AdaptSettings(steps=2, random_index_dimensions=16, questions_per_passage=4, passages_per_step=32)


def write_documents(folder, *, files, passages):
    """Write Markdown files of the sample, several passages in each."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = load_dataset("sample", "train").passages[:passages]
    for number in range(files):
        parts = [f"# {passage.title}\n\n{passage.text}" for passage in chosen[number::files]]
        (folder / f"문서 {number:02}.md").write_text("\n\n".join(parts), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def documents(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("자료") / "문서", files=20, passages=60)


@pytest.fixture(scope="session")
def tiny():
    return TINY
