"""A disk that is full again and again: a small file system in memory, and a file that takes all that is left of it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos_servers import CALM, Server

#: Seconds for which the disk is full.
FULL = (2.0, 25.0)
#: Seconds after which a server that the full disk has ended is started again, as a supervisor does.
_STARTED_AGAIN_EVERY = 1.0


def in_own_mounts(command: Sequence[str]) -> list[str]:
    """
    Return a command so that it may mount file systems which nobody else sees, and which are gone when it ends.

    :raises FileNotFoundError: ``unshare`` of util-linux is missing.
    """
    if shutil.which("unshare") is None:
        raise FileNotFoundError("a full disk needs Linux and unshare, which util-linux has")
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", *own_user, "--mount", *command]


def mount_memory(folder: Path, megabytes: int) -> None:
    """Mount a file system of this size; only within :func:`in_own_mounts`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "chaos", str(folder)], check=True)


@dataclass
class FullDisk:
    """
    Fills a disk again and again.

    :param folder: A folder on that disk.
    :param chance: Draws the instants.
    :param server: The database server whose data are on the disk, None if it is a file.
    :param calm: Seconds for which there is room, at least and at most.
    :param full: Seconds for which there is none.
    :param free: Returns how many bytes are left.
    """

    folder: Path
    chance: random.Random
    server: Server | None = None
    calm: tuple[float, float] = CALM
    full: tuple[float, float] = FULL
    free: Callable[[Path], int] | None = None
    fillings: int = 0
    deaths: int = 0
    _until: float = 0.0
    _is_full: bool = False
    _start_at: float | None = None

    def __post_init__(self) -> None:
        """Draw the first instant."""
        self._until = time.monotonic() + self.chance.uniform(*self.calm)

    def tick(self, now: float) -> None:
        """Do what is due: fill the disk, keep it full, make room, start a server again that has ended."""
        if now >= self._until:
            self._is_full = not self._is_full
            self._until = now + self.chance.uniform(*(self.full if self._is_full else self.calm))
            self.fillings += self._is_full
            if not self._is_full:
                self._make_room()
        if self._is_full:
            self._fill()
        if self.server is not None and not self.server.is_running():
            if self._start_at is None:
                self.deaths += 1
                self._start_at = now + _STARTED_AGAIN_EVERY
            elif now >= self._start_at:
                self.server.start()
                self._start_at = None

    def end(self) -> None:
        """Let there be room from now on."""
        self._is_full, self._until = False, float("inf")
        self._make_room()
        if self.server is not None:
            self.server.wait_until_ready()

    def done(self) -> dict[str, int]:
        """Return what was done, for the table."""
        return {"fillings": self.fillings, "deaths": self.deaths}

    @property
    def _file(self) -> Path:
        return self.folder / "filling"

    def _fill(self) -> None:
        """Take all that is left, to the last block: what others free in the meantime, too."""
        with self._file.open("ab") as file:
            step = self._left()
            while step >= _BLOCK:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
                except OSError:  # somebody else took some of it
                    step //= 2
                else:
                    step = self._left()

    def _left(self) -> int:
        if self.free is not None:
            return self.free(self.folder)
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def _make_room(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()


#: Bytes of a block.
_BLOCK = 4_096
