"""Finished steps are kept, others are done again, and a folder that is something else is left alone."""

from __future__ import annotations

import pytest

from llama_index_ko_rerank.adapt.step_cache import CACHE_FOLDER, check_out, open_step_cache
from llama_index_ko_rerank.errors import IndexBusy, InvalidSetting


def _counting(folder):
    calls = len(list(folder.glob("call-*")))
    (folder / f"call-{calls}").touch()
    return {"calls": calls + 1}


def test_a_step_with_the_same_inputs_is_done_once(tmp_path):
    messages = []
    with open_step_cache(tmp_path, messages.append) as cache:
        folder, first = cache.step("words", {"seed": 0}, _counting)
        again, second = cache.step("words", {"seed": 0}, lambda _: pytest.fail("done twice"))
    assert (folder, first) == (again, second)
    assert messages == ["words: done before, kept"]


def test_a_changed_input_has_the_step_done_again_and_is_named(tmp_path):
    messages = []
    with open_step_cache(tmp_path, messages.append) as cache:
        cache.step("words", {"seed": 0, "documents": "a"}, _counting)
        folder, result = cache.step("words", {"seed": 0, "documents": "b"}, _counting)
    assert result == {"calls": 1}  # nothing of the first one is left
    assert [path.name for path in folder.glob("call-*")] == ["call-0"]
    assert messages == ["words: made again, for there is a change in: documents"]


def test_an_interrupted_step_is_not_there_and_finds_its_files_again(tmp_path):
    def broken(folder):
        (folder / "checkpoint").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with open_step_cache(tmp_path, lambda _: None) as cache:
        with pytest.raises(KeyboardInterrupt):
            cache.step("embedding", {"seed": 0}, broken)
        assert not (tmp_path / CACHE_FOLDER / "embedding").exists()
        _, result = cache.step("embedding", {"seed": 0}, lambda f: {"found": (f / "checkpoint").read_text("utf-8")})
    assert result == {"found": "half"}


def test_files_of_an_attempt_with_other_inputs_are_not_found(tmp_path):
    def broken(folder):
        (folder / "checkpoint").touch()
        raise KeyboardInterrupt

    with open_step_cache(tmp_path, lambda _: None) as cache:
        with pytest.raises(KeyboardInterrupt):
            cache.step("embedding", {"seed": 0}, broken)
        _, result = cache.step("embedding", {"seed": 1}, lambda f: {"found": (f / "checkpoint").exists()})
    assert result == {"found": False}


def test_two_adaptations_never_share_a_folder(tmp_path):
    with (
        open_step_cache(tmp_path, lambda _: None),
        pytest.raises(IndexBusy, match="another process"),
        open_step_cache(tmp_path, lambda _: None),
    ):
        pass


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "ko-rerank.json").touch()
    with pytest.raises(InvalidSetting, match=r"ko-rerank\.json"):
        check_out(tmp_path)
    with pytest.raises(InvalidSetting, match="is a file"):
        check_out(tmp_path / "ko-rerank.json")
    check_out(tmp_path / "new")
