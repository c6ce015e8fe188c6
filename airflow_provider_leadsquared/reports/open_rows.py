"""Rows that LeadSquared has accepted and not decided yet, of all runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import seconds_of, timestamp
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.reports.places import OpenPlace
from airflow_provider_leadsquared.reports.runs import name_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from airflow_provider_leadsquared.ledgers.schema import Tables


@dataclass(frozen=True, slots=True)
class OpenRow:
    """
    One request without a verdict.

    :param task: The task that sent it.
    :param name: Its row key, or ``row 7`` where it has none.
    :param row_key: Its row key.
    :param api: The name of its asynchronous API.
    :param request_id: Its RequestId.
    :param accepted_at: When LeadSquared accepted it, seconds since the epoch.
    :param asked_at: When it was last asked for, on LeadSquared's clock; None if it was not.
    :param attempted_by: When LeadSquared had made its first attempt, at the latest; None if it may be queued.
    :param reason_class: What the last poll showed; None if that was nothing.
    :param written_at: When its line was last written, seconds since the epoch.
    :param entry_id: Its line in the run.
    """

    task: RunOfTask
    name: str
    row_key: str | None
    api: str
    request_id: str | None
    accepted_at: float | None
    asked_at: float | None
    attempted_by: float | None
    reason_class: str | None
    written_at: float
    entry_id: str


@dataclass(frozen=True, slots=True)
class OpenOfTask:
    """
    How many requests of one task are open.

    :param dag_id: The DAG.
    :param task_id: The task that sent them.
    :param count: How many.
    :param oldest: When the first of them was accepted, seconds since the epoch.
    """

    dag_id: str
    task_id: str
    count: int
    oldest: float | None


def count_open(connection: Connection, tables: Tables, *, dag_ids: Collection[str] | None = None) -> list[OpenOfTask]:
    """
    Return how many requests are open, by task, the oldest first.

    :param dag_ids: Only those of these DAGs. Default: all.
    """
    entries = tables.entries
    query = (
        select(entries.c.dag_id, entries.c.task_id, func.count(), func.min(entries.c.accepted_at))
        .where(entries.c.state == State.OPEN.value)
        .group_by(entries.c.dag_id, entries.c.task_id)
    )
    if dag_ids is not None:
        query = query.where(entries.c.dag_id.in_(sorted(dag_ids)))
    found = [OpenOfTask(dag, task, count, seconds_of(oldest)) for dag, task, count, oldest in connection.execute(query)]
    return sorted(found, key=lambda one: (one.oldest or 0.0, one.dag_id, one.task_id))


def list_open(
    connection: Connection,
    tables: Tables,
    *,
    dag_ids: Collection[str] | None = None,
    after: OpenRow | OpenPlace | None = None,
    limit: int = 50,
) -> list[OpenRow]:
    """
    Return open requests, those first that were not written to for the longest time.

    :param dag_ids: Only those of these DAGs. Default: all.
    :param after: The last one of the page before; None for the first page.
    :param limit: How many at most.
    """
    entries = tables.entries
    query = select(entries).where(entries.c.state == State.OPEN.value)
    if dag_ids is not None:
        query = query.where(entries.c.dag_id.in_(sorted(dag_ids)))
    written, entry_id = entries.c.written_at, entries.c.entry_id
    if after is not None:
        moment = timestamp(after.written_at)
        query = query.where(written >= moment, or_(written > moment, entry_id > after.entry_id))
    return [_open_row(line) for line in connection.execute(query.order_by(written, entry_id).limit(limit))]


def _open_row(line: Row[Any]) -> OpenRow:
    return OpenRow(
        RunOfTask(line.dag_id, line.run_id, line.task_id, line.map_index),
        name_of(line.row_key, line.row_no),
        line.row_key,
        line.api,
        line.request_id,
        seconds_of(line.accepted_at),
        seconds_of(line.asked_at),
        seconds_of(line.attempted_by),
        line.reason_class,
        seconds_of(line.written_at),
        line.entry_id,
    )
