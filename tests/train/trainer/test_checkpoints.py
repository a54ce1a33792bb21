import json
from pathlib import Path

import pytest

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.trainer.checkpoints import CHECKPOINTS, OutputFolder, newest_checkpoint

RUN = {"recipe": "book-mrc", "seed": 1}


def _prepare(path, *, overwrite=False, resume=False):
    return OutputFolder.prepare(path, overwrite=overwrite, resume=resume)


def _checkpoint(folder, step, *, whole=True):
    checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    state = json.dumps({"global_step": step})
    (checkpoint / "trainer_state.json").write_text(state if whole else state[:5], encoding="utf-8")


def _model(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modules.json").write_text("[]", encoding="utf-8")


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    _prepare(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_with_a_model_is_kept_unless_it_may_be_overwritten(tmp_path):
    _model(tmp_path)

    with pytest.raises(InvalidSetting, match="holds a model; pass overwrite=True"):
        _prepare(tmp_path)
    with pytest.raises(InvalidSetting, match="holds a model"):
        _prepare(tmp_path, resume=True)
    _prepare(tmp_path, overwrite=True)
    assert (tmp_path / "modules.json").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_never_taken(tmp_path, overwrite):
    (tmp_path / "thesis.docx").write_text("…", encoding="utf-8")

    with pytest.raises(InvalidSetting, match=r"holds other files than a model \(thesis\.docx\)"):
        _prepare(tmp_path, overwrite=overwrite)


def test_other_files_beside_a_model_are_not_overwritten_with_it(tmp_path):
    _model(tmp_path)
    (tmp_path / "main.py").write_text("", encoding="utf-8")

    with pytest.raises(InvalidSetting, match=r"main\.py"):
        _prepare(tmp_path, overwrite=True)


def test_checkpoints_of_a_broken_run_ask_whether_to_go_on(tmp_path):
    _checkpoint(tmp_path, 5)

    with pytest.raises(InvalidSetting, match="pass resume=True to go on"):
        _prepare(tmp_path)
    _prepare(tmp_path, resume=True)
    _prepare(tmp_path, overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused_at_the_door(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(InvalidSetting, match="cannot be written"):
        _prepare(tmp_path / "file" / "model")


def test_the_newest_whole_checkpoint_is_resumed_from(tmp_path):
    _checkpoint(tmp_path, 9)
    _checkpoint(tmp_path, 10)
    _checkpoint(tmp_path, 11, whole=False)

    assert newest_checkpoint(tmp_path / "checkpoints").name == "checkpoint-10"


def test_a_run_with_other_settings_is_not_resumed(tmp_path):
    _prepare(tmp_path).begin(RUN)

    with pytest.raises(InvalidSetting, match="seed=1 then, 2 now"):
        _prepare(tmp_path, resume=True).begin(RUN | {"seed": 2})


def test_the_same_run_is_resumed_and_one_without_a_checkpoint_begins_again(tmp_path):
    assert _prepare(tmp_path).begin(RUN) is None
    assert _prepare(tmp_path, resume=True).begin(RUN) is None
    _checkpoint(tmp_path, 3)

    assert _prepare(tmp_path, resume=True).begin(RUN).name == "checkpoint-3"


def test_beginning_again_leaves_no_old_checkpoint(tmp_path):
    _checkpoint(tmp_path, 3)

    assert _prepare(tmp_path, overwrite=True).begin(RUN) is None
    assert newest_checkpoint(tmp_path / "checkpoints") is None


def test_a_published_model_takes_the_folder_s_place_and_checkpoints_go(tmp_path):
    folder = tmp_path / "model"
    output = _prepare(folder)
    output.begin(RUN)

    output.publish(_model, keep_checkpoints=False)

    assert [path.name for path in folder.iterdir()] == ["modules.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_checkpoints_are_kept_on_request(tmp_path):
    output = _prepare(tmp_path / "model")
    output.begin(RUN)
    _checkpoint(tmp_path / "model", 4)

    output.publish(_model, keep_checkpoints=True)

    assert newest_checkpoint(tmp_path / "model" / "checkpoints").name == "checkpoint-4"


def test_a_model_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    folder = tmp_path / "model"
    _model(folder)
    output = _prepare(folder, overwrite=True)
    output.begin(RUN)

    def half(path):
        (path / "model.safetensors").write_bytes(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        output.publish(half, keep_checkpoints=False)

    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "modules.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


class _CtrlC:
    """Raises on a chosen rename of a path, before it or after it."""

    def __init__(self, monkeypatch, *, at, after):
        self.count, self.at, self.after, self.rename = 0, at, after, Path.rename
        monkeypatch.setattr(Path, "rename", lambda path, target: self(path, target))

    def __call__(self, path, target):
        self.count += 1
        if self.count == self.at and not self.after:
            raise KeyboardInterrupt
        moved = self.rename(path, target)
        if self.count == self.at:
            raise KeyboardInterrupt
        return moved


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_ctrl_c_at_either_rename_leaves_the_old_folder_or_the_new_one(monkeypatch, tmp_path, at, after):
    folder = tmp_path / "model"
    output = _prepare(folder)
    output.begin(RUN)
    _checkpoint(folder, 4)

    _CtrlC(monkeypatch, at=at, after=after)
    with pytest.raises(KeyboardInterrupt):
        output.publish(_model, keep_checkpoints=False)

    assert [path.name for path in folder.iterdir()] == (["modules.json"] if (at, after) == (2, True) else [CHECKPOINTS])
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_checkpoints_removed_by_half_belong_to_no_run(monkeypatch, tmp_path):
    _prepare(tmp_path).begin(RUN)
    _checkpoint(tmp_path, 3)

    def broken(folder):
        raise KeyboardInterrupt

    again = _prepare(tmp_path, overwrite=True)
    monkeypatch.setattr("shutil.rmtree", broken)
    with pytest.raises(KeyboardInterrupt):
        again.begin(RUN | {"seed": 2})
    monkeypatch.undo()

    assert _prepare(tmp_path, resume=True).begin(RUN) is None


def test_looking_only_makes_nothing(tmp_path):
    OutputFolder.prepare(tmp_path / "model", overwrite=False, resume=False, writes=False)

    assert not (tmp_path / "model").exists()
