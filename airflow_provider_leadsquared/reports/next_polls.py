"""When open requests are asked for next, as the poll plan of their task would have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.open_request import OpenRequest
from airflow_provider_leadsquared.delivery.poll_learnt import LEARNT, Learnt
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.ledgers.run_metadata import read_from_scopes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables
    from airflow_provider_leadsquared.reports.open_rows import OpenRow


def next_polls(connection: Connection, tables: Tables, rows: Sequence[OpenRow], now: float) -> list[float | None]:
    """
    Return when each request is asked for next, if a task waits for it; None for one that was never accepted.

    A ledger does not say which retry intervals an account has, so these are LeadSquared's documented ones. What a
    sensor behind a capture has learnt of the queue is not known here, nor when it merges two polls into one.

    :param rows: Open requests.
    :param now: The time, seconds since the epoch.
    """
    scopes = sorted({row.task.scope for row in rows})
    learnt = read_from_scopes(connection, tables.metadata, LEARNT, scopes)
    return [_next_poll(row, Learnt.from_json(learnt.get(row.task.scope)), now) for row in rows]


def _next_poll(row: OpenRow, learnt: Learnt, now: float) -> float | None:
    if row.accepted_at is None:
        return None
    if learnt.polled_at is None:
        learnt.polled_at = row.asked_at
    request = OpenRequest(row.accepted_at, row.api, row.asked_at, row.attempted_by)
    return PollPlan({row.entry_id: request}, ladder=RetryLadder(), learnt=learnt).next_poll(now)
