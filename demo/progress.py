"""One line that tells how far the run is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TextIO

from local_airflow import TaskInstance

#: The tasks of both DAGs, in their order.
_TASKS = ("extract", "sync", "wait", "report")
#: Seconds between two lines where a line cannot be rewritten.
_PACE = 5.0
_WORDS = {
    None: "to come",
    "scheduled": "queued",
    "up_for_reschedule": "asleep until its next poll",
    "up_for_retry": "to be tried again",
    "success": "done",
    "failed": "red",
}


class Progress:
    """
    The progress line: rewritten on a terminal, otherwise printed anew every few seconds.

    :param out: where it goes
    """

    def __init__(self, out: TextIO) -> None:
        self._out, self._is_terminal = out, out.isatty()
        self._started = time.monotonic()
        self._printed_at = -_PACE

    def tell(self, tasks: Sequence[TaskInstance], counts: dict[str, Any]) -> None:
        """Tell the tasks' states and what the sandbox has got."""
        now = time.monotonic() - self._started
        if not self._is_terminal and now - self._printed_at < _PACE:
            return
        self._printed_at = now
        line = f"   {now:3.0f} s  {_current_task(tasks)} | {_counted(counts)}"
        self._out.write(f"\r{line:<98.98}" if self._is_terminal else f"{line}\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            self._out.write("\n")


def _current_task(tasks: Sequence[TaskInstance]) -> str:
    """Tell the task that the run has come to: the first that is not done."""
    for task in sorted(tasks, key=lambda task: _TASKS.index(task.task_id)):
        if task.state != "success":
            return f"{task.task_id}: {_WORDS.get(task.state, task.state)}"
    return "all tasks are done" if tasks else "about to begin"


def _counted(counts: dict[str, Any]) -> str:
    states = counts["states"]
    judged = sum(states[state] for state in ("succeeded", "rejected", "failed"))
    return f"accepted {counts['requests']:,}, judged {judged:,}, waiting for a retry {states['retrying']:,}"
