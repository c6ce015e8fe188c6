"""
The rules by which syncs remember leads, as pure functions of lines and sendings.

LeadSquared matches by e-mail, phone or id, so what it holds is known by lead, not by row. The rules were found and
checked with a model of interleaved runs; ``docs/architecture.md`` lists them as R1 to R10. In short: a row is unchanged
only if the newest confirmed sending to its lead had its values and nothing made that lead doubtful since; it waits
while a sending that may concern its lead is not settled; and an intent is refused if anything that concerns the row was
intended since the try began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory_keys import KeyMoves
from airflow_provider_leadsquared.ledgers.memory_lines import (
    ERASED,
    Intent,
    LeadLine,
    Line,
    MemoryRow,
    Refusal,
    RowLine,
    Sending,
    Success,
    Writer,
)
from airflow_provider_leadsquared.ledgers.memory_routes import Route
from airflow_provider_leadsquared.ledgers.memory_unchanged import is_lasting

#: Seconds after which another run's intent is taken for an aborted one's. It is posted within 60 s or withdrawn
#: (``tasks.submitting``); the rest is for clocks that do not run alike.
INTENT_TIMEOUT = 90.0
#: Seconds for which a row that was last seen in another partition is the one that writes its lead: a nightly run late.
OWNER_TIMEOUT = 36 * 3600.0


@dataclass(frozen=True, slots=True)
class RunOfSync:
    """
    Which run of which sync asks.

    :param sync_id: The sync.
    :param scope: The run of the task.
    :param try_id: The try.
    :param partition: The task instance among those that share the sync's rows.
    :param started: The number at which the try began, before its query.
    """

    sync_id: str
    scope: str
    try_id: str
    partition: str
    started: int


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What the memory says of one row.

    :param person: Rows of a run with the same value are one person.
    :param state: ``unsent`` if it is to be sent; ``waiting``; ``unchanged``; or ``superseded`` by the row ``owner``,
        unless that one is in this run, too.
    :param lead: The lead that it is known to reach: the id of its line.
    :param refusal: Its refusal, if LeadSquared refused these very values and no match key has moved since.
    :param owner: The row line that writes its lead from another partition.
    :param is_owner_here: Whether this row is the one that writes a contested lead.
    :param is_overtaken: Whether its lead may have other values by now, also if these were confirmed once.
    :param writer: The row line that wrote its lead last, if that is another row's.
    :param is_lasting: Whether it stays unchanged until one of its lines is changed.
    :param lines_digest: A hash of these lines; None if it was not made.
    :param waits_since: The number of the first of its intents that were refused since its last sending; 0 if none was.
    """

    person: str
    state: State
    lead: str | None = None
    refusal: Refusal | None = None
    owner: str | None = None
    is_owner_here: bool = False
    is_overtaken: bool = False
    writer: str | None = None
    is_lasting: bool = False
    lines_digest: str | None = None
    waits_since: int = 0


class LeadMemory(KeyMoves):
    """The rules over the lines that are loaded."""

    # --- comparing

    def compare(self, row: MemoryRow, run: RunOfSync, values: Callable[[], Mapping[str, str]] = dict) -> Finding:
        """
        Return what is known of a row (R3, R4, R6 to R9).

        :param values: Returns a hash of each of its values, by attribute. Called only if another sync has written to
            its lead since.
        """
        route = self._route(row)
        lead = None if route.lead is None else route.lead.line_id
        person = lead or row.match_keys[0][1]
        refusal = self._refusal(row)
        writer = None if route.lead is None else route.lead.writers.get(run.sync_id)
        is_owner_here = writer is not None and writer.is_contested and writer.row_line == row.row_line
        state, owner = self._state(row, run, route, writer, values)
        is_overtaken = state in (State.UNSENT, State.SUPERSEDED) or any(
            sending.sync_id == run.sync_id and sending.row.fingerprint != row.fingerprint
            for line in route.lines
            for sending in self._unsettled(line)
        )
        known = self._row(row.row_line)
        lasts = state is State.UNCHANGED and refusal is None and is_lasting(row, known, route, writer)
        other = writer.row_line if writer is not None and writer.row_line != row.row_line else None
        finding = Finding(person, state, lead, refusal, owner, is_owner_here, is_overtaken, other, lasts)
        return replace(finding, waits_since=known.waits_since) if known.waits_since else finding

    def _state(
        self,
        row: MemoryRow,
        run: RunOfSync,
        route: Route,
        writer: Writer | None,
        values: Callable[[], Mapping[str, str]],
    ) -> tuple[State, str | None]:
        doubtful = 0
        for line in route.lines:
            for sending in self._unsettled(line):
                if not self._may_repeat(sending, row, run):
                    return State.WAITING, None
                doubtful = max(doubtful, sending.no)
            doubtful = max(doubtful, line.dirty)
        if writer is None or route.lead is None:
            return State.UNSENT, None
        is_confirmed = writer.fingerprint == row.fingerprint and writer.no > doubtful
        if is_confirmed and not _is_overwritten(route.lead, writer, values):
            return State.UNCHANGED, None
        is_of_other_row = writer.row_line != row.row_line and self._row(row.row_line).sent == row.fingerprint
        is_elsewhere = writer.partition != run.partition and self._now - writer.seen_at < OWNER_TIMEOUT
        if is_of_other_row and is_elsewhere:
            return State.SUPERSEDED, writer.row_line
        return State.UNSENT, None

    def _may_repeat(self, sending: Sending, row: MemoryRow, run: RunOfSync) -> bool:
        """Tell whether an unsettled sending is this row's own doubt, of the same values, and no other run is at it."""
        is_own = sending.row.row_line == row.row_line and sending.row.fingerprint == row.fingerprint
        is_over = sending.scope == run.scope or self._now - sending.intended_at > INTENT_TIMEOUT
        return sending.state is State.IN_DOUBT and is_own and is_over

    def _refusal(self, row: MemoryRow) -> Refusal | None:
        known = self._row(row.row_line)
        refusal = known.refusal
        if refusal is None or refusal.fingerprint != row.fingerprint:
            return None
        if known.success is not None and known.success.no > refusal.no:
            return None
        moved = max(self._key(key).moved for _, key in row.match_keys)
        return refusal if moved <= refusal.no else None

    def see_owner(self, lead: str, run: RunOfSync) -> None:
        """Note that the row that writes a contested lead was seen in this run (R8)."""
        writer = self._lead(lead).writers.get(run.sync_id)
        if writer is not None:
            writer.seen_at, writer.partition = self._now, run.partition

    def show_last(self, row_line: str, scope: str, entry_id: str) -> None:
        """Let the view of last states show a line for a row that was sent before and has nothing under way."""
        line = self.lines.get(row_line)
        if isinstance(line, RowLine) and not line.unsettled:
            line.last_scope, line.last_entry = scope, entry_id

    # --- sending

    def intend(
        self,
        row: MemoryRow,
        run: RunOfSync,
        *,
        no: int,
        sending_id: str,
        entry_id: str,
        values: Mapping[str, str] | None = None,
    ) -> Sending | None:
        """
        Note that a row is about to be sent (R1).

        :param no: The number of the group of intents.
        :param sending_id: Names the sending.
        :param entry_id: The row's line in the result table.
        :param values: A hash of each value that it overwrites, by attribute.
        :return: None if something that concerns the row was intended since the try began.
        """
        route, known = self._route(row), self._row(row.row_line)
        known.sync_id, known.row_key = run.sync_id, row.row_key
        erased = self.lines[ERASED].no if ERASED in self.lines else 0
        for line in route.lines:
            is_own = line.last is not None and (line.last.try_id, line.last.row_line) == (run.try_id, row.row_line)
            # What is not known any more may have been intended since; that was before it was erased.
            if (line.no if line.touched else erased) > run.started and not is_own:
                known.waits_since = known.waits_since or no
                return None
        sending = Sending(
            sending_id,
            no,
            run.sync_id,
            row,
            run.try_id,
            run.scope,
            entry_id,
            run.partition,
            self._now,
            tuple(line.line_id for line in route.lines),
            route.leads,
            values=dict(values or {}),
        )
        intent = Intent(run.try_id, row.row_line, row.fingerprint)
        for line in route.lines:
            line.no = line.touched = no
            line.last = intent
            if sending_id not in line.unsettled:
                line.unsettled.append(sending_id)
        known.sent, known.waits_since = row.fingerprint, 0
        known.last_scope, known.last_entry = run.scope, entry_id
        self.sendings[sending_id] = sending
        return sending

    def add(self, sending: Sending) -> None:
        """Note a sending that may have been taken beside the one that is known."""
        self.sendings[sending.sending_id] = sending
        for line in self._lines_of(sending):
            if sending.sending_id not in line.unsettled:
                line.unsettled.append(sending.sending_id)

    # --- verdicts

    def settle(
        self, sending: Sending, state: State, *, lead: str | None = None, refusal: Refusal | None = None
    ) -> None:
        """
        Note what became of a sending (R5), also of one that was not waited for any more.

        :param sending: The sending.
        :param state: Its verdict; ``unsent`` if it was certainly not taken.
        :param lead: The lead that it reached: the id of its line. Needed if it is confirmed.
        :param refusal: Why it was rejected. Needed if it is.
        """
        lines = self._lines_of(sending)
        fingerprint = sending.row.fingerprint
        is_overtaken = any(
            line.no > sending.no and line.last is not None and line.last.fingerprint != fingerprint for line in lines
        )
        known = self._row(sending.row.row_line)
        if state is State.REJECTED and refusal is not None and (known.refusal is None or known.refusal.no < sending.no):
            known.refusal = refusal
        if state is State.FAILED:
            self._doubt(sending)
            number = self._next() if is_overtaken else sending.no
            for line in lines:
                line.dirty = max(line.dirty, number)
        if state.is_confirmed and lead is not None:
            self._confirm(sending, state, lead, known, is_overtaken=is_overtaken)
        number = self._next()
        for line in lines:
            line.touched = number
            if sending.sending_id in line.unsettled:
                line.unsettled.remove(sending.sending_id)
        self.sendings.pop(sending.sending_id, None)

    def _lines_of(self, sending: Sending) -> list[Line]:
        """Return the lines that a sending concerns, as far as they were not erased since."""
        return [self.lines[line_id] for line_id in sending.lines if line_id in self.lines]

    def _confirm(self, sending: Sending, state: State, lead: str, known: RowLine, *, is_overtaken: bool) -> None:
        line = self._lead(lead)
        row = sending.row
        others = [self.sendings[one] for one in line.unsettled if one in self.sendings]
        is_written = line.touched > sending.no and any(
            writer.fingerprint != row.fingerprint for writer in line.writers.values()
        )
        is_written |= any(other.row.fingerprint != row.fingerprint for other in others)
        is_unforeseen = lead not in sending.leads and is_written
        doubted = line.dirty
        if is_overtaken or is_unforeseen:
            line.dirty = self._next()
        if is_overtaken:
            doubted = line.dirty
        writer = line.writers.get(sending.sync_id)
        if writer is None or writer.no < sending.no or (is_unforeseen and writer.no == sending.no):
            is_contested = writer is not None and (writer.is_contested or writer.row_line != row.row_line)
            line.writers[sending.sync_id] = Writer(
                sending.no, row.fingerprint, row.row_line, sending.intended_at, sending.partition, is_contested
            )
            if len(line.writers) > 1:
                line.values.update(sending.values)
            self._move_keys(line, sending, is_new=state is State.CREATED, doubted=doubted)
        elif state is State.CREATED:
            self._add_spellings(line, sending, doubted=doubted)
        if known.success is None or known.success.no < sending.no:
            known.success = Success(sending.no, row.match_keys, lead)
        line.touched = self._next()


def _is_overwritten(lead: LeadLine, writer: Writer, values: Callable[[], Mapping[str, str]]) -> bool:
    """Tell whether another sync has written other values of the same attributes since (R6)."""
    if not lead.values or all(other.no <= writer.no for other in lead.writers.values()):
        return False
    return any(lead.values.get(attribute, value) != value for attribute, value in values().items())
