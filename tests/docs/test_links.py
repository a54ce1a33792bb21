"""Every link between files of the repository leads somewhere, and every page is linked."""

import json
import re

import pytest

from tests.docs.docs_reading import ROOT, anchors, broken, links, markdown_files

PAGES = markdown_files()


def test_there_are_pages_to_check():
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "README.ko.md", "docs/README.md", "docs/store.md", "examples/README.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_and_headings_lead_somewhere(page):
    assert broken(page) == []


def test_a_link_to_nothing_is_found(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `a_b` thing\n## Two, too\n## Two, too\n[a](other.md) [b](#two-too-1) [c](#three) [d](https://x.invalid)\n"
        "`[e](gone.md)` [`f`](gone.py)\n```\n[g](gone.md)\n```\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("tests.docs.docs_reading.ROOT", tmp_path)
    assert anchors(page) == {"one-a_b-thing", "two-too", "two-too-1"}
    assert broken(page) == ["other.md", "#three", "gone.py"]


def test_every_page_of_the_docs_is_in_their_list():
    listed = set(links((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= listed


def test_the_sections_that_the_book_page_names_are_in_the_notebooks():
    text = (ROOT / "docs" / "book.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(\.\./notebooks/([\w.]+\.ipynb)\)((?: §\d+)*)", text)
    assert len(named) > 15
    for name, sections in named:
        cells = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
        headings = [line for cell in cells for line in "".join(cell["source"]).splitlines() if line.startswith("## ")]
        for section in re.findall(r"\d+", sections):
            assert any(heading.startswith(f"## {section}. ") for heading in headings), (name, section, headings)
