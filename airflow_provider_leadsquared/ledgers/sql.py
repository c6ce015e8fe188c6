"""
The ledger in a table of any SQL database.

The table is also the result table: one line per row of each run, with its verdict. A change is one transaction, in
which entries replace their earlier version. The claim on a run is a line that the transaction touches first, so a try
that has lost it writes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.tables import SqlTables


@dataclass(frozen=True, slots=True)
class RunOfTask:
    """
    Whose entries these are.

    :param dag_id: The DAG.
    :param run_id: The DAG run.
    :param task_id: The task that sends.
    :param map_index: Which of a mapped task's instances, -1 for a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def scope(self) -> str:
        """What the run's metadata are kept under, and its entries with their generation."""
        return digest(self.dag_id, self.run_id, self.task_id, self.map_index)


class SqlLedger:
    """
    A :class:`Ledger` of one task instance.

    :param connect: Opens a DB-API connection that is not in autocommit mode.
    :param placeholder: The driver's sign for a parameter, ``?`` or ``%s``.
    :param table: The ledger table, with its schema if need be; it is created on first use.
    :param run: Whose entries to read and write.
    :param clock: Tells the time in seconds since the epoch.
    :raises ValueError: ``table`` is no plain name.
    """

    #: The sync that the entries belong to, None for those of a plain capture.
    _sync_id: str | None = None

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        placeholder: str,
        table: str,
        run: RunOfTask,
        clock: Callable[[], float],
    ) -> None:
        self._tables = SqlTables(connect, placeholder=placeholder, table=table)
        self._run = run
        self._clock = clock
        self._holder: str | None = None

    def load(self) -> Records:
        """Return all that was written in the present generation."""
        with self._tables.transaction() as cursor:
            metadata = self._tables.metadata(cursor, self._run.scope)
            self._tables.execute(cursor, "select_entries", (self._entry_scope(metadata),))
            entries = [read_entry(line) for line in cursor.fetchall()]
        return Records({entry.identity: entry for entry in entries}, metadata)

    def claim(self, holder: str) -> None:
        """Make ``holder`` the only writer, once transactions of the one before have ended."""
        with self._tables.transaction() as cursor:
            self._tables.set_metadata(cursor, self._run.scope, {"holder": holder})
        self._holder = holder

    def start_over(self) -> None:
        """Write into a new generation from now on; earlier ones stay in the table."""
        with self._tables.transaction() as cursor:
            generation = self._tables.metadata(cursor, self._run.scope).get("generation", 0)
            self._tables.set_metadata(cursor, self._run.scope, {"generation": generation + 1})

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Replace entries and metadata in one transaction."""
        newest = list({entry.identity: entry for entry in entries}.values())
        with self._tables.transaction() as cursor:
            self._confirm_claim(cursor)
            if newest:
                self._write_entries(cursor, newest)
            self._tables.set_metadata(cursor, self._run.scope, metadata or {})

    def _confirm_claim(self, cursor: Any) -> None:
        if self._holder is None:
            return
        holder = json.dumps(self._holder)
        self._tables.execute(cursor, "confirm_holder", (holder, self._run.scope, holder))
        if cursor.rowcount == 0:
            raise LedgerTakenError("another try of this task has begun; this one stops sending")

    def _write_entries(self, cursor: Any, entries: Sequence[Entry]) -> None:
        """Put entries in the place of their earlier versions."""
        metadata = self._tables.metadata(cursor, self._run.scope)
        run = self._run
        scope = self._entry_scope(metadata)
        now = timestamp(self._clock())
        whose = (self._sync_id, run.dag_id, run.run_id, run.task_id, run.map_index, metadata.get("generation", 0))
        lines = [
            (
                scope,
                digest(*entry.identity),
                *whose,
                entry.row,
                entry.state.value,
                entry.row_key,
                entry.fingerprint,
                entry.copy,
                entry.request_id,
                timestamp(entry.accepted_at),
                timestamp(entry.settled_at),
                entry.lead_id,
                entry.reason_class,
                entry.reason,
                entry.attempts,
                timestamp(entry.doubted_at),
                entry.api,
                now,
            )
            for entry in entries
        ]
        self._tables.execute_in(cursor, "delete_entries", (scope,), [line[1] for line in lines])
        self._tables.execute_in(cursor, "insert_entries", (), lines)

    def _entry_scope(self, metadata: Mapping[str, Any]) -> str:
        return digest(self._run.scope, metadata.get("generation", 0))


def digest(*parts: Any) -> str:
    """Return an id made of what identifies something; 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def timestamp(seconds: float | None) -> str | None:
    """Write a moment as every database reads it: UTC, with microseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def seconds_of(moment: Any) -> float | None:
    """Read a moment as a database returns it, as seconds since the epoch."""
    if moment is None:
        return None
    parsed = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def read_entry(line: Sequence[Any]) -> Entry:
    """Read an entry from its columns, in the order in which every statement selects them."""
    row, state, row_key, fingerprint, copy, request_id, accepted_at, settled_at, *others = line
    lead_id, reason_class, reason, attempts, doubted_at, api = others
    return Entry(
        row,
        State(state),
        row_key,
        fingerprint,
        copy,
        request_id,
        seconds_of(accepted_at),
        seconds_of(settled_at),
        lead_id,
        reason_class,
        reason,
        attempts,
        seconds_of(doubted_at),
        api,
    )
