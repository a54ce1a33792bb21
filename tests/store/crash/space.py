"""Writers that run out of disk space, in four ways, and what the next opening finds."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PAGES_WITHOUT_LIMIT = 2**30
DISK_BYTES = 24 * 2**20
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000


class SmallDisk:
    """A real file system in memory that is filled up: the kernel's own ENOSPC, at any byte of any file.

    The process mounts it for itself alone, in user and mount namespaces of its own. Not every system allows that.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self._disk = folder.parent / f"{folder.name}-disk"
        self._disk.mkdir(parents=True)
        self._real = folder
        mount_small_disk(self._disk)
        self.folder = self._disk / "index"
        self._ballast = self._disk / "ballast"

    def arm(self) -> None:
        """Leave a few KiB free, or nothing."""
        state = os.statvfs(self._disk)
        free = state.f_bavail * state.f_frsize
        with self._ballast.open("wb") as file:
            file.write(bytes(max(0, free - self._chance.choice([0, 0, 4, 16, 40, 100]) * 1024)))

    def relieve(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)

    def leave(self) -> None:
        """Copy the files out as they are, for the disk goes with the process."""
        shutil.copytree(self.folder, self._real)


class FileLimit:
    """No file may grow past a limit (``RLIMIT_FSIZE``): the kernel writes up to it, then says EFBIG."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self._chance = chance
        self._unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def arm(self) -> None:
        """Set the limit somewhere below or a little above the largest file."""
        largest = max(file.stat().st_size for file in self.folder.iterdir())
        limit = self._chance.randint(0, largest + 64 * 1024)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, self._unlimited[1]))

    def relieve(self) -> None:
        """Lift the limit."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._unlimited)

    def leave(self) -> None:
        """Leave the files where they are."""


class PageLimit:
    """The table may grow by a few pages only (``PRAGMA max_page_count``): SQLite's own SQLITE_FULL."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self._chance = chance
        self._connections: list[sqlite3.Connection] = []
        self._spare: int | None = None
        connect = sqlite3.connect

        def connect_with_limit(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            self._connections.append(connection)
            self._limit(connection)
            return connection

        sqlite3.connect = connect_with_limit

    def arm(self) -> None:
        """Let the table grow by a page of 64 KiB at most, whichever connection writes."""
        self._spare = self._chance.choice([0, 0, 1])
        for connection in self._connections:
            self._limit(connection)

    def relieve(self) -> None:
        """Lift the limit."""
        self._spare = None
        for connection in self._connections:
            self._limit(connection)

    def leave(self) -> None:
        """Leave the files where they are."""

    def _limit(self, connection: sqlite3.Connection) -> None:
        # Connections that were closed in the meantime need no limit.
        with suppress(sqlite3.ProgrammingError):
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            limit = PAGES_WITHOUT_LIMIT if self._spare is None else pages + self._spare
            connection.execute(f"PRAGMA max_page_count={limit}").fetchone()


class SyncLimit:
    """``fsync`` says ENOSPC, as where a file system gives out blocks late; it concerns snapshots only."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self._sync = os.fsync
        self._chance = chance

    def arm(self) -> None:
        """Let two of three calls fail."""

        def fail(descriptor: int) -> None:
            if self._chance.random() < 2 / 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._sync(descriptor)

        os.fsync = fail

    def relieve(self) -> None:
        """Let all calls through."""
        os.fsync = self._sync

    def leave(self) -> None:
        """Leave the files where they are."""


SHORTAGES: dict[str, Callable[[Path, random.Random], Any]] = {
    "small disk": SmallDisk,
    "file limit": FileLimit,
    "page limit": PageLimit,
    "sync limit": SyncLimit,
}


def mount_small_disk(target: Path, size: int = DISK_BYTES) -> None:
    """Mount a file system in memory that only this process and its children see.

    Raises:
        OSError: The system does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "no namespaces for this user")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    if libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "no file system can be mounted")
