"""Which files of a folder are read, and which are not, and why."""

from __future__ import annotations

import os

import pytest

from llama_index_ko_rerank.ingest.documents import find_documents

MEGABYTE = 1_000_000


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "문서함"
    path.mkdir()
    return path


def fill(folder, *names, text="글"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def names(found):
    return [file.name for file in found.files]


def reasons(found, folder):
    return {os.path.relpath(refusal.path, folder): refusal.reason for refusal in found.refused}


def find(folder, **options):
    return find_documents(folder, max_bytes=MEGABYTE, **options)


def test_files_come_in_order_with_their_path_below_the_folder(folder):
    fill(folder, "나.md", "가.txt", "휴가/연차.MD", "휴가/가/깊은 곳.html")
    found = find(folder)
    assert names(found) == ["가.txt", "나.md", "휴가/연차.MD", "휴가/가/깊은 곳.html"]
    assert {file.path for file in found.files} == {path for path in folder.rglob("*") if path.is_file()}
    assert {file.size for file in found.files} == {3}


def test_one_named_file_is_its_own_root(folder):
    fill(folder, "휴가/연차.md")
    assert names(find(folder / "휴가" / "연차.md")) == ["연차.md"]


def test_hidden_files_and_folders_and_the_collection_are_counted(folder):
    fill(folder, ".git/config.md", ".비밀.txt", "~$규정.docx", "모음/index/a.md", "가.txt")
    found = find(folder, leave_out=folder / "모음")
    assert (names(found), found.hidden) == (["가.txt"], 4)


def test_other_kinds_are_counted_by_suffix(folder):
    fill(folder, "a.png", "b.PNG", "c.exe", "Makefile", "가.txt")
    found = find(folder)
    assert (names(found), dict(found.unsupported_suffixes)) == (["가.txt"], {".png": 2, ".exe": 1, "Makefile": 1})


def test_a_named_file_of_another_kind_is_refused(folder):
    fill(folder, "a.png")
    assert reasons(find(folder / "a.png"), folder) == {"a.png": "is of a kind that is not read"}


def test_links_out_of_the_folder_are_refused_and_links_inside_are_counted(folder, tmp_path):
    fill(tmp_path, "밖/비밀.txt", "문서함 2/비밀.txt")
    fill(folder, "가.txt", "안/나.txt")
    (folder / "밖으로.txt").symlink_to(tmp_path / "밖" / "비밀.txt")
    (folder / "밖 폴더").symlink_to(tmp_path / "밖")
    (folder / "이웃").symlink_to(tmp_path / "문서함 2")
    (folder / "없는 곳.txt").symlink_to("없다.txt")
    (folder / "안쪽.txt").symlink_to("가.txt")
    (folder / "안" / "위로").symlink_to("..")
    (folder / "저절로").symlink_to("저절로")
    found = find(folder)
    assert names(found) == ["가.txt", "안/나.txt"]
    assert found.internal_symlinks == 2
    assert set(reasons(found, folder)) == {"밖으로.txt", "밖 폴더", "이웃", "없는 곳.txt", "저절로"}
    assert all("leads out of the folder" in reason for reason in reasons(found, folder).values())


def test_a_folder_that_is_itself_named_by_a_link_is_read(folder, tmp_path):
    fill(folder, "가.txt")
    (tmp_path / "지름길").symlink_to(folder)
    assert [file.path for file in find(tmp_path / "지름길").files] == [folder / "가.txt"]


def test_archives_older_kinds_and_large_files_are_refused_with_what_to_do(folder):
    fill(folder, "a.zip", "b.tar.gz", "옛.hwp", "옛.doc")
    fill(folder, "큰.txt", text="x" * (MEGABYTE + 1))
    fill(folder, "딱.txt", text="x" * MEGABYTE)
    found = find(folder)
    assert names(found) == ["딱.txt"]
    assert reasons(found, folder) == {
        "a.zip": "is an archive; unpack it",
        "b.tar.gz": "is an archive; unpack it",
        "옛.hwp": "is of an older kind; save it as .hwpx",
        "옛.doc": "is of an older kind; save it as .docx",
        "큰.txt": "has 1.0 MB, and at most 1 MB are read; raise --max-mb",
    }


def test_what_is_no_regular_file_is_refused_and_never_opened(folder):
    os.mkfifo(folder / "관.txt")
    assert reasons(find(folder), folder) == {"관.txt": "is no regular file"}


def test_a_name_that_is_no_unicode_is_refused(folder):
    name = os.fsencode(folder) + b"/\xb1\xd4\xc1\xa4.txt"
    with open(name, "wb") as file:  # noqa: PTH123  # a name of bytes
        file.write(b"x")
    (refusal,) = find(folder).refused
    assert "no Unicode" in refusal.reason


def test_a_folder_that_cannot_be_opened_is_refused(folder, monkeypatch):
    fill(folder, "가.txt", "닫힌/나.txt")
    real = os.scandir

    def closed(path):
        if str(path).endswith("닫힌"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = find(folder)
    assert (names(found), reasons(found, folder)) == (["가.txt"], {"닫힌": "cannot be opened (Permission denied)"})


def test_an_empty_folder_holds_nothing(folder):
    found = find(folder)
    assert (found.files, found.refused, found.hidden) == ([], [], 0)
