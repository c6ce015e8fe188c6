"""The open requests of a sync, whichever of its runs sent them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.sql import RunOfTask, digest, read_entry, timestamp
from airflow_provider_leadsquared.ledgers.tables import SqlTables


class OpenRequests:
    """
    A :class:`VerdictLedger` of the open requests of a sync, whichever run sent them.

    :param connect: Opens a DB-API connection that is not in autocommit mode.
    :param placeholder: The driver's sign for a parameter.
    :param table: The ledger table.
    :param sync: Names the sync.
    :param runs: The runs whose verdicts are counted, and under the first of which the time of the last poll is kept.
    :param clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        placeholder: str,
        table: str,
        sync: str,
        runs: Sequence[RunOfTask],
        clock: Callable[[], float],
    ) -> None:
        self._tables = SqlTables(connect, placeholder=placeholder, table=table)
        self._clock = clock
        self._sync_id = digest(sync)
        self._metadata_scope = runs[0].scope if runs else self._sync_id
        self._scopes = [digest(run.scope, 0) for run in runs]
        self._runs = {(run.dag_id, run.run_id, run.task_id) for run in runs}
        self._scope_of: dict[Identity, str] = {}
        self._run_of: dict[Identity, tuple[str, str, str]] = {}

    def load(self) -> Records:
        """Return the requests without a verdict."""
        with self._tables.transaction() as cursor:
            metadata = self._tables.metadata(cursor, self._metadata_scope)
            lines = self._tables.execute(cursor, "select_open", (self._sync_id,)).fetchall()
        entries = {}
        for *line, scope, dag_id, run_id, task_id in lines:
            entry = read_entry(line)
            entries[entry.identity] = entry
            self._scope_of[entry.identity] = scope
            self._run_of[entry.identity] = dag_id, run_id, task_id
        return Records(entries, metadata)

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write what was received about loaded requests into their own lines; a verdict that is there stays."""
        now = timestamp(self._clock())
        lines = [
            (
                entry.state.value,
                timestamp(entry.settled_at),
                entry.lead_id,
                entry.reason_class,
                entry.reason,
                now,
                self._scope_of[entry.identity],
                digest(*entry.identity),
            )
            for entry in entries
        ]
        # Sorted, so that concurrent writers lock the rows in the same order (no deadlock).
        lines.sort(key=itemgetter(-2, -1))
        with self._tables.transaction() as cursor:
            if lines:
                self._tables.execute_each(cursor, "settle_entry", lines)
            self._tables.set_metadata(cursor, self._metadata_scope, metadata or {})

    def is_of_runs(self, entry: Entry) -> bool:
        """Tell whether a loaded request belongs to one of the runs."""
        return self._scope_of.get(entry.identity) in self._scopes

    def is_of_earlier(self, entry: Entry) -> bool:
        """Tell whether a loaded request belongs to none of the runs, nor to another instance of their mapped task."""
        return self._run_of.get(entry.identity) not in self._runs

    def count(self) -> Counter[tuple[State, str | None]]:
        """Count the requests of the runs by state and reason class."""
        counts: Counter[tuple[State, str | None]] = Counter()
        with self._tables.transaction() as cursor:
            for state, reason_class, count in self._tables.execute_in(cursor, "count_judged", (), self._scopes):
                counts[State(state), reason_class] += count
        return counts

    def refused(self) -> list[Entry]:
        """Return the requests of the runs that were rejected or failed."""
        with self._tables.transaction() as cursor:
            return [read_entry(line) for line in self._tables.execute_in(cursor, "select_refused", (), self._scopes)]
