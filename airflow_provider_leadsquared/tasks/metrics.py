"""
Metrics through Airflow's own statistics; nothing is sent where a deployment has not switched them on.

Their names are public, and listed in ``docs/monitoring.md``. Tags are the DAG, the task and the state; never a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.counts import Counts

ROWS = "leadsquared.rows"
POLL_CALLS = "leadsquared.poll_calls"
MEDIAN_TO_VERDICT = "leadsquared.seconds_to_verdict.median"
LONGEST_TO_VERDICT = "leadsquared.seconds_to_verdict.longest"
LEDGER_SECONDS = "leadsquared.ledger_seconds"


def count_rows(counts: Counts, *, dag_id: str, task_id: str) -> None:
    """Count the rows of a task that ends, by state."""
    for state, count in counts.states.items():
        _stats().incr(ROWS, count, tags={"state": state.value, "dag_id": dag_id, "task_id": task_id})


def count_poll(asked: int, waits: Sequence[float]) -> None:
    """
    Count the calls of a poll, and tell how long LeadSquared took for what it showed to be decided.

    :param asked: How many requests were asked for.
    :param waits: Seconds from acceptance to verdict, of each request that the poll showed to be decided.
    """
    _stats().incr(POLL_CALLS, asked)
    if waits:
        # Two for each poll, not one for each request: sending a figure takes as long as some part of a call.
        _stats().timing(MEDIAN_TO_VERDICT, timedelta(seconds=median(waits)))
        _stats().timing(LONGEST_TO_VERDICT, timedelta(seconds=max(waits)))


@contextmanager
def timed_ledger(kind: str) -> Iterator[None]:
    """
    Time a transaction on a SQL ledger.

    :param kind: ``read`` or ``write``.
    """
    begun = monotonic()
    try:
        yield
    finally:
        _stats().timing(LEDGER_SECONDS, timedelta(seconds=monotonic() - begun), tags={"kind": kind})


def _stats() -> Any:
    # Imported when a task runs; its place differs between Airflow's versions.
    from airflow.providers.common.compat.sdk import Stats

    return Stats
