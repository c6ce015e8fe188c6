"""
The guard: a process that ends all processes of a local Airflow when its owner says so or is gone.

`processes.py` starts this file as a script, so it imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

GRACE_SECONDS = 2.0
#: The line by which the owner asks the guard to end everything.
END = "end\n"


def guard(home: Path) -> None:
    """
    Note processes read from standard input; once told to, or alone, end their families and remove the home.

    Each line has a process's number and the signal that asks it to end. Ends with exit code 1 if something is left.
    """
    endings: dict[psutil.Process, int] = {}
    for line in sys.stdin:
        if line == END:
            break
        pid, ending = map(int, line.split())
        with contextlib.suppress(psutil.NoSuchProcess):
            endings[psutil.Process(pid)] = ending
    family: set[psutil.Process] = set()
    for end in (_ask_to_end, _kill):
        family |= family_of(list(endings), home)  # the second time, whatever was started in the meantime counts as well
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process, endings)
        deadline = time.monotonic() + GRACE_SECONDS
        while (family := set(filter(is_alive, family))) and time.monotonic() < deadline:
            time.sleep(0.05)
    shutil.rmtree(home, ignore_errors=True)
    sys.exit(bool(family or home.exists()))


def _ask_to_end(process: psutil.Process, endings: Mapping[psutil.Process, int]) -> None:
    """Ask a process to end; one below a process with a signal of its own, as Postgres has, is left to that."""
    special = {leader.pid for leader, ending in endings.items() if ending != signal.SIGTERM}
    if special.isdisjoint(parent.pid for parent in process.parents()):
        process.send_signal(endings.get(process, signal.SIGTERM))


def _kill(process: psutil.Process, _: Mapping[psutil.Process, int]) -> None:
    process.kill()


def family_of(leaders: list[psutil.Process], home: Path | None = None) -> set[psutil.Process]:
    """
    Find all processes that these session leaders have brought about.

    A task is in a process group of its own but stays in the leader's session, also when its parent is gone; what a task
    has started in yet another session is found as a descendant. A leader whose owner died before it could name it is
    known by the folder in which it runs, the home or one in it, if that is told.
    """
    # A number that now belongs to another process is no longer ours; one that belongs to none may still name a session.
    sessions = {leader.pid for leader in leaders if leader.is_running() or not psutil.pid_exists(leader.pid)}
    family = set()
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in sessions or home in (folder := Path(process.cwd()), *folder.parents):
                family |= {process, *process.children(recursive=True)}
    return family


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
