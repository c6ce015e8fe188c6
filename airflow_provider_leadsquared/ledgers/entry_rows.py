"""Entries as rows of the result table."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import seconds_of, timestamp

if TYPE_CHECKING:
    from sqlalchemy import Row

    from airflow_provider_leadsquared.ledgers.runs import RunOfTask


def run_values(run: RunOfTask, generation: int) -> dict[str, Any]:
    """Return the columns that say whose entry it is."""
    return {
        "scope": run.scope_of_entries(generation),
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "task_id": run.task_id,
        "map_index": run.map_index,
        "generation": generation,
    }


def outcome_values(entry: Entry) -> dict[str, Any]:
    """Return the columns that hold what a sending changes of an entry (``Batch.record`` and ``Batch.withdraw``)."""
    return {
        "state": entry.state.value,
        "request_id": entry.request_id,
        "accepted_at": timestamp(entry.accepted_at),
        "settled_at": timestamp(entry.settled_at),
        "reason_class": entry.reason_class,
        "reason": entry.reason,
        "attempts": entry.attempts,
        "doubted_at": timestamp(entry.doubted_at),
    }


def entry_values(entry: Entry) -> dict[str, Any]:
    """Return the columns that hold an entry's own fields."""
    return {
        **outcome_values(entry),
        "row_no": entry.row,
        "row_key": entry.row_key,
        "fingerprint": entry.fingerprint,
        "copy_no": entry.copy,
        "lead_id": entry.lead_id,
        "api": entry.api,
        "unknown_since": timestamp(entry.unknown_since),
        "asked_at": timestamp(entry.asked_at),
        "attempted_by": timestamp(entry.attempted_by),
    }


#: What a poll shows of a request.
_POLLED = (
    "state",
    "request_id",
    "accepted_at",
    "settled_at",
    "lead_id",
    "reason_class",
    "reason",
    "unknown_since",
    "asked_at",
    "attempted_by",
)


def polled_values(entry: Entry) -> dict[str, Any]:
    """Return the columns that say what became of a request."""
    values = entry_values(entry)
    return {name: values[name] for name in _POLLED}


def read_entry(line: Row[Any], *, with_fingerprint: bool = True) -> Entry:
    """
    Return the entry that a row of the result table holds.

    :param with_fingerprint: Whether the entry gets the row's fingerprint. Without it, it is known by its RequestId.
    """
    return Entry(
        line.row_no,
        State(line.state),
        line.row_key,
        line.fingerprint if with_fingerprint else "",
        line.copy_no,
        line.request_id,
        seconds_of(line.accepted_at),
        seconds_of(line.settled_at),
        line.lead_id,
        line.reason_class,
        line.reason,
        line.attempts,
        seconds_of(line.doubted_at),
        intern(line.api),  # thousands have the same
        seconds_of(line.unknown_since),
        seconds_of(line.asked_at),
        seconds_of(line.attempted_by),
    )
