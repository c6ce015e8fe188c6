"""The open requests of a sync, whichever of its runs and tries sent them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State, names_of
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.column_values import digest, seconds_of, timestamp
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.entry_rows import entry_values, read_entry
from airflow_provider_leadsquared.ledgers.memory_rows import read_sending
from airflow_provider_leadsquared.ledgers.memory_store import NUMBERS_PER_VERDICT, MemoryStore
from airflow_provider_leadsquared.ledgers.run_metadata import PollMetadata
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.statements import select_in, upsert
from airflow_provider_leadsquared.ledgers.sync import SyncIdentity, refusal_of, unsettled_values

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

#: Seconds for which a request that LeadSquared seems to have lost is still asked for.
_LOST_SECONDS = 7 * 86_400.0


class OpenRequests:
    """
    A :class:`VerdictLedger` of the open requests of a sync, whichever run sent them.

    :param database: The ledger's database.
    :param identity: Which sync it is.
    :param runs: The runs whose verdicts are counted, and under the first of which the time of the last poll is kept.
    :param settle_timeout: Seconds for which an unsettled sending keeps other values back.
    :param clock: Tells the time in seconds since the epoch, for the times in the result table.
    :param shared_clock: Tells the time on a clock that all writers share.
    :param account: Names the account and its retry ladder, for what its tasks have learnt of it. Default: not known.
    """

    def __init__(
        self,
        database: Database,
        *,
        identity: SyncIdentity,
        runs: Sequence[RunOfTask],
        settle_timeout: float,
        clock: Callable[[], float],
        shared_clock: Callable[[Connection], float],
        account: str | None = None,
    ) -> None:
        self._database, self._tables, self._clock = database, database.tables, clock
        self._memory = MemoryStore(
            database, account=identity.account, settle_timeout=settle_timeout, clock=shared_clock
        )
        self._sync_id = digest(identity.sync)
        scope = runs[0].scope if runs else self._sync_id
        self._metadata = PollMetadata(self._tables.metadata, scope, account)
        self._scopes = [run.scope_of_entries() for run in runs]
        self._runs = {(run.dag_id, run.run_id, run.task_id) for run in runs}
        self._sending_of: dict[Identity, str] = {}
        self._scope_of: dict[Identity, str] = {}
        self._run_of: dict[Identity, tuple[str, str, str]] = {}

    def load(self) -> Records:
        """Return the requests without a verdict, and those that LeadSquared seems to have lost of late."""
        unsettled, entries = self._tables.unsettled, self._tables.entries
        since = timestamp(self._clock() - _LOST_SECONDS)
        is_open = unsettled.c.state == State.OPEN.value
        is_lost = and_(unsettled.c.state == State.FAILED.value, unsettled.c.accepted_at >= since)
        own = and_(unsettled.c.scope == entries.c.scope, unsettled.c.entry_id == entries.c.entry_id)
        statement = (
            select(unsettled, entries.c.dag_id, entries.c.run_id, entries.c.task_id)
            .select_from(unsettled.outerjoin(entries, own))
            .where(unsettled.c.sync_id == self._sync_id, or_(is_open, is_lost))
        )
        found: dict[Identity, Entry] = {}
        with self._database.reading() as connection:
            metadata = self._metadata.read(connection)
            for line in connection.execute(statement):
                entry = _entry(line)
                found[entry.identity] = entry
                self._sending_of[entry.identity] = line.sending_id
                self._scope_of[entry.identity] = line.scope
                self._run_of[entry.identity] = line.dag_id, line.run_id, line.task_id
        return Records(found, metadata)

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write what was received about loaded requests; a verdict that is there stays."""
        received = {self._sending_of[entry.identity]: entry for entry in entries}
        with self._database.writing() as connection:
            if received:
                self._write_received(connection, received)
            self._metadata.write(connection, metadata or {}, self._clock())

    def _write_received(self, connection: Connection, received: dict[str, Entry]) -> None:
        # First of all, for it makes other writers wait.
        numbers = self._memory.draw_numbers(connection, NUMBERS_PER_VERDICT * len(received))
        lines = self._unsettled(connection, list(received))
        sendings = {line.sending_id: read_sending(line) for line in lines}
        received = {sending_id: received[sending_id] for sending_id in sendings}
        ids = {line for sending in sendings.values() for line in sending.lines}
        ids |= {self._memory.lead_line(entry.lead_id) for entry in received.values() if entry.lead_id}
        loaded = self._memory.load(connection, ids, sendings=sendings.values(), numbers=numbers)
        for sending_id, entry in received.items():
            sending = sendings[sending_id]
            if entry.state.is_final and entry.state is not sending.state:
                lead = self._memory.lead_line(entry.lead_id) if entry.lead_id else None
                loaded.memory.settle(sending, entry.state, lead=lead, refusal=refusal_of(entry, sending))
        self._memory.save(connection, loaded)
        columns = self._tables.unsettled.columns.keys()
        kept = [
            {**{name: line._mapping[name] for name in columns}, **unsettled_values(entry), "state": entry.state.value}
            for line in lines
            if not (entry := received[line.sending_id]).state.is_final or entry.is_lost
        ]
        self._memory.add_sendings(connection, kept)
        gone = set(received) - {line["sending_id"] for line in kept}
        self._memory.delete_sendings(connection, sorted(gone))
        self._update_results(connection, lines, received)

    def _unsettled(self, connection: Connection, sending_ids: Sequence[str]) -> list[Row[Any]]:
        """Return sendings without a verdict, each with its line in the result table as columns ``result_…``."""
        unsettled, results = self._tables.unsettled, self._tables.entries
        own = and_(unsettled.c.scope == results.c.scope, unsettled.c.entry_id == results.c.entry_id)
        beside = [column.label(f"result_{column.name}") for column in results.columns]
        statement = select(unsettled, *beside).select_from(unsettled.outerjoin(results, own))
        return select_in(connection, statement, unsettled.c.sending_id, sending_ids)

    def _update_results(self, connection: Connection, lines: Sequence[Row[Any]], received: dict[str, Entry]) -> None:
        """Write what was received into the result table; a row's further receipt gets a line of its own."""
        results = self._tables.entries
        names = results.columns.keys()
        beside = {line.sending_id: {name: line._mapping[f"result_{name}"] for name in names} for line in lines}
        further = {
            digest(line.row_key, line.fingerprint, 0, line.request_id): line.sending_id
            for line in lines
            # The row was sent again, and has another receipt there; or that line was moved aside already.
            if beside[line.sending_id]["request_id"] != line.request_id
        }
        found = select_in(connection, select(results), results.c.entry_id, sorted(further))
        own = {(line.scope, line.entry_id): dict(line._mapping) for line in found}
        # Not the scope of the row's own line: that is gone if the row was in doubt until this receipt came.
        scopes = {line.sending_id: line.scope for line in lines}
        for entry_id, sending_id in further.items():
            result = beside[sending_id]
            beside[sending_id] = own.get((scopes[sending_id], entry_id)) or {**result, "entry_id": entry_id}
        now = timestamp(self._clock())
        changed = [
            {**result, **_verdict_values(received[sending_id]), "written_at": now}
            for sending_id, result in beside.items()
            if result["scope"] is not None  # else a person has deleted it
        ]
        upsert(connection, results, changed)

    def is_older_than(self, number: int) -> bool:
        """Tell whether the ledger lacks what was written up to some number: a backup of it was restored."""
        with self._database.reading() as connection:
            return self._memory.last_number(connection) < number

    def is_of_runs(self, entry: Entry) -> bool:
        """Tell whether a loaded request belongs to one of the runs."""
        return self._scope_of.get(entry.identity) in self._scopes

    def is_of_earlier(self, entry: Entry) -> bool:
        """Tell whether a loaded request belongs to none of the runs, nor to another instance of their mapped task."""
        return self._run_of.get(entry.identity) not in self._runs

    def count(self) -> Counter[tuple[State, str | None]]:
        """Count the requests of the runs by state and reason class."""
        table = self._tables.entries
        statement = (
            select(table.c.state, table.c.reason_class, func.count())
            .where(table.c.request_id.is_not(None))
            .group_by(table.c.state, table.c.reason_class)
        )
        counts: Counter[tuple[State, str | None]] = Counter()
        with self._database.reading() as connection:
            for line in select_in(connection, statement, table.c.scope, self._scopes):
                state, reason_class, count = tuple(line)
                counts[State(state), reason_class] += count
        return counts

    def refused(self) -> list[Entry]:
        """Return the requests of the runs that were rejected or failed."""
        table = self._tables.entries
        statement = (
            select(table)
            .where(table.c.request_id.is_not(None), table.c.state.in_(names_of(lambda state: state.is_refused)))
            .order_by(table.c.row_no)
        )
        with self._database.reading() as connection:
            found = select_in(connection, statement, table.c.scope, self._scopes)
        return [read_entry(line) for line in found]


def _entry(line: Row[Any]) -> Entry:
    """
    Read an open request; it is known by its RequestId.

    Several sendings of one row may be open: a try that was given up got its receipt after another had sent it again.
    """
    return Entry(
        line.row_no,
        State(line.state),
        line.row_key,
        request_id=line.request_id,
        accepted_at=seconds_of(line.accepted_at),
        reason_class=line.reason_class,
        reason=line.reason,
        attempts=line.attempts,
        api=line.api,
        unknown_since=seconds_of(line.unknown_since),
        asked_at=seconds_of(line.asked_at),
        attempted_by=seconds_of(line.attempted_by),
    )


def _verdict_values(entry: Entry) -> dict[str, Any]:
    """Return the columns of the result table that say what became of a request."""
    names = ("state", "request_id", "accepted_at", "settled_at", "lead_id", "reason_class", "reason", "unknown_since")
    values = entry_values(entry)
    return {name: values[name] for name in names}
