"""
The ledger of a sync: a SQL ledger whose runs remember, by lead, what the runs before them brought about.

Memory and result table change in one transaction, so they never disagree.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from airflow_provider_leadsquared.api.leads import attributes_of
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State, names_of
from airflow_provider_leadsquared.ledgers.column_values import digest, timestamp
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.entry_rows import read_entry
from airflow_provider_leadsquared.ledgers.memory import Finding, RunOfSync
from airflow_provider_leadsquared.ledgers.memory_lines import MemoryRow, Refusal, Sending
from airflow_provider_leadsquared.ledgers.memory_store import NUMBERS_PER_VERDICT, MemoryStore
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sql import SqlLedger
from airflow_provider_leadsquared.ledgers.statements import select_in
from airflow_provider_leadsquared.ledgers.unchanged_rows import UnchangedRows

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Rows that are not sent are written so many at a time.
_GROUP_ROWS = 1_000
#: Characters of a sync's name that the table of runs holds.
_NAME_LENGTH = 250
#: The reason class of a row that waits because something was sent for its lead since this run began.
OTHER_RUN = "OtherRun"
_OTHER_RUN = (
    "something was sent for this lead since this run began, by another run or for another row; the next run sends the "
    "newest value"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncIdentity:
    """
    Which sync a ledger is opened for.

    :param sync: Names the sync: runs under one name share what they know of rows.
    :param account: Names the account: syncs into one account share what they know of leads.
    :param moves_keys: Whether an existing lead gets the match keys that are sent.
    :param overwrites: Whether an existing lead gets the other values that are sent, where it has some.
    :param fills: Whether an existing lead gets them where it has none.
    """

    sync: str
    account: str
    moves_keys: bool = True
    overwrites: bool = True
    fills: bool = True


class SyncLedger(SqlLedger):
    """
    The ledger of one run of a sync.

    :param database: The ledger's database.
    :param run: Whose entries to write.
    :param identity: Which sync it is.
    :param settle_timeout: Seconds for which an unsettled sending keeps other values back.
    :param clock: Tells the time in seconds since the epoch, for the times in the result table.
    :param shared_clock: Tells the time on a clock that all writers share.
    """

    def __init__(
        self,
        database: Database,
        *,
        run: RunOfTask,
        identity: SyncIdentity,
        settle_timeout: float,
        clock: Callable[[], float],
        shared_clock: Callable[[Connection], float],
    ) -> None:
        super().__init__(database, run=run, clock=clock)
        self._identity = identity
        self._sync_id, self._sync = digest(identity.sync), identity.sync[:_NAME_LENGTH]
        self._memory = MemoryStore(
            database, account=identity.account, settle_timeout=settle_timeout, clock=shared_clock
        )
        #: The rows that are known to be unchanged as long as the source returns the same values.
        self.unchanged = UnchangedRows(database, self._memory, self._sync_id)
        self._run_of_sync = RunOfSync(
            self._sync_id, self._scope(), uuid.uuid4().hex, digest(run.dag_id, run.task_id, run.map_index), 0
        )
        #: The sendings of this try that have no outcome yet, by their row.
        self._sendings: dict[Identity, Sending] = {}

    def exists(self) -> bool:
        """Tell whether there is anything to remember, and create no table."""
        return self._database.exists()

    def begin(self) -> None:
        """
        Begin a try: what other runs intend from now on, this one does not overwrite.

        To be called before the source is read.
        """
        with self._database.writing() as connection:
            number = self._memory.draw_numbers(connection, 1)[0]
        self._run_of_sync = replace(self._run_of_sync, started=number)

    def last_number(self) -> int:
        """Return the number of the account's last intent or verdict; a ledger with a smaller one is an older copy."""
        with self._database.reading() as connection:
            return self._memory.last_number(connection)

    def earlier_entries(self) -> tuple[dict[tuple[str | None, str], Entry], list[Entry]]:
        """Return what earlier tries of this run have sent, by row key and fingerprint, and further receipts of rows."""
        records = self.load()
        entries = {
            (entry.row_key, entry.fingerprint): entry for entry in records.entries.values() if entry.state.was_sent
        }
        return entries, list(records.others)

    def states_of(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return rows of this run as the result table has them; those that it does not have are left out."""
        rows = {digest(*entry.identity): entry.row for entry in entries}
        table = self._tables.entries
        statement = select(table).where(table.c.scope == self._scope())
        with self._database.reading() as connection:
            found = select_in(connection, statement, table.c.entry_id, list(rows))
        return [replace(read_entry(line), row=rows[line.entry_id]) for line in found]

    # --- comparing

    def compare(self, rows: Sequence[tuple[Entry, Payload]]) -> list[Finding]:
        """Return what is known of the leads of some rows, in order."""
        asked = [self._memory_row(entry, payload) for entry, payload in rows]
        ids = {one for row in asked for one in (row.row_line, *(key for _, key in row.match_keys))}
        with self._database.reading() as connection:
            loaded = self._memory.load(connection, ids)
        is_compared = self._identity.overwrites
        found = []
        for row, (_, payload) in zip(asked, rows, strict=True):
            values = partial(self._values, payload) if is_compared else dict
            one = loaded.memory.compare(row, self._run_of_sync, values)
            found.append(replace(one, lines_digest=loaded.digest_of(row.row_line)) if one.is_lasting else one)
        return found

    def row_line(self, row_key: str) -> str:
        """Return the id under which the memory knows a row key."""
        return self._memory.row_line(self._run_of_sync.sync_id, row_key)

    def see_owners(self, leads: Sequence[str]) -> None:
        """Note that rows of this run are those that write some contested leads."""
        if not leads:
            return
        with self._database.writing() as connection:
            self._memory.draw_numbers(connection, 1)
            loaded = self._memory.load(connection, leads)
            for lead in leads:
                loaded.memory.see_owner(lead, self._run_of_sync)
            self._memory.save(connection, loaded)

    def write_not_sent(self, entries: Iterable[Entry]) -> None:
        """Replace what this run wrote about rows that it does not send."""
        entries = iter(entries)
        table = self._tables.entries
        not_sent = table.c.state.in_(names_of(lambda state: state.is_not_sent))
        with self._database.writing() as connection:
            self._confirm_claim(connection)
            connection.execute(delete(table).where(table.c.scope == self._scope(), not_sent))
            while group := list(islice(entries, _GROUP_ROWS)):
                self._write_entries(connection, group)
                self._show_superseded(connection, [entry for entry in group if entry.state is State.SUPERSEDED])

    def _show_superseded(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Let superseded rows be shown as such, not by their last sending; what is open stays in view."""
        if not entries:
            return
        self._memory.draw_numbers(connection, 1)  # makes other writers wait
        rows = {self.row_line(entry.row_key): entry for entry in entries if entry.row_key is not None}
        loaded = self._memory.load(connection, rows)
        for line_id, entry in rows.items():
            loaded.memory.show_last(line_id, self._scope(), digest(*entry.identity))
        self._memory.save(connection, loaded)

    # --- sending

    def intend(self, rows: Sequence[tuple[Entry, Payload]]) -> list[Entry]:
        """Write intents; a row whose lead another run has sent to since this try began becomes ``waiting``."""
        asked = [self._memory_row(entry, payload) for entry, payload in rows]
        values = [self._values(payload) if self._identity.fills else {} for _, payload in rows]
        ids = {one for row in asked for one in (row.row_line, *(key for _, key in row.match_keys))}
        intended: list[Entry] = []
        sendings: dict[Identity, Sending] = {}
        with self._database.writing() as connection:
            self._confirm_claim(connection)
            # The first number is for a sending of the same values that was repeated within one call.
            no = self._memory.draw_numbers(connection, 2)[1]
            loaded = self._memory.load(connection, ids)
            for (entry, _), row, sent in zip(rows, asked, values, strict=True):
                # The same when a transaction is repeated whose end nobody heard of.
                sending_id = digest(self._run_of_sync.try_id, *entry.identity, entry.attempts)
                sending = loaded.memory.intend(
                    row,
                    self._run_of_sync,
                    no=no,
                    sending_id=sending_id,
                    entry_id=digest(*entry.identity),
                    values=sent,
                )
                if sending is not None:
                    sendings[entry.identity] = sending
                    intended.append(entry)
                else:
                    intended.append(entry.moved(State.WAITING, reason_class=OTHER_RUN, reason=_OTHER_RUN))
            self._set_receipts_aside(connection, [entry for entry in intended if entry.attempts > 1])
            self._write_entries(connection, intended)
            entries = {entry.identity: entry for entry in intended}
            lines = [self._unsettled(sending, entries[one]) for one, sending in sendings.items()]
            self._memory.add_sendings(connection, lines)
            self._memory.save(connection, loaded)
        self._sendings.update(sendings)
        return intended

    def _forget_sendings(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if not _is_doubt(entry):
                self._sendings.pop(entry.identity, None)

    def _remember(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Let the memory know of outcomes."""
        known = [(entry, self._sendings[entry.identity]) for entry in entries if entry.identity in self._sendings]
        settled = [(entry, sending) for entry, sending in known if not (entry.state.is_open or _is_doubt(entry))]
        repeated = [(entry, sending) for entry, sending in known if entry.doubted_at is not None]
        opened = [(entry, sending) for entry, sending in known if entry.state.is_open]
        lines = []
        for entry, sending in opened:
            sending.state = State.OPEN
            lines.append(self._unsettled(sending, entry))
        if settled or repeated:
            numbers = self._memory.draw_numbers(connection, NUMBERS_PER_VERDICT * (len(settled) + 1))
            ids = {line for _, sending in (*settled, *repeated) for line in sending.lines}
            loaded = self._memory.load(connection, ids, numbers=numbers)
            for entry, sending in repeated:
                doubt_id = digest(sending.sending_id, "doubt")
                doubt = replace(sending, sending_id=doubt_id, no=sending.no - 1, state=State.IN_DOUBT)
                loaded.memory.add(doubt)
                lines.append(self._unsettled(doubt, replace(entry, request_id=None, accepted_at=None)))
            for entry, sending in settled:
                loaded.memory.settle(sending, entry.state, refusal=refusal_of(entry, sending))
            self._memory.save(connection, loaded)
            self._memory.delete_sendings(connection, [sending.sending_id for _, sending in settled])
        self._memory.add_sendings(connection, lines)

    def _unsettled(self, sending: Sending, entry: Entry) -> dict[str, Any]:
        return {**self._memory.sending_values(sending), **unsettled_values(entry)}

    def _values(self, payload: Payload) -> dict[str, str]:
        """
        Return a hash of each value that takes the place of what an existing lead has.

        What fills an attribute that is empty has a name of its own, and so has an empty value, which it takes the
        place of.
        """
        texts: dict[str, str] = {}
        for name, value in attributes_of(payload).items():
            if isinstance(value, dict):
                texts |= {f"{name}.{inner}": str(text) for inner, text in value.items()}
            elif name != "SearchBy":
                texts[name] = str(value)
        keys = dict(payload.match_keys)  # in one spelling
        overwrites = self._identity.overwrites
        if self._identity.moves_keys or not overwrites:
            texts |= keys
        else:
            unique = {*keys, *payload.cleared}
            texts = {name: text for name, text in texts.items() if name not in unique}
        filled = {f"{name} if empty": text for name, text in texts.items() if not (overwrites and text)}
        return self._memory.value_hashes(texts | filled if overwrites else filled)

    def _memory_row(self, entry: Entry, payload: Payload) -> MemoryRow:
        row_key = entry.row_key or ""
        return MemoryRow(
            self.row_line(row_key),
            row_key,
            self._memory.key_lines(payload.match_keys),
            payload.fingerprint,
            self._identity.moves_keys,
            payload.cleared,
        )


def unsettled_values(entry: Entry) -> dict[str, Any]:
    """Return what the line of an unsettled sending has of its row's entry."""
    is_asked_for = entry.state.is_open or entry.is_lost
    return {
        "row_no": entry.row,
        "api": entry.api,
        "request_id": entry.request_id,
        "accepted_at": timestamp(entry.accepted_at),
        "attempts": entry.attempts,
        "reason_class": entry.reason_class if is_asked_for else None,
        "reason": entry.reason if is_asked_for else None,
        "unknown_since": timestamp(entry.unknown_since),
        "asked_at": timestamp(entry.asked_at),
        "attempted_by": timestamp(entry.attempted_by),
    }


def refusal_of(entry: Entry, sending: Sending) -> Refusal | None:
    """Return why LeadSquared rejected a row, None if it did not."""
    if entry.state is not State.REJECTED:
        return None
    return Refusal(sending.no, sending.row.fingerprint, entry.settled_at or 0.0, entry.reason_class, entry.reason)


def _is_doubt(entry: Entry) -> bool:
    return entry.state is State.IN_DOUBT
