"""The documents of a folder: which files are read, and which are not, and why."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llama_index_ko_rerank.ingest.documents.read import kind_of, too_large

_ARCHIVES = frozenset([".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".egg", ".alz", ".jar"])
_OLDER_KINDS = {".hwp": ".hwpx", ".doc": ".docx"}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is to be read.

    Attributes:
        path: Absolute, without symbolic links.
        name: Its path below the folder that was searched, with ``/``.
        size: In bytes.
    """

    path: Path
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder that is not read.

    Attributes:
        path: Absolute, as it was found.
        reason: What a sentence says of it that begins with its name.
    """

    path: Path
    reason: str


@dataclass(slots=True)
class FoundDocuments:
    """What a folder holds.

    Attributes:
        files: What is to be read, in order of name.
        refused: What a user would expect to be read and is not.
        hidden: How many files and folders were passed over for a name that begins with ``.`` or ``~$``, or for being
            the collection itself.
        internal_symlinks: How many symbolic links were passed over that lead to something in the folder.
        unsupported_suffixes: How many files of each other suffix were passed over.
    """

    files: list[FoundFile] = field(default_factory=list)
    refused: list[SkippedFile] = field(default_factory=list)
    hidden: int = 0
    internal_symlinks: int = 0
    unsupported_suffixes: Counter[str] = field(default_factory=Counter)


def find_documents(root: Path, *, max_bytes: int, leave_out: Path | None = None) -> FoundDocuments:
    """List the documents in a folder and the folders below it, or the one file that is named.

    Symbolic links that lead out of the folder, archives, files over `max_bytes`, and what is no regular file are
    refused. A link that is itself named as the folder is followed.

    Args:
        root: A folder or a file that is there.
        max_bytes: The largest file that is read.
        leave_out: A folder that is passed over, such as the collection that is being made.
    """
    found = FoundDocuments()
    root = root.resolve()
    left_out = leave_out.resolve() if leave_out else None
    for path in [root] if not root.is_dir() else _walk(root, left_out, found):
        _sort(path, root, max_bytes, found)
    return found


def _walk(root: Path, left_out: Path | None, found: FoundDocuments) -> Iterator[Path]:
    """Yield what is not hidden, in order of name, going into folders and not into links."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            found.refused.append(SkippedFile(folder, f"cannot be opened ({error.strerror or error})"))
            continue
        below = []
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith((".", "~$")) or path == left_out:
                found.hidden += 1
            elif entry.is_dir(follow_symlinks=False):
                below.append(path)
            else:
                yield path
        waiting += reversed(below)


def _sort(path: Path, root: Path, max_bytes: int, found: FoundDocuments) -> None:
    """Put a path where it belongs."""
    if path.is_symlink() and _leads_inside(path, root):
        found.internal_symlinks += 1
        return
    suffix = path.suffix.lower()
    is_expected = path == root or path.is_symlink() or suffix in _ARCHIVES or suffix in _OLDER_KINDS
    if not is_expected and kind_of(path) is None:
        found.unsupported_suffixes[suffix or path.name] += 1
        return
    reason, size = _why_not(path, max_bytes)
    if reason:
        found.refused.append(SkippedFile(path, reason))
    else:
        name = path.name if path == root else path.relative_to(root).as_posix()
        found.files.append(FoundFile(path, name, size))


def _leads_inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _why_not(path: Path, max_bytes: int) -> tuple[str, int]:
    """Say why a path is not read, or nothing; and how large it is."""
    suffix = path.suffix.lower()
    try:
        state = path.lstat()
    except OSError as error:
        return f"cannot be opened ({error.strerror or error})", 0
    checks = {
        "is a symbolic link that leads out of the folder, or nowhere": path.is_symlink(),
        "is no regular file": not path.is_symlink() and not stat.S_ISREG(state.st_mode),
        "has a name that is no Unicode; rename it": not _is_unicode(path),
        "is an archive; unpack it": suffix in _ARCHIVES,
        f"is of an older kind; save it as {_OLDER_KINDS.get(suffix)}": suffix in _OLDER_KINDS,
        "is of a kind that is not read": kind_of(path) is None,
        too_large(state.st_size, max_bytes): state.st_size > max_bytes,
    }
    return next((reason for reason, applies in checks.items() if applies), ""), state.st_size


def _is_unicode(path: Path) -> bool:
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
