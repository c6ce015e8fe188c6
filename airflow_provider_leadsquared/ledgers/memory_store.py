"""Lines and sendings in the ledger's tables: which are loaded for some rows, and how they are written."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import digest, seconds_of, timestamp
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.ledgers.memory_lines import (
    Intent,
    KeyLine,
    LeadLine,
    Line,
    MatchKey,
    MemoryRow,
    Refusal,
    RowLine,
    Sending,
    Success,
    Writer,
)
from airflow_provider_leadsquared.ledgers.memory_routes import lines_to_load
from airflow_provider_leadsquared.ledgers.statements import delete_in

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

_KINDS: dict[str, type[Line]] = {"r": RowLine, "k": KeyLine, "l": LeadLine}
_NAMES = {kind: name for name, kind in _KINDS.items()}
#: Numbers that settling one sending takes at the most, with up to five match keys.
NUMBERS_PER_VERDICT = 16


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
        """Return match keys with the ids of their lines: hashes under the ledger's salt, for they are personal data."""
        salt = self._database.salt().encode()
        return tuple(
            (name, hmac.new(salt, f"{name}={text}".encode(), hashlib.sha256).hexdigest()[:32])
            for name, text in match_keys
        )

    # --- loading and saving

    def draw_numbers(self, connection: Connection, count: int) -> range:
        """Take numbers of the account's counter; until the transaction ends, nobody else takes any."""
        first = self._database.next_numbers(connection, self.account_id, count)
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
        stored: dict[str, dict[str, Any]] = {}
        looked_up: set[str] = set()
        wanted = set(ids)
        while wanted:
            looked_up |= wanted
            found = self._lines(connection, wanted)
            stored.update(found)
            new = {line_id: _line(values) for line_id, values in found.items()}
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
        now = timestamp(loaded.now)
        changed = []
        for line_id, line in sorted(
            loaded.memory.lines.items()
        ):  # in one order, so that no two writers block each other
            values = {"account_id": self.account_id, **_line_values(line)}
            before = loaded.stored.get(line_id)
            if before is None or any(before[name] != value for name, value in values.items()):
                changed.append({**values, "written_at": now})
        self._database.upsert(connection, self._tables.lines, changed)

    def add_sendings(self, connection: Connection, lines: Sequence[dict[str, Any]]) -> None:
        """Write unsettled sendings."""
        self._database.upsert(connection, self._tables.unsettled, lines)

    def delete_sendings(self, connection: Connection, sending_ids: Sequence[str]) -> None:
        """Delete sendings that have their verdict."""
        unsettled = self._tables.unsettled
        delete_in(connection, delete(unsettled), unsettled.c.sending_id, sending_ids)

    def sending_values(self, sending: Sending) -> dict[str, Any]:
        """Return a sending as the columns of its line that the memory needs."""
        row = sending.row
        details = [row.match_keys, row.moves_keys, row.cleared, sending.lines, sending.leads]
        return {
            "sending_id": sending.sending_id,
            "account_id": self.account_id,
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
            "details": json.dumps(details),
        }

    def _lines(self, connection: Connection, ids: set[str]) -> dict[str, dict[str, Any]]:
        lines = self._tables.lines
        statement = select(lines).where(lines.c.account_id == self.account_id)
        found = self._database.select_in(connection, statement, lines.c.line_id, sorted(ids))
        return {line.line_id: dict(line._mapping) for line in found}

    def _sendings(self, connection: Connection, ids: set[str]) -> dict[str, Sending]:
        if not ids:
            return {}
        unsettled = self._tables.unsettled
        found = self._database.select_in(connection, select(unsettled), unsettled.c.sending_id, sorted(ids))
        return {line.sending_id: read_sending(line) for line in found}


@dataclass(frozen=True, slots=True)
class LoadedMemory:
    """
    A memory, and its lines as they were stored.

    :param memory: The memory.
    :param stored: The columns of each line by its id.
    :param now: When they were loaded, seconds since the epoch.
    """

    memory: LeadMemory
    stored: dict[str, dict[str, Any]]
    now: float


def read_sending(line: Row[Any]) -> Sending:
    """Read a sending from its line in the table of unsettled sendings."""
    match_keys, moves_keys, cleared, lines, leads = json.loads(line.details)
    row = MemoryRow(line.row_line, line.row_key, _match_keys(match_keys), line.fingerprint, moves_keys, tuple(cleared))
    return Sending(
        line.sending_id,
        line.no,
        line.sync_id,
        row,
        line.try_id,
        line.scope,
        line.entry_id,
        line.partition_id,
        seconds_of(line.intended_at) or 0.0,
        tuple(lines),
        tuple(leads),
        State(line.state),
    )


def _line_values(line: Line) -> dict[str, Any]:
    """Return a line as columns."""
    details: dict[str, Any] = {"unsettled": line.unsettled, "last": line.last and _in_order(line.last)}
    values: dict[str, Any] = {
        "line_id": line.line_id,
        "kind": _NAMES[type(line)],
        "no": line.no,
        "dirty": line.dirty,
        "touched": line.touched,
        "moved": 0,
        "proved": 0,
        "lead_line": None,
        "sync_id": None,
        "row_key": None,
        "last_scope": None,
        "last_entry": None,
    }
    if isinstance(line, RowLine):
        values |= {
            "sync_id": line.sync_id,
            "row_key": line.row_key,
            "last_scope": line.last_scope,
            "last_entry": line.last_entry,
        }
        details |= {
            "success": line.success and [line.success.no, line.success.match_keys, line.success.lead],
            "refusal": line.refusal and _in_order(line.refusal),
            "sent": line.sent,
        }
    elif isinstance(line, KeyLine):
        values |= {"moved": line.moved, "proved": line.proved, "lead_line": line.lead}
        details |= {"kin": sorted(line.kin)}
    elif isinstance(line, LeadLine):
        details |= {"keys": line.keys, "writers": {sync: _in_order(one) for sync, one in line.writers.items()}}
    return {**values, "details": json.dumps({name: value for name, value in details.items() if value})}


def _line(values: dict[str, Any]) -> Line:
    """Read a line from its columns."""
    details = json.loads(values["details"])
    common: dict[str, Any] = {name: values[name] for name in ("line_id", "no", "dirty", "touched")}
    common["last"] = Intent(*details["last"]) if "last" in details else None
    common["unsettled"] = details.get("unsettled", [])
    if values["kind"] == "r":
        success = details.get("success")
        common |= {name: values[name] or "" for name in ("sync_id", "row_key", "last_scope", "last_entry")}
        return RowLine(
            **common,
            success=success and Success(success[0], _match_keys(success[1]), success[2]),
            refusal=Refusal(*details["refusal"]) if "refusal" in details else None,
            sent=details.get("sent"),
        )
    if values["kind"] == "k":
        kin = set(details.get("kin", ()))
        return KeyLine(**common, lead=values["lead_line"], proved=values["proved"], moved=values["moved"], kin=kin)
    writers = {sync: Writer(*one) for sync, one in details.get("writers", {}).items()}
    return LeadLine(**common, keys=details.get("keys", {}), writers=writers)


def _in_order(part: Intent | Refusal | Writer) -> list[Any]:
    """Return the fields of a part of a line; ``dataclasses.astuple`` copies each of them, which takes long."""
    return [getattr(part, name) for name in part.__slots__]


def _match_keys(pairs: Iterable[Sequence[str]]) -> tuple[MatchKey, ...]:
    return tuple((name, key) for name, key in pairs)
