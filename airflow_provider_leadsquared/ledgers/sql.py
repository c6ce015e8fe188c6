"""
The ledger in tables of a SQL database.

The result table has one line per row of each run, with its verdict. A change is one transaction, in which entries
replace their earlier version. The claim on a run is a line that the transaction locks first, so a try that has lost it
records no intent. It may still record receipts: LeadSquared has these rows, whoever sends them next. Each such receipt
has a line of its own, so that it replaces no other receipt of the same row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.column_values import digest, timestamp
from airflow_provider_leadsquared.ledgers.entry_rows import entry_values, outcome_values, read_entry, run_values
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.run_metadata import note_run, read_metadata, write_metadata
from airflow_provider_leadsquared.ledgers.statements import delete_in, select_in, update_rows, upsert

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.api.payloads import Payload
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask

_REPLAYED = "accepted under the RequestId of an earlier sending: a server on the way may have replayed an old response"


class SqlLedger:
    """
    A :class:`Ledger` of one task instance.

    :param database: The ledger's database, whose tables are created on first use.
    :param run: Whose entries to read and write.
    :param clock: Tells the time in seconds since the epoch.
    """

    #: The sync that the entries belong to, and its name; None for those of a plain capture.
    _sync_id: str | None = None
    _sync: str | None = None

    def __init__(self, database: Database, *, run: RunOfTask, clock: Callable[[], float]) -> None:
        self._database, self._tables = database, database.tables
        self._run = run
        self._clock = clock
        self._holder: str | None = None
        self._generation: int | None = None
        #: The ids of receipts that have a line of their own.
        self._further: set[str] = set()

    def load(self) -> Records:
        """Return all that was written in the present generation."""
        entries = self._tables.entries
        with self._database.reading() as connection:
            metadata = self._metadata(connection)
            self._generation = _generation(metadata)
            query = select(entries).where(entries.c.scope == self._scope(self._generation))
            found = {
                line.entry_id: read_entry(line) for line in connection.execute(query.order_by(entries.c.written_at))
            }
        newest: dict[Identity, Entry] = {}
        further: dict[Identity, list[Entry]] = defaultdict(list)
        for entry_id, entry in found.items():
            if entry_id == digest(*entry.identity):
                newest[entry.identity] = entry
            else:
                self._further.add(entry_id)
                further[entry.identity].append(entry)
        for identity, receipts in further.items():
            if identity not in newest or not _is_receipt(newest[identity]):
                # The row itself has no receipt: it is not sent again, because of this one.
                newest[identity] = receipts.pop()
        return Records(newest, metadata, [entry for receipts in further.values() for entry in receipts])

    def claim(self, holder: str) -> None:
        """Make ``holder`` the only writer of intents, once transactions of the one before have ended."""
        with self._database.writing() as connection:
            self._set_metadata(connection, {"holder": holder})
            note_run(connection, self._tables.runs, self._run_line(self._present_generation(connection)))
        self._holder = holder

    def start_over(self) -> None:
        """Write into a new generation from now on; earlier ones stay in the table."""
        with self._database.writing() as connection:
            self._confirm_claim(connection)
            generation = _generation(self._metadata(connection, lock=True)) + 1
            self._set_metadata(connection, {"generation": generation})
            note_run(connection, self._tables.runs, self._run_line(generation))
        self._generation = generation

    def intend(self, rows: Sequence[tuple[Entry, Payload]]) -> list[Entry]:
        """Write that rows are about to be sent, and return them as they are."""
        entries = [entry for entry, _ in rows]
        with self._database.writing() as connection:
            self._confirm_claim(connection)
            self._write_entries(connection, entries)
        return entries

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """
        Replace entries and metadata in one transaction.

        :raises LedgerTakenError: Another try has claimed the ledger since this one did. Receipts among the entries were
            written nevertheless, and nothing else.
        """
        self._write(list(entries), metadata or {})

    def write_outcomes(self, entries: Sequence[Entry]) -> list[Entry]:
        """Write what became of rows that were to be sent, and return them as they are."""
        return self._write(list(entries), {}, are_outcomes=True)

    def _write(self, entries: list[Entry], metadata: Mapping[str, Any], *, are_outcomes: bool = False) -> list[Entry]:
        with self._database.writing() as connection:
            if are_outcomes:
                entries = self._without_replayed_receipts(connection, entries)
            is_taken = not self._holds_claim(connection)
            if is_taken:
                self._write_late_receipts(connection, entries)
            elif not (are_outcomes and self._update(connection, entries)):
                self._write_entries(connection, entries)
            if not is_taken:
                self._set_metadata(connection, metadata)
            if entries:
                self._remember(connection, entries)
        self._forget_sendings(entries)
        if is_taken:
            raise LedgerTakenError
        return entries

    def _remember(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Note outcomes elsewhere in the same transaction. A plain ledger has no memory."""

    def _forget_sendings(self, entries: Sequence[Entry]) -> None:
        """Drop what is kept of sendings until they have an outcome, once that is written."""

    def _without_replayed_receipts(self, connection: Connection, entries: list[Entry]) -> list[Entry]:
        """Return entries, those in doubt whose RequestId another sending has: it cannot be about both."""
        table = self._tables.entries
        asked = sorted({entry.request_id for entry in entries if entry.request_id is not None})
        names = ("request_id", "scope", "row_key", "fingerprint", "copy_no", "attempts")
        found = select_in(connection, select(*[table.c[name] for name in names]), table.c.request_id, asked)
        if not found:
            return entries
        scope = self._scope(self._present_generation(connection))
        sendings: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
        for request_id, *sending in found:
            sendings[request_id].add(tuple(sending))
        return [
            entry
            # The same sending is there if this transaction is repeated, because nobody heard whether it ended.
            if sendings.get(entry.request_id or "", set()) <= {(scope, *entry.identity, entry.attempts)}
            else entry.without_receipt(_REPLAYED)
            for entry in entries
        ]

    def _holds_claim(self, connection: Connection) -> bool:
        """Tell whether no other try has claimed the ledger; until the transaction ends, none can."""
        if self._holder is None:
            return True
        metadata = self._metadata(connection, lock=True)
        if self._generation is None:
            self._generation = _generation(metadata)
        return metadata.get("holder") == self._holder

    def _confirm_claim(self, connection: Connection) -> None:
        if not self._holds_claim(connection):
            raise LedgerTakenError

    def _write_entries(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Put entries in the place of their earlier versions."""
        self._upsert(connection, {self._entry_id(entry): entry for entry in entries})

    def _write_late_receipts(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Write receipts that came after another try took over, each into a line of its own."""
        receipts = {receipt_id(entry): entry for entry in entries if _is_receipt(entry)}
        if not receipts:
            return
        self._upsert(connection, receipts)
        self._further |= receipts.keys()
        table, scope = self._tables.entries, self._scope(self._present_generation(connection))
        attempts = {digest(*entry.identity): entry.attempts for entry in receipts.values()}
        intents = select(table.c.entry_id, table.c.attempts).where(
            table.c.scope == scope, table.c.state == State.IN_DOUBT.value, table.c.request_id.is_(None)
        )
        found = select_in(connection, intents.with_for_update(), table.c.entry_id, sorted(attempts))
        # The doubt was about this very sending, unless the row was sent once more.
        cleared = [line.entry_id for line in found if line.attempts <= attempts[line.entry_id]]
        delete_in(connection, delete(table).where(table.c.scope == scope), table.c.entry_id, cleared)

    def _set_receipts_aside(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Give the receipts of rows that are to be sent again lines of their own."""
        ids = [digest(*entry.identity) for entry in entries]
        if not ids:
            return
        table = self._tables.entries
        receipts = select(table).where(
            table.c.scope == self._scope(self._present_generation(connection)), table.c.request_id.is_not(None)
        )
        found = select_in(connection, receipts, table.c.entry_id, ids)
        aside = {receipt_id(read_entry(line)): dict(line._mapping) for line in found}
        self._further |= aside.keys()
        upsert(connection, table, [{**line, "entry_id": one} for one, line in aside.items()])

    def _upsert(self, connection: Connection, entries: Mapping[str, Entry]) -> None:
        """Write entries under their ids."""
        if not entries:
            return
        whose = {
            **run_values(self._run, self._present_generation(connection)),
            "sync_id": self._sync_id,
            "written_at": timestamp(self._clock()),
        }
        rows = [{"entry_id": entry_id, **entry_values(entry)} for entry_id, entry in entries.items()]
        upsert(connection, self._tables.entries, rows, common=whose)

    def _update(self, connection: Connection, entries: Sequence[Entry]) -> bool:
        """Write what an outcome changes of the entries' lines; return whether all lines were there."""
        if not entries:
            return True
        whose = {"scope": self._scope(self._present_generation(connection)), "written_at": timestamp(self._clock())}
        rows = {
            (entry_id := self._entry_id(entry)): {"entry_id": entry_id, **outcome_values(entry)} for entry in entries
        }
        return update_rows(connection, self._tables.entries, list(rows.values()), common=whose)

    def _run_line(self, generation: int) -> dict[str, Any]:
        """Return the line of the run in the table of runs."""
        whose = {"sync_id": self._sync_id, "sync": self._sync, "began_at": timestamp(self._clock())}
        return {**run_values(self._run, generation), **whose}

    def _present_generation(self, connection: Connection) -> int:
        if self._generation is None:
            self._generation = _generation(self._metadata(connection))
        return self._generation

    def _entry_id(self, entry: Entry) -> str:
        if self._further and (receipt := receipt_id(entry)) in self._further:
            return receipt
        return digest(*entry.identity)

    def _metadata(self, connection: Connection, *, lock: bool = False) -> dict[str, Any]:
        return read_metadata(connection, self._tables.metadata, self._run.scope, lock=lock)

    def _set_metadata(self, connection: Connection, metadata: Mapping[str, Any]) -> None:
        write_metadata(connection, self._tables.metadata, self._run.scope, metadata)

    def _scope(self, generation: int = 0) -> str:
        return self._run.scope_of_entries(generation)


def _generation(metadata: Mapping[str, Any]) -> int:
    return int(metadata.get("generation", 0))


def _is_receipt(entry: Entry) -> bool:
    """Tell whether LeadSquared has responded to a sending of this row."""
    return entry.request_id is not None or entry.state.is_confirmed or entry.state.is_refused


def receipt_id(entry: Entry) -> str:
    """Return the id of a receipt that has a line of its own, because another try has sent its row again."""
    return digest(*entry.identity, entry.request_id)
