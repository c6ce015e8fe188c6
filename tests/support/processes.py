"""Which processes of a test still run: those that inherited its mark in their environment."""

from __future__ import annotations

import psutil

#: The variable that a test sets for the processes that it starts.
MARK = "STARTED_BY_TEST"


def left_running(mark: str) -> list[psutil.Process]:
    """Return the processes whose environment has this mark, whoever their parent is."""
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == mark]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
