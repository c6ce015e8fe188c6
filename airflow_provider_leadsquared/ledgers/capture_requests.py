"""The requests of captures that share a SQL ledger, whichever of their tries sent them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.column_values import digest, timestamp
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.entry_rows import entry_values, polled_values, read_entry, run_values
from airflow_provider_leadsquared.ledgers.run_metadata import PollMetadata, read_from_scopes
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.statements import select_in, upsert

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Runs whose requests are read with one statement: some drivers fetch all rows of a statement at once.
_RUNS_AT_ONCE = 100


class CaptureRequests:
    """
    A :class:`VerdictLedger` of the requests of captures: of one, or of all instances of a mapped one.

    Each verdict is written into the line of its row. A receipt that has no line gets one in its capture's run. Between
    reading and writing only RequestIds are kept, for there may be many.

    :param database: The ledger's database.
    :param runs: The captures' runs.
    :param polled_by: The task that polls, under which the time of its last poll is kept: captures may have several.
    :param clock: Tells the time in seconds since the epoch.
    :param account: Names the account and its retry ladder, for what its tasks have learnt of it. Default: not known.
    """

    def __init__(
        self,
        database: Database,
        *,
        runs: Iterable[RunOfTask],
        polled_by: RunOfTask,
        clock: Callable[[], float],
        account: str | None = None,
    ) -> None:
        self._database, self._tables, self._clock = database, database.tables, clock
        #: What polls of this task have kept, as it was when the entries were read.
        self.metadata: dict[str, Any] = {}
        self._metadata = PollMetadata(self._tables.metadata, polled_by.scope, account)
        self._runs = {run.scope: run for run in runs}
        #: Of receipts without a line, whose they are.
        self._returned_by: dict[tuple[str | None, str | None], RunOfTask] = {}
        self._generations: dict[str, int] = {}
        #: What the entries of the runs are kept under, of every generation that was read.
        self._scopes: set[str] = set()
        #: How many requests were read under each of these.
        self._read: Counter[str] = Counter()
        #: Whether it is asked later which requests have a line; then their RequestIds are kept, each with the row's
        #: fingerprint, and the requests whose RequestId another row has too.
        self.knows_lines = False
        self._having_a_line: dict[str | None, str] = {}
        self._repeated: set[tuple[Identity, str | None]] = set()

    def entries(self) -> Iterator[Entry]:
        """Yield all requests of the runs' present generations, one after the other as they are read."""
        table, scopes = self._tables.entries, list(self._runs)
        with self._database.reading() as connection:
            self.metadata = self._metadata.read(connection)
            self._generations = read_from_scopes(connection, self._tables.metadata, "generation", scopes)
            present = [run.scope_of_entries(self._generation(run)) for run in self._runs.values()]
            self._scopes.update(present)
            self._read.clear()
            query = select(table).where(table.c.request_id.is_not(None)).order_by(table.c.row_no, table.c.written_at)
            for start in range(0, len(present), _RUNS_AT_ONCE):
                part = query.where(table.c.scope.in_(present[start : start + _RUNS_AT_ONCE]))
                for line in connection.execute(part):
                    self._read[line.scope] += 1
                    # One table refuses a RequestId that another row has, so the row need not be known by what was sent.
                    entry = read_entry(line, with_fingerprint=self.knows_lines)
                    if self.knows_lines:
                        self._note_line(entry)
                    yield entry

    def add_receipt(self, run: RunOfTask, receipt: Entry) -> None:
        """Let a receipt that a capture returned, and that has no line, get one when something is received for it."""
        self._returned_by[receipt.receipt_key] = run

    def count_of(self, run: RunOfTask) -> int:
        """Return how many requests of a run were read."""
        return self._read[run.scope_of_entries(self._generation(run))]

    def load(self) -> Records:
        """Return all requests of the runs' present generations; as ``others``, for rows of two runs may be equal."""
        entries = list(self.entries())
        return Records({}, self.metadata, entries)

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write what was received about requests that were read, or added."""
        received = list(entries)
        with self._database.writing() as connection:
            if received:
                upsert(connection, self._tables.entries, self._rows(connection, received))
            self._metadata.write(connection, metadata or {}, self._clock())

    def has_line_of(self, entry: Entry) -> bool:
        """Tell whether a request was read from here."""
        return self._having_a_line.get(entry.request_id) == entry.fingerprint or entry.request_key in self._repeated

    def returned(self, entry: Entry) -> bool:
        """Tell whether a request is a receipt without a line that one of the captures returned."""
        return entry.receipt_key in self._returned_by

    def _note_line(self, entry: Entry) -> None:
        if self._having_a_line.setdefault(entry.request_id, entry.fingerprint) != entry.fingerprint:
            self._repeated.add(entry.request_key)

    def _rows(self, connection: Connection, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """Return the lines of requests with what was received: two, if two runs have equal rows with one RequestId."""
        now = timestamp(self._clock())
        lines = self._lines(connection, {entry.request_id for entry in entries if entry.request_id is not None})
        rows: dict[tuple[Any, Any], dict[str, Any]] = {}
        for entry in entries:
            for line in lines.get(entry.request_key) or self._new_lines(entry):
                rows[line["scope"], line["entry_id"]] = {**line, **polled_values(entry), "written_at": now}
        return list(rows.values())

    def _lines(
        self, connection: Connection, request_ids: set[str]
    ) -> Mapping[tuple[Identity, str | None], list[dict[str, Any]]]:
        table = self._tables.entries
        lines = defaultdict(list)
        for line in select_in(connection, select(table), table.c.request_id, sorted(request_ids)):
            if line.scope in self._scopes:
                sent = line.fingerprint if self.knows_lines else ""
                identity = line.row_key, sent or line.request_id, line.copy_no  # as an entry's
                lines[identity, line.request_id].append(dict(line._mapping))
        return lines

    def _new_lines(self, entry: Entry) -> list[dict[str, Any]]:
        """Return a new line for a receipt; none if it was of no capture, for then a person has deleted its line."""
        run = self._returned_by.get(entry.receipt_key)
        if run is None:
            return []
        whose = run_values(run, self._generation(run))
        return [{**whose, "entry_id": digest(*entry.identity), "sync_id": None, **entry_values(entry)}]

    def _generation(self, run: RunOfTask) -> int:
        return int(self._generations.get(run.scope, 0))
