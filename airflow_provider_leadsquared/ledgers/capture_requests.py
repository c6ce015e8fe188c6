"""The requests of captures that share a SQL ledger, whichever of their tries sent them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.column_values import digest, timestamp
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.entry_rows import entry_values, read_entry, run_values
from airflow_provider_leadsquared.ledgers.run_metadata import read_from_scopes, read_metadata, write_metadata
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.statements import select_in, upsert


class _Line(NamedTuple):
    """The place of a request in the result table."""

    run: RunOfTask
    generation: int
    entry_id: str


class CaptureRequests:
    """
    A :class:`VerdictLedger` of the requests of captures: of one, or of all instances of a mapped one.

    Each verdict is written into the line of its row. A receipt that has no line gets one in its capture's run.

    :param database: The ledger's database.
    :param receipts: The captures' runs, each with the receipts that the capture returned; there may be none.
    :param polled_by: The task that polls, under which the time of its last poll is kept: captures may have several.
    :param clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        *,
        receipts: Mapping[RunOfTask, Sequence[Entry]],
        polled_by: RunOfTask,
        clock: Callable[[], float],
    ) -> None:
        self._database, self._tables, self._clock = database, database.tables, clock
        self._metadata_scope = polled_by.scope
        self._runs = {run.scope: run for run in receipts}
        self._returned_by = {entry.receipt_key: run for run, entries in receipts.items() for entry in entries}
        self._generations: dict[str, int] = {}
        #: Where each request is kept.
        self._lines: dict[tuple[Identity, str | None], list[_Line]] = {}

    def load(self) -> Records:
        """Return all requests of the runs' present generations; as ``others``, for rows of two runs may be equal."""
        table, scopes = self._tables.entries, list(self._runs)
        with self._database.reading() as connection:
            metadata = read_metadata(connection, self._tables.metadata, self._metadata_scope)
            self._generations = read_from_scopes(connection, self._tables.metadata, "generation", scopes)
            runs = {run.scope_of_entries(self._generation(run)): run for run in self._runs.values()}
            query = select(table).where(table.c.request_id.is_not(None)).order_by(table.c.row_no, table.c.written_at)
            found = select_in(connection, query, table.c.scope, list(runs))
        lines, entries = defaultdict(list), []
        for row in found:
            entries.append(entry := read_entry(row))
            lines[entry.request_key].append(_Line(runs[row.scope], row.generation, row.entry_id))
        self._lines |= lines
        return Records({}, metadata, entries)

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write what was received about requests that were loaded, or that the captures returned."""
        every = {"sync_id": None, "written_at": timestamp(self._clock())}
        rows = {
            line: {**run_values(line.run, line.generation), "entry_id": line.entry_id, **every, **entry_values(entry)}
            for entry in entries
            for line in self._lines_of(entry)
        }
        with self._database.writing() as connection:
            upsert(connection, self._tables.entries, list(rows.values()))
            write_metadata(connection, self._tables.metadata, self._metadata_scope, metadata or {})

    def has_line_of(self, entry: Entry) -> bool:
        """Tell whether a request was loaded from here."""
        return entry.request_key in self._lines

    def returned(self, entry: Entry) -> bool:
        """Tell whether one of the captures returned a request's receipt."""
        return entry.receipt_key in self._returned_by

    def _lines_of(self, entry: Entry) -> list[_Line]:
        """Return where a request is kept: in two lines, if two runs have equal rows with one RequestId."""
        if (known := self._lines.get(entry.request_key)) is not None:
            return known
        run = self._returned_by[entry.receipt_key]
        return [_Line(run, self._generation(run), digest(*entry.identity))]

    def _generation(self, run: RunOfTask) -> int:
        return int(self._generations.get(run.scope, 0))
