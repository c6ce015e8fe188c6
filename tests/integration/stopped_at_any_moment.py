"""
A capture that Airflow's timer stops at any moment; ``test_stopping.py`` runs this in a process of its own.

There coverage measures nothing: the exception may come while it holds a lock, which would stay locked for ever.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import TimeoutPosix

from tests.integration.tasks import Task, error_of
from tests.integration.test_stopping import accepted, capture_unkeyed, entries_of, unkeyed

#: Tries of a capture that a timer stops, and the rows of each.
RUNS, ROWS = 200, 40


@contextmanager
def sigalrm_after(seconds: float) -> Iterator[None]:
    """Raise Airflow's exception as Airflow does, in a signal handler of the main thread, after some seconds."""
    before = signal.getsignal(signal.SIGALRM)
    try:
        with TimeoutPosix(max(seconds, 1e-6)):
            yield
    finally:
        signal.signal(signal.SIGALRM, before)


def _stopped(seconds: float, task: Task) -> None:
    """Capture under the timer, which may also go off between the capture's end and its own switching off."""
    with sigalrm_after(seconds):
        capture_unkeyed(task, unkeyed(ROWS))


def test_an_execution_timeout_at_any_moment_leaves_every_receipt_written_and_is_airflows_own(sandbox, clock, task_log):
    draw = random.Random(1)  # noqa: S311 - draws cases, guards nothing
    capture_unkeyed(Task(), unkeyed(ROWS))  # imports what the others find imported
    started = time.perf_counter()
    capture_unkeyed(Task(), unkeyed(ROWS))
    whole = time.perf_counter() - started
    ended: Counter[str] = Counter()
    for _ in range(RUNS):
        sandbox.reset()
        task, counted = Task(), task_log().count("Counts: read")
        error = error_of(lambda: _stopped(draw.uniform(0, 1.2 * whole), task))  # noqa: B023 - called right here
        assert error is None or type(error) is AirflowTaskTimeout, repr(error)
        entries = entries_of(task)
        assert {entry.request_id for entry in entries if entry.request_id} == accepted(sandbox)
        assert not any(entry.state.is_reject for entry in entries)
        if 0 < len(accepted(sandbox)) < ROWS:
            ended["stopped while sending"] += 1
            assert task_log().count("Counts: read") == counted + 1
            assert len(task.pushed["receipts"]) == len(accepted(sandbox))
    assert ended["stopped while sending"] > RUNS / 10
