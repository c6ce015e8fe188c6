"""The whole history of one row key: each sending, and what the memory of syncs holds of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import seconds_of
from airflow_provider_leadsquared.ledgers.erasure import row_lines
from airflow_provider_leadsquared.ledgers.memory_lines import Refusal, RowLine
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.statements import select_in

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from airflow_provider_leadsquared.ledgers.schema import Tables


@dataclass(frozen=True, slots=True)
class Step:
    """
    One line of a row key's history: a sending, or that the row was not sent.

    :param task: The task and its run.
    :param sync: The name of its sync, where it is known.
    :param sync_id: The id of its sync; None for a capture.
    :param state: What became of it.
    :param reason_class: Why, in one word.
    :param reason: Why, as a text without personal data.
    :param request_id: LeadSquared's RequestId.
    :param lead_id: The lead in the CRM.
    :param attempts: How often it was sent, or may have been.
    :param accepted_at: When LeadSquared accepted it, seconds since the epoch.
    :param settled_at: When its verdict was received, seconds since the epoch.
    :param written_at: When the line was last written, seconds since the epoch.
    """

    task: RunOfTask
    sync: str | None
    sync_id: str | None
    state: State
    reason_class: str | None
    reason: str | None
    request_id: str | None
    lead_id: str | None
    attempts: int
    accepted_at: float | None
    settled_at: float | None
    written_at: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """
    What the memory of one sync holds of a row key.

    :param sync_id: The sync.
    :param unsettled: When each sending without a verdict was intended, seconds since the epoch.
    :param refusal: Its last refusal, as long as the row was not confirmed since.
    :param is_confirmed: Whether it was ever confirmed.
    """

    sync_id: str
    unsettled: tuple[float, ...]
    refusal: Refusal | None
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class History:
    """
    All that a ledger holds of a row key.

    :param row_key: The row key.
    :param steps: Its lines, oldest first; nights on which the row had not changed have none.
    :param remembered: What syncs remember of it.
    """

    row_key: str
    steps: tuple[Step, ...]
    remembered: tuple[Remembered, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the ledger does not know the row key."""
        return not (self.steps or self.remembered)


def read_history(
    connection: Connection, tables: Tables, row_key: str, *, dag_ids: Collection[str] | None = None
) -> History:
    """
    Return all that the ledger holds of a row key.

    :param dag_ids: Only what DAGs of these have written, and what syncs remember that no other DAG runs. Default: all.
    """
    entries, runs = tables.entries, tables.runs
    query = (
        select(entries, runs.c.sync)
        .select_from(entries.outerjoin(runs, runs.c.scope == entries.c.scope))
        .where(entries.c.row_key == row_key)
        .order_by(entries.c.written_at, entries.c.entry_id)
    )
    steps = tuple(_step(line) for line in connection.execute(query))
    hidden: set[str | None] = set()
    if dag_ids is not None:
        hidden = {step.sync_id for step in steps if step.task.dag_id not in dag_ids}
        steps = tuple(step for step in steps if step.task.dag_id in dag_ids)
    syncs = sorted({step.sync_id for step in steps if step.sync_id is not None} - hidden)
    lines = [line for _, line in row_lines(connection, tables, row_key, syncs)]
    return History(row_key, steps, tuple(_remembered(connection, tables, line) for line in lines))


def _remembered(connection: Connection, tables: Tables, line: RowLine) -> Remembered:
    unsettled = tables.unsettled
    query = select(unsettled.c.intended_at)
    moments = select_in(connection, query, unsettled.c.sending_id, list(line.unsettled))
    is_refused = line.refusal is not None and (line.success is None or line.success.no < line.refusal.no)
    return Remembered(
        line.sync_id,
        tuple(sorted(seconds_of(moment) for (moment,) in moments)),
        line.refusal if is_refused else None,
        line.success is not None,
    )


def _step(line: Row[Any]) -> Step:
    return Step(
        RunOfTask(line.dag_id, line.run_id, line.task_id, line.map_index),
        line.sync,
        line.sync_id,
        State(line.state),
        line.reason_class,
        line.reason,
        line.request_id,
        line.lead_id,
        line.attempts,
        seconds_of(line.accepted_at),
        seconds_of(line.settled_at),
        seconds_of(line.written_at),
    )
