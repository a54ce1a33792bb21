"""The folder that a model is trained into: checkpoints while it learns, a whole model or none at the end."""

from __future__ import annotations

import errno
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llama_index_ko_rerank.errors import DiskFull, InvalidSetting

CHECKPOINTS = "checkpoints"
_RUN_FILE = "run.json"
_TRAINER_STATE = "trainer_state.json"
_MODEL_FILES = ("modules.json", "config.json", "model.safetensors")
# What a folder with a model may hold and still be replaced as a whole.
_OF_A_MODEL = re.compile(
    r"README\.md|LICENSE|\.gitattributes|checkpoints|\d+_\w+|.+\.(json|safetensors|txt|model|jinja)"
)


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """Where a run writes; made by `prepare`.

    Attributes:
        path: The folder that will hold the model.
        resumes: Whether the run goes on from a checkpoint, where there is one.
    """

    path: Path
    resumes: bool

    @classmethod
    def prepare(cls, path: str | Path, *, overwrite: bool, resume: bool, writes: bool = True) -> OutputFolder:
        """Check that a run may write here, and make the folder; nothing in it is changed yet.

        Args:
            path: The folder.
            overwrite: Whether what is there may be replaced.
            resume: Whether the run goes on from checkpoints.
            writes: False to look only, and make nothing.

        Raises:
            InvalidSetting: The folder holds something that the run would replace, or cannot be written.
        """
        folder = Path(path).expanduser().resolve()
        try:
            entries = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
            refusal = _refusal(entries, overwrite=overwrite, resume=resume)
            if refusal:
                raise InvalidSetting(f"output_dir {str(folder)!r} {refusal}")
            if writes:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder), tempfile.TemporaryDirectory(dir=folder.parent):
                    pass
        except OSError as error:
            raise InvalidSetting(f"output_dir {str(folder)!r} cannot be written: {error}") from error
        if folder.is_mount():
            raise InvalidSetting(f"output_dir {str(folder)!r} is a mount point; pass a folder inside it")
        return cls(folder, resume)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are kept while the model learns; nothing that loads a model looks there."""
        return self.path / CHECKPOINTS

    def begin(self, run: Mapping[str, object]) -> Path | None:
        """Start a run, or find where to go on.

        Args:
            run: What decides the weights, in JSON types; a run that is resumed must have had the same.

        Returns:
            The newest whole checkpoint where the run is resumed and has one; None to start at step 0.

        Raises:
            InvalidSetting: The checkpoints are of a run with other settings or data.
        """
        run_file = self.checkpoints / _RUN_FILE
        earlier = _read_json(run_file) if self.resumes else None
        if earlier is not None:
            _check_same_run(earlier, run, self.checkpoints)
            return newest_checkpoint(self.checkpoints)
        run_file.unlink(missing_ok=True)  # first, so that checkpoints removed by half belong to no run
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)
        self.checkpoints.mkdir(parents=True)
        run_file.write_text(json.dumps(run, ensure_ascii=False, indent=2), encoding="utf-8")
        return None

    def publish(self, write: Callable[[Path], None], *, keep_checkpoints: bool) -> None:
        """Have the model written beside the folder, and put it in the folder's place when it is whole.

        A process that is killed meanwhile leaves the folder as it was or as it should be, or, between two renames, none
        and both in a hidden folder beside it; never half a model.
        """
        with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=f".{self.path.name}.") as beside:
            model, old = Path(beside) / "model", Path(beside) / "old"
            model.mkdir()
            write(model)
            if keep_checkpoints:
                shutil.copytree(self.checkpoints, model / CHECKPOINTS)
            try:
                self.path.rename(old)
                model.rename(self.path)
            finally:  # whatever came between, Ctrl-C too: the folder is there, as it was or as it should be
                if not self.path.exists():
                    old.rename(self.path)


def newest_checkpoint(folder: Path) -> Path | None:
    """Find the newest checkpoint that was written to its end; the trainer writes its state last."""
    whole = [path for path in folder.glob("checkpoint-*") if _read_json(path / _TRAINER_STATE) is not None]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where there is none, or where it was cut off while being written."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _refusal(entries: set[str], *, overwrite: bool, resume: bool) -> str | None:
    """Return why a folder with these entries may not be trained into; None where it may."""
    holds_model = any(name in entries for name in _MODEL_FILES)
    holds_checkpoints = CHECKPOINTS in entries
    foreign = sorted(entries if not (holds_model or holds_checkpoints) else filter(_is_foreign, entries))
    if foreign:
        return f"holds other files than a model ({', '.join(foreign[:3])}), which would be lost; pass another folder"
    if holds_model and not overwrite:
        return "holds a model; pass overwrite=True to replace it, or another folder"
    if holds_checkpoints and not (overwrite or resume):
        return (
            "holds checkpoints of a run that did not end; pass resume=True to go on, or overwrite=True to begin again"
        )
    return None


def _is_foreign(name: str) -> bool:
    return _OF_A_MODEL.fullmatch(name) is None


def _check_same_run(earlier: Mapping[str, object], run: Mapping[str, object], checkpoints: Path) -> None:
    now = json.loads(json.dumps(run))
    changed = [
        f"{name}={earlier.get(name)!r} then, {value!r} now" for name, value in now.items() if earlier.get(name) != value
    ]
    if changed:
        raise InvalidSetting(
            f"{str(checkpoints)!r} belongs to another run ({'; '.join(changed)}): resume with the same settings and "
            "data, or pass overwrite=True without resume to begin again"
        )


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def raise_disk_full(folder: Path, advice: str) -> Iterator[None]:
    """Turn what the libraries raise for want of room into one error that names the folder.

    torch writes checkpoints and raises a RuntimeError of its archive writer; safetensors raises its own error with the
    system's number in its text; the rest is an OSError.

    Raises:
        DiskFull: There was no room.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_no_room(error):
            raise
        raise DiskFull(
            f"there is no room to write in {str(folder)!r} ({str(error).splitlines()[0]}); {advice}"
        ) from error


def _is_no_room(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _NO_ROOM
    text = str(error)
    return any(f"(os error {number})" in text for number in _NO_ROOM) or "PytorchStreamWriter failed writing" in text
