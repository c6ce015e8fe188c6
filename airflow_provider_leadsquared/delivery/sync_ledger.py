"""
The ledger of a sync: a SQL ledger whose runs remember what the runs before them brought about.

For each key one line points to the last entry that was sent under it, by whichever run, and keeps what LeadSquared had
confirmed before. The line moves in the transaction that writes the intent, so memory and result table never disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from airflow_provider_leadsquared.delivery.ledger import Entry, Identity, LedgerTakenError, Records
from airflow_provider_leadsquared.delivery.sql_ledger import (
    RunOfTask,
    SqlLedger,
    digest,
    read_entry,
    seconds_of,
    timestamp,
)
from airflow_provider_leadsquared.delivery.sql_tables import SqlTables
from airflow_provider_leadsquared.delivery.standing import Remembered
from airflow_provider_leadsquared.delivery.verdicts import State

#: Rows that are not sent are written so many at a time.
_GROUP_ROWS = 1_000


class SyncLedger(SqlLedger):
    """
    The ledger of one run of a sync.

    :param connect: Opens a DB-API connection that is not in autocommit mode.
    :param placeholder: The driver's sign for a parameter.
    :param table: The ledger table.
    :param run: Whose entries to write.
    :param sync: Names the sync: runs under one name share their memory.
    :param patience: Seconds for which an unsettled sending keeps a newer value back.
    :param clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        placeholder: str,
        table: str,
        run: RunOfTask,
        sync: str,
        patience: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(connect, placeholder=placeholder, table=table, run=run, clock=clock)
        self._sync_id = digest(sync)
        self._patience = patience
        #: When the doubts were written that rows were compared with, by key.
        self._doubts: dict[str, float | None] = {}

    def exists(self) -> bool:
        """Tell whether there is anything to remember, and create no table."""
        return self._tables.exist()

    def remembered(self, keys: Iterable[str]) -> dict[str, Remembered]:
        """Return what is known of the leads under some keys, by key; those without a line were never sent."""
        with self._tables.transaction() as cursor:
            known = self._recall(cursor, keys)
        self._doubts.update({key: one.written_at for key, one in known.items() if _is_in_doubt(one)})
        return known

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Replace entries and marks; where another run has taken a row, what was learnt of others is kept."""
        entries = list(entries)
        try:
            super().write(entries, marks=marks)
        except LedgerTakenError:
            super().write([entry for entry in entries if entry.state is not State.IN_DOUBT], marks=marks)
            raise

    def write_not_sent(self, entries: Iterable[Entry]) -> None:
        """
        Replace what this run wrote about rows that it does not send.

        A superseded row's lead gets the values of another, so what the CRM holds for its own key is not known any more.
        """
        entries = iter(entries)
        with self._tables.transaction() as cursor:
            self._confirm_claim(cursor)
            self._tables.execute(cursor, "delete_not_sent", (self._entry_scope({}),))
            while group := list(islice(entries, _GROUP_ROWS)):
                super()._write_entries(cursor, group)
                overtaken = {entry.key: entry for entry in group if entry.state is State.SUPERSEDED and entry.key}
                known = self._recall(cursor, overtaken)
                now = self._clock()
                settled = {
                    key: overtaken[key]
                    for key, one in known.items()
                    if one.holds_back(overtaken[key], now=now, patience=self._patience) is None
                }
                self._point_to(cursor, settled, dict.fromkeys(settled))

    def _write_entries(self, cursor: Any, entries: Sequence[Entry]) -> None:
        intents = {entry.key: entry for entry in entries if entry.state is State.IN_DOUBT and entry.key is not None}
        known = self._recall(cursor, intents)
        super()._write_entries(cursor, entries)
        for key, entry in intents.items():
            if key in known and not known[key].is_of(entry):
                self._check_not_taken(entry, known[key])
        self._point_to(cursor, intents, {key: one.confirmed for key, one in known.items()})

    def _point_to(self, cursor: Any, entries: Mapping[str, Entry], confirmed: Mapping[str, str | None]) -> None:
        """Let keys remember these entries as their last, and what was confirmed before them."""
        scope = self._entry_scope({})
        lines = [
            (self._sync_id, digest(key), key, confirmed.get(key), scope, digest(*entry.identity))
            for key, entry in entries.items()
        ]
        self._tables.execute_in(cursor, "delete_leads", (self._sync_id,), [line[1] for line in lines])
        self._tables.execute_in(cursor, "insert_leads", (), lines)

    def _check_not_taken(self, entry: Entry, known: Remembered) -> None:
        """Refuse a row that another run has sent since this one compared it."""
        is_held_back = known.holds_back(entry, now=self._clock(), patience=self._patience) is not None
        is_being_sent = _is_in_doubt(known) and self._doubts.get(entry.key or "") != known.written_at
        if is_held_back or is_being_sent:
            raise LedgerTakenError(
                f"another run of this sync has just sent the row with key {entry.key}; this one stops sending. Set "
                "max_active_runs=1, and give mapped tasks queries that share no row"
            )

    def _recall(self, cursor: Any, keys: Iterable[str]) -> dict[str, Remembered]:
        own = self._entry_scope({})
        ids = [digest(key) for key in keys]
        lines = self._tables.execute_in(cursor, "select_memory", (self._sync_id,), ids)
        return {
            key: Remembered(
                None if last[1] is None else read_entry(last), scope == own, confirmed_before, seconds_of(written_at)
            )
            for key, confirmed_before, scope, *last, written_at in lines
        }


def _is_in_doubt(known: Remembered) -> bool:
    return known.last is not None and known.last.state is State.IN_DOUBT


class OpenRequests:
    """
    The open requests of a sync, of whatever run: a :class:`VerdictLedger`.

    :param connect: Opens a DB-API connection that is not in autocommit mode.
    :param placeholder: The driver's sign for a parameter.
    :param table: The ledger table.
    :param sync: Names the sync.
    :param runs: The runs whose verdicts are counted, and under the first of which the time of the last look is kept.
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
        self._marks_scope = runs[0].scope if runs else self._sync_id
        self._scopes = [digest(run.scope, 0) for run in runs]
        self._runs = {(run.dag_id, run.run_id, run.task_id) for run in runs}
        self._scope_of: dict[Identity, str] = {}
        self._run_of: dict[Identity, tuple[str, str, str]] = {}

    def load(self) -> Records:
        """Return the requests without a verdict."""
        with self._tables.transaction() as cursor:
            marks = self._tables.marks(cursor, self._marks_scope)
            lines = self._tables.execute(cursor, "select_open", (self._sync_id,)).fetchall()
        entries = {}
        for *line, scope, dag_id, run_id, task_id in lines:
            entry = read_entry(line)
            entries[entry.identity] = entry
            self._scope_of[entry.identity] = scope
            self._run_of[entry.identity] = dag_id, run_id, task_id
        return Records(entries, marks)

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Write what was learnt of loaded requests into their own lines; a verdict that is there stays."""
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
        # In one order for all, for several who settle the same requests would else wait for each other's lines.
        lines.sort(key=itemgetter(-2, -1))
        with self._tables.transaction() as cursor:
            if lines:
                self._tables.execute_each(cursor, "settle_entry", lines)
            self._tables.set_marks(cursor, self._marks_scope, marks or {})

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
