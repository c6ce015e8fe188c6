"""Lines and sendings in the ledger's tables: which are loaded for some rows, and how they are written."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from airflow_provider_leadsquared.ledgers.column_values import digest, timestamp
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.ledgers.memory_lines import ERASED, Line, MatchKey, Sending
from airflow_provider_leadsquared.ledgers.memory_routes import lines_to_load
from airflow_provider_leadsquared.ledgers.memory_rows import (
    LINE_COLUMNS,
    line_values,
    read_line,
    read_sending,
    sending_details,
)
from airflow_provider_leadsquared.ledgers.memory_unchanged import lasting_lines, rows_ended_by
from airflow_provider_leadsquared.ledgers.statements import delete_in, next_numbers, select_in, upsert

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Numbers that settling one sending takes at the most, with up to five match keys.
NUMBERS_PER_VERDICT = 20
#: Where spellings of a phone number differ, it is before these last digits: country code, and zeros that stand for it.
_LAST_DIGITS = 7


class MemoryStore:
    """
    The memory that all syncs into one account share.

    :param database: The ledger's database.
    :param account: Names the account.
    :param settle_timeout: Seconds after which a sending without a verdict is not waited for any more.
    :param clock: Tells the time in seconds since the epoch, on one clock for all workers.
    """

    def __init__(
        self, database: Database, *, account: str, settle_timeout: float, clock: Callable[[Connection], float]
    ) -> None:
        self._database, self._settle_timeout, self._clock = database, settle_timeout, clock
        self._tables = database.tables
        self.account_id = digest(account)

    # --- ids

    def row_line(self, sync_id: str, row_key: str) -> str:
        """Return the id of the line of a row key."""
        return digest(sync_id, row_key)

    def lead_line(self, lead_id: str) -> str:
        """Return the id of the line of a lead; LeadSquared compares ids without regard to case."""
        return digest("lead", lead_id.lower())

    def key_lines(self, match_keys: Iterable[tuple[str, str]]) -> tuple[MatchKey, ...]:
        """
        Return match keys with the ids of their lines: hashes under the ledger's salt, for they are personal data.

        Phone numbers with the same last digits have ids with the same end (``memory_lines.may_be_one``).
        """
        return tuple((name, self._key_line(name, text)) for name, text in match_keys)

    def _key_line(self, name: str, text: str) -> str:
        line_id = self._salted_hash(f"{name}={text}")[:32]
        digits = "".join(sign for sign in text if sign in "0123456789") if name == "Phone" else ""
        if len(digits) < _LAST_DIGITS:
            return line_id
        return f"{line_id[:23]}-{self._salted_hash(f'digits={digits[-_LAST_DIGITS:]}')[:8]}"

    def value_hashes(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return a short hash of each value under the ledger's salt: enough to see whether it is another one."""
        salt = self._database.salt().encode()
        return {
            name: hashlib.blake2b(f"{name}={text}".encode(), key=salt, digest_size=6).hexdigest()
            for name, text in values.items()
        }

    def secret(self, purpose: str) -> bytes:
        """Return 32 bytes for a purpose that nobody can tell who does not know the ledger's salt."""
        return bytes.fromhex(self._salted_hash(purpose))

    def _salted_hash(self, text: str) -> str:
        return hmac.new(self._database.salt().encode(), text.encode(), hashlib.sha256).hexdigest()

    # --- loading and saving

    def draw_numbers(self, connection: Connection, count: int) -> range:
        """Take numbers of the account's counter; until the transaction ends, nobody else takes any."""
        first = next_numbers(connection, self._tables.counters, self.account_id, count)
        return range(first, first + count)

    def last_number(self, connection: Connection) -> int:
        """Return the number that was taken last, 0 if none was."""
        counters = self._tables.counters
        found = connection.execute(select(counters.c.no).where(counters.c.account_id == self.account_id))
        return int(found.scalar_one_or_none() or 0)

    def load(
        self,
        connection: Connection,
        ids: Iterable[str],
        *,
        sendings: Iterable[Sending] = (),
        numbers: Iterable[int] | None = None,
    ) -> LoadedMemory:
        """
        Load the lines that some rows concern, and those that lead on from them.

        :param ids: The lines of the rows: row keys, match keys, leads.
        :param sendings: Sendings that are known already.
        :param numbers: Numbers to use, where something is to be written.
        """
        lines: dict[str, Line] = {}
        unsettled = {sending.sending_id: sending for sending in sendings}
        stored: dict[str, Sequence[Any]] = {}
        looked_up: set[str] = set()
        wanted = {*ids, ERASED}
        while wanted:
            looked_up |= wanted
            found = self._lines(connection, wanted)
            stored.update(found)
            new = {line_id: read_line(values) for line_id, values in found.items()}
            lines.update(new)
            missing = {one for line in new.values() for one in line.unsettled} - unsettled.keys()
            more = self._sendings(connection, missing)
            unsettled.update(more)
            wanted = set(lines_to_load(new.values(), more.values())) - looked_up
        draw = None if numbers is None else iter(numbers).__next__
        now = self._clock(connection)
        memory = LeadMemory(lines, unsettled, looked_up, now=now, settle_timeout=self._settle_timeout, draw=draw)
        return LoadedMemory(memory, stored, now)

    def save(self, connection: Connection, loaded: LoadedMemory) -> None:
        """Write the lines that have changed."""
        common = {"account_id": self.account_id, "written_at": timestamp(loaded.now)}
        changed = []
        for line_id, line in loaded.memory.lines.items():
            values = line_values(line)
            if values != loaded.stored.get(line_id):
                changed.append({**dict(zip(LINE_COLUMNS, values, strict=True)), **common})
        upsert(connection, self._tables.lines, changed)
        ended = rows_ended_by((line["line_id"] for line in changed), loaded.stored_line)
        unchanged = self._tables.unchanged
        delete_in(connection, delete(unchanged), unchanged.c.row_line, sorted(ended))

    def add_sendings(self, connection: Connection, lines: Sequence[dict[str, Any]]) -> None:
        """Write unsettled sendings."""
        upsert(connection, self._tables.unsettled, lines)

    def delete_sendings(self, connection: Connection, sending_ids: Sequence[str]) -> None:
        """Delete sendings that have their verdict."""
        unsettled = self._tables.unsettled
        delete_in(connection, delete(unsettled), unsettled.c.sending_id, sending_ids)

    def sending_values(self, sending: Sending) -> dict[str, Any]:
        """Return a sending as the columns of its line that the memory needs."""
        row = sending.row
        return {
            "sending_id": sending.sending_id,
            "sync_id": sending.sync_id,
            "scope": sending.scope,
            "entry_id": sending.entry_id,
            "row_line": row.row_line,
            "row_key": row.row_key,
            "no": sending.no,
            "state": sending.state.value,
            "fingerprint": row.fingerprint,
            "try_id": sending.try_id,
            "partition_id": sending.partition,
            "intended_at": timestamp(sending.intended_at),
            "details": sending_details(sending),
        }

    def _lines(self, connection: Connection, ids: set[str]) -> dict[str, Sequence[Any]]:
        lines = self._tables.lines
        columns = [lines.c[name] for name in LINE_COLUMNS]
        statement = select(*columns).where(lines.c.account_id == self.account_id)
        return {line[0]: tuple(line) for line in select_in(connection, statement, lines.c.line_id, sorted(ids))}

    def _sendings(self, connection: Connection, ids: set[str]) -> dict[str, Sending]:
        if not ids:
            return {}
        unsettled = self._tables.unsettled
        found = select_in(connection, select(unsettled), unsettled.c.sending_id, sorted(ids))
        return {line.sending_id: read_sending(line) for line in found}


@dataclass(frozen=True, slots=True)
class LoadedMemory:
    """
    A memory, and its lines as they were stored.

    :param memory: The memory.
    :param stored: The values of each line's columns by its id.
    :param now: When they were loaded, seconds since the epoch.
    """

    memory: LeadMemory
    stored: dict[str, Sequence[Any]]
    now: float

    def stored_line(self, line_id: str) -> Line | None:
        """Return a line as it was stored, None if it was not."""
        values = self.stored.get(line_id)
        return None if values is None else read_line(values)

    def digest_of(self, row_line: str) -> str:
        """Return a hash of the lines of a row that is lasting, as they were stored."""
        return digest(*(self.stored.get(one) for one in lasting_lines(row_line, self.memory.lines)))

    def is_settled(self, row_line: str) -> bool:
        """Tell whether no line of a row that is lasting has an unsettled sending."""
        lines = self.memory.lines
        return not any(lines[one].unsettled for one in lasting_lines(row_line, lines) if one in lines)
