"""
Erasing all that a ledger keeps of a row key: its lines of all runs, and what the memory of syncs holds.

A run that has read the row's values before, and was paused, must not send them once newer ones were sent and all that
says so is gone. So the account keeps the number of its last erasure: a try that began before it sends no row of which
some line is not known (``LeadMemory.intend``); the next run does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import digest, seconds_of, timestamp
from airflow_provider_leadsquared.ledgers.errors import LedgerError
from airflow_provider_leadsquared.ledgers.memory_lines import ERASED, KeyLine, LeadLine, Line, RowLine
from airflow_provider_leadsquared.ledgers.memory_rows import LINE_COLUMNS, line_values, read_line
from airflow_provider_leadsquared.ledgers.memory_unchanged import rows_ended_by
from airflow_provider_leadsquared.ledgers.statements import delete_in, next_numbers, select_in, upsert

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables

#: States in which LeadSquared may be at work on a row.
_UNDER_WAY = (State.IN_DOUBT.value, State.OPEN.value)


class UnderWayError(LedgerError):
    """A row cannot be erased: LeadSquared may be at work on it, and nobody would ask for the verdict."""


@dataclass(frozen=True, slots=True)
class Kept:
    """
    What a ledger keeps of a row key.

    :param entries: Its lines in the result table.
    :param rows: What syncs remember under the row key.
    :param leads: Leads that it reached.
    :param match_keys: Match keys of these leads, and of its last sending, as hashes.
    :param sendings: Sendings without a verdict.
    :param under_way: When each sending began that LeadSquared may still be at work on, seconds since the epoch, those
        of other rows of the same leads too; the latest first.
    :param other_rows: Row keys that reached the same leads: their next run sends them once more.
    """

    entries: int
    rows: int
    leads: int
    match_keys: int
    sendings: int
    under_way: tuple[float, ...]
    other_rows: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing."""
        return not (self.entries or self.rows or self.sendings)


def row_lines(
    connection: Connection, tables: Tables, row_key: str, sync_ids: Iterable[str]
) -> list[tuple[str, RowLine]]:
    """Return what the memory of some syncs holds under a row key, each line with its account."""
    ids = [digest(sync_id, row_key) for sync_id in sync_ids]
    found: list[tuple[str, RowLine]] = []
    for account_id in connection.execute(select(tables.counters.c.account_id)).scalars().all():
        lines = _load(connection, tables, account_id, ids)
        found += [(account_id, line) for line in lines.values() if isinstance(line, RowLine)]
    return found


class Erasure:
    """
    All that a ledger keeps of a row key, in one transaction.

    :param connection: In a transaction; one that writes, to erase.
    :param tables: The ledger's tables.
    :param row_key: The row key.
    :param now: The time in seconds since the epoch.
    :param settle_timeout: Seconds after which LeadSquared cannot be at work on a sending any more.
    """

    def __init__(
        self, connection: Connection, tables: Tables, row_key: str, *, now: float, settle_timeout: float
    ) -> None:
        self._connection, self._tables = connection, tables
        self._row_key, self._now = row_key, now
        entries = tables.entries
        columns = ("scope", "entry_id", "sync_id", "state", "accepted_at", "written_at")
        query = select(*[entries.c[name] for name in columns]).where(entries.c.row_key == row_key)
        self._entries = connection.execute(query).all()
        runs = tables.runs
        syncs = set(connection.execute(select(runs.c.sync_id).where(runs.c.sync_id.is_not(None)).distinct()).scalars())
        syncs |= {line.sync_id for line in self._entries if line.sync_id is not None}
        self._rows = row_lines(connection, tables, row_key, sorted(syncs))
        #: Of each account, the lines that say something of the row's leads.
        self._lines: dict[str, dict[str, Line]] = {}
        #: The ids of sendings without a verdict, each with its line in the result table.
        self._sendings: dict[str, tuple[str, str]] = {}
        #: When what has no verdict began, by line of the result table.
        self._begun = {
            (line.scope, line.entry_id): seconds_of(line.accepted_at or line.written_at)
            for line in self._entries
            if line.state in _UNDER_WAY
        }
        for account_id, row in self._rows:
            self._lines.setdefault(account_id, {}).update(self._lines_of(account_id, row))
        self._read_sendings_beside()
        self._under_way = sorted((one for one in self._begun.values() if one > now - settle_timeout), reverse=True)

    @property
    def kept(self) -> Kept:
        """What there is."""
        lines = [line for of_account in self._lines.values() for line in of_account.values()]
        return Kept(
            len(self._entries),
            len(self._rows),
            sum(isinstance(line, LeadLine) for line in lines),
            sum(isinstance(line, KeyLine) for line in lines),
            len(self._sendings),
            tuple(self._under_way),
            self._other_rows(),
        )

    def erase(self) -> None:
        """
        Delete all of it; durable when the transaction ends.

        :raises UnderWayError: LeadSquared may be at work on a sending of the row, or of another with the same lead.
        """
        if self._under_way:
            raise UnderWayError("a sending of this row, or of another with the same lead, is not settled")
        connection, tables = self._connection, self._tables
        for account_id, lines in self._lines.items():
            number = next_numbers(connection, tables.counters, account_id, 1)  # makes other writers wait
            others = self._cut_kin(account_id, lines)
            self._end_unchanged(account_id, lines | others)
            gone = delete(tables.lines).where(tables.lines.c.account_id == account_id)
            delete_in(connection, gone, tables.lines.c.line_id, sorted(lines))
            self._save(account_id, [LeadLine(ERASED, number, number, number)])
        ids = [row.line_id for _, row in self._rows]
        for table in tables.all.sorted_tables:
            if "row_line" in table.c:
                delete_in(connection, delete(table), table.c.row_line, ids)
        connection.execute(delete(tables.entries).where(tables.entries.c.row_key == self._row_key))

    def _lines_of(self, account_id: str, row: RowLine) -> dict[str, Line]:
        """
        Return the lines that say something of a row.

        They are its own, those of the leads that it reached with all their match keys, and those of the match keys that
        it was sent with last.
        """
        connection, tables = self._connection, self._tables
        self._read_sendings(row)
        lines: dict[str, Line] = {row.line_id: row} | self._naming(account_id, row.line_id)
        ids = set() if row.success is None else {row.success.lead, *(key for _, key in row.success.match_keys)}
        for _ in range(2):  # the leads, then their match keys
            lines |= _load(connection, tables, account_id, sorted(ids - lines.keys()))
            leads = [line for line in lines.values() if isinstance(line, LeadLine)]
            ids = {key for lead in leads for names in lead.keys.values() for key in names}
        return lines

    def _naming(self, account_id: str, row_line: str) -> dict[str, Line]:
        """Return the lines of match keys and leads that name a row; no index leads there, so all are searched."""
        lines = self._tables.lines
        query = select(*[lines.c[name] for name in LINE_COLUMNS]).where(
            lines.c.account_id == account_id, lines.c.details.contains(row_line)
        )
        return {values[0]: read_line(tuple(values)) for values in self._connection.execute(query)}

    def _read_sendings(self, row: RowLine) -> None:
        """Note a row's sendings without a verdict, and when they began; also those that are not waited for any more."""
        unsettled = self._tables.unsettled
        mine = select(unsettled).where(unsettled.c.sync_id == row.sync_id, unsettled.c.row_line == row.line_id)
        for line in self._connection.execute(mine):
            entry = line.scope, line.entry_id
            self._sendings[line.sending_id] = entry
            self._begun[entry] = max(self._begun.get(entry, 0.0), seconds_of(line.accepted_at or line.intended_at))

    def _read_sendings_beside(self) -> None:
        """
        Note when other rows' sendings began that have no verdict and concern the same lines.

        Without these lines nothing would wait for them.
        """
        lines = [line for of_account in self._lines.values() for line in of_account.values()]
        ids = {one for line in lines for one in line.unsettled} - self._sendings.keys()
        unsettled = self._tables.unsettled
        for line in select_in(self._connection, select(unsettled), unsettled.c.sending_id, sorted(ids)):
            self._begun[line.scope, line.entry_id] = seconds_of(line.accepted_at or line.intended_at)

    def _end_unchanged(self, account_id: str, changed: dict[str, Line]) -> None:
        """Let no row pass for unchanged any more of which a line is changed, as the memory does whenever it saves."""
        leads = {line.lead for line in changed.values() if isinstance(line, KeyLine) and line.lead is not None}
        known = changed | _load(self._connection, self._tables, account_id, sorted(leads - changed.keys()))
        unchanged = self._tables.unchanged
        delete_in(self._connection, delete(unchanged), unchanged.c.row_line, sorted(rows_ended_by(changed, known.get)))

    def _cut_kin(self, account_id: str, lines: dict[str, Line]) -> dict[str, Line]:
        """Let other match keys forget that one lead may have them and those that are erased, and return them."""
        kin = {one for line in lines.values() if isinstance(line, KeyLine) for one in line.kin} - lines.keys()
        others = _load(self._connection, self._tables, account_id, sorted(kin))
        for line in others.values():
            if isinstance(line, KeyLine):
                line.kin -= lines.keys()
        self._save(account_id, list(others.values()))
        return others

    def _save(self, account_id: str, lines: Sequence[Line]) -> None:
        common = {"account_id": account_id, "written_at": timestamp(self._now)}
        rows = [{**dict(zip(LINE_COLUMNS, line_values(line), strict=True)), **common} for line in lines]
        upsert(self._connection, self._tables.lines, rows)

    def _other_rows(self) -> tuple[str, ...]:
        """Return the keys of other rows that wrote one of the leads last, of some sync."""
        found: set[str] = set()
        for account_id, lines in self._lines.items():
            leads = [line for line in lines.values() if isinstance(line, LeadLine)]
            writers = {writer.row_line for lead in leads for writer in lead.writers.values()} - lines.keys()
            rows = _load(self._connection, self._tables, account_id, sorted(writers)).values()
            found |= {line.row_key for line in rows if isinstance(line, RowLine)}
        return tuple(sorted(found - {self._row_key}))


def _load(connection: Connection, tables: Tables, account_id: str, ids: Sequence[str]) -> dict[str, Line]:
    lines = tables.lines
    columns = [lines.c[name] for name in LINE_COLUMNS]
    query = select(*columns).where(lines.c.account_id == account_id)
    found: list[Any] = select_in(connection, query, lines.c.line_id, list(ids))
    return {values[0]: read_line(tuple(values)) for values in found}
