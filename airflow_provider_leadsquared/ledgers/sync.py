"""
The ledger of a sync: a SQL ledger whose runs remember what the runs before them brought about.

For each key one line points to the last entry that was sent under it, by whichever run, and keeps what LeadSquared had
confirmed before. The line moves in the transaction that writes the intent, so memory and result table never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.ledgers.sql import (
    RunOfTask,
    SqlLedger,
    digest,
    read_entry,
    seconds_of,
)

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
    :param settle_timeout: Seconds for which an unsettled sending keeps a newer value back.
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
        settle_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(connect, placeholder=placeholder, table=table, run=run, clock=clock)
        self._sync_id = digest(sync)
        self._settle_timeout = settle_timeout
        #: When the doubts were written that rows were compared with, by key.
        self._doubts: dict[str, float | None] = {}

    def exists(self) -> bool:
        """Tell whether there is anything to remember, and create no table."""
        return self._tables.exist()

    def recall(self, row_keys: Iterable[str]) -> dict[str, LeadMemory]:
        """Return what is known of the leads under some row keys; those without a line were never sent."""
        with self._tables.transaction() as cursor:
            known = self._recall(cursor, row_keys)
        self._doubts.update({key: one.written_at for key, one in known.items() if _is_in_doubt(one)})
        return known

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Replace entries and metadata; where another run has taken a row, what was learnt of others is kept."""
        entries = list(entries)
        try:
            super().write(entries, metadata=metadata)
        except LedgerTakenError:
            super().write([entry for entry in entries if entry.state is not State.IN_DOUBT], metadata=metadata)
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
                overtaken = {
                    entry.row_key: entry for entry in group if entry.state is State.SUPERSEDED and entry.row_key
                }
                known = self._recall(cursor, overtaken)
                now = self._clock()
                settled = {
                    key: overtaken[key]
                    for key, one in known.items()
                    if one.blocks(overtaken[key], now=now, settle_timeout=self._settle_timeout) is None
                }
                self._point_to(cursor, settled, dict.fromkeys(settled))

    def _write_entries(self, cursor: Any, entries: Sequence[Entry]) -> None:
        intents = {
            entry.row_key: entry for entry in entries if entry.state is State.IN_DOUBT and entry.row_key is not None
        }
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

    def _check_not_taken(self, entry: Entry, known: LeadMemory) -> None:
        """Refuse a row that another run has sent since this one compared it."""
        is_blocked = known.blocks(entry, now=self._clock(), settle_timeout=self._settle_timeout) is not None
        is_being_sent = _is_in_doubt(known) and self._doubts.get(entry.row_key or "") != known.written_at
        if is_blocked or is_being_sent:
            raise LedgerTakenError(
                f"another run of this sync has just sent the row with key {entry.row_key}; this one stops sending. Set "
                "max_active_runs=1, and give mapped tasks queries that share no row"
            )

    def _recall(self, cursor: Any, keys: Iterable[str]) -> dict[str, LeadMemory]:
        own = self._entry_scope({})
        ids = [digest(key) for key in keys]
        lines = self._tables.execute_in(cursor, "select_memory", (self._sync_id,), ids)
        return {
            key: LeadMemory(
                None if last[1] is None else read_entry(last), scope == own, confirmed_before, seconds_of(written_at)
            )
            for key, confirmed_before, scope, *last, written_at in lines
        }


def _is_in_doubt(known: LeadMemory) -> bool:
    return known.last is not None and known.last.state is State.IN_DOUBT
