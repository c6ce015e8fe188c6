"""
One run of a sync: from the rows of a source to batches that are sent, and to counts.

The state of each row follows from four things in turn: whether a lead can be made of it, what is known of that lead,
the account's rules, and the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.leads import attributes_of
from airflow_provider_leadsquared.api.null_handling import NullHandling
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.batch import Batch, check_match_key, invalid_entry
from airflow_provider_leadsquared.delivery.counts import Counts
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.sync.decision import decide
from airflow_provider_leadsquared.sync.replay import Replay
from airflow_provider_leadsquared.sync.staging import StagedRow, StagingTable

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.async_apis import AsyncApi
    from airflow_provider_leadsquared.ledgers.sync import SyncLedger
    from airflow_provider_leadsquared.sync.mapping import ColumnMapping
    from airflow_provider_leadsquared.sync.policies import Policies, RulesWithPolicies

#: Rows that are in memory at a time.
_CHUNK = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """
    How one run of a sync treats its rows.

    :param api: The asynchronous API that the rows are sent to.
    :param null_handling: What to do with None: ``skip`` or ``clear``.
    :param search_by: The attribute by which LeadSquared shall match.
    :param parameters: The query parameters of each submission.
    :param full_refresh: Send what the CRM holds already, too.
    :param replay: Which refused rows are sent again although they have not changed.
    :param settle_timeout: Seconds for which an unsettled sending makes a newer value wait.
    """

    api: AsyncApi
    null_handling: NullHandling = "skip"
    search_by: str | None = None
    parameters: Mapping[str, str] | None = None
    full_refresh: bool = False
    replay: Replay | None = None
    settle_timeout: float


class SyncRun:
    """
    The rows of one run.

    :param columns: How rows become leads.
    :param ledger: What earlier runs and tries recorded; None where there is nothing yet.
    :param policies: What broken rules mean.
    :param rules: The account's rules under these policies.
    :param options: How rows are treated.
    :param clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        columns: ColumnMapping,
        ledger: SyncLedger | None,
        policies: Policies,
        rules: RulesWithPolicies,
        options: SyncOptions,
        clock: Callable[[], float],
    ) -> None:
        self._columns, self._ledger, self._policies, self._rules = columns, ledger, policies, rules
        self._options, self._clock = options, clock
        self._staging = StagingTable()
        #: How many rows were read.
        self.read_rows = 0
        #: How many refused rows of earlier runs are sent again.
        self.replayed = 0

    def close(self) -> None:
        """Delete the rows."""
        self._staging.close()

    def read(self, rows: Iterable[Sequence[Any]], report_progress: Callable[[int], None]) -> None:
        """
        Read every row and decide its state.

        :param rows: The rows, as the source returns them.
        :param report_progress: Called now and then with the number of rows read.
        :raises RunRefusedError: A rule whose policy is ``fail`` was broken.
        """
        rows = iter(rows)
        while chunk := list(islice(rows, _CHUNK)):
            encoded = [self._encode(self.read_rows + position, row) for position, row in enumerate(chunk)]
            known = self._recall(row.entry for row in encoded)
            decided = [self._decide(row, known.get(row.entry.row_key or "")) for row in encoded]
            self._policies.check_entries(row.entry for row in decided)
            self._staging.add(decided)
            self.read_rows += len(chunk)
            report_progress(self.read_rows)
        self._staging.refuse_doubled_keys()
        self._staging.supersede()
        self._policies.check_entries(self._staging.first_of_each(1))

    def count(self, condition: Callable[[State], bool]) -> int:
        """Return how many rows are in a state that meets the condition."""
        return sum(count for (state, _), count in self._staging.counts().items() if condition(state))

    def count_to_send(self) -> int:
        """Return how many rows are to be sent."""
        return self.count(lambda state: state.is_to_send)

    def batches(self) -> Iterator[Batch]:
        """Return the rows to send, a batch at a time."""
        for part in self._staging.to_send(_CHUNK):
            entries = [replace(row.entry, api=self._options.api.name) for row in part]
            payloads = {position: row.payload for position, row in enumerate(part) if row.payload is not None}
            doubted = {position for position, entry in enumerate(entries) if entry.state is State.IN_DOUBT}
            yield Batch(entries, payloads, self._options.api, doubted)

    def not_sent(self) -> Iterator[Entry]:
        """Return the rows that were set aside, and those that wait, as the ledger keeps them."""
        for entry in self._staging.not_sent():
            # Identified by position, so that such a row is never taken for one that was sent.
            yield replace(entry, fingerprint="", copy=entry.row, api=self._options.api.name)

    def examples(self, each: int) -> list[Entry]:
        """Return some rows of every state that needs a reason."""
        return self._staging.first_of_each(each)

    def reload_states(self) -> None:
        """Take over from the ledger what became of the rows that were to be sent."""
        for part in self._staging.to_send(_CHUNK):
            entries = [row.entry for row in part]
            known = self._recall(entries)
            changed = []
            for entry in entries:
                memory = known.get(entry.row_key or "")
                if memory is not None and memory.last is not None and memory.is_of(entry):
                    changed.append(replace(memory.last, row=entry.row))
            self._staging.update(changed)

    def counts(self) -> Counts:
        """Add up the states of all rows."""
        return Counts.from_totals(self._staging.counts(), read=self.read_rows)

    def _encode(self, number: int, row: Sequence[Any]) -> StagedRow:
        """Make a lead of a row, or record why there is none."""
        row_key: str | None = None
        options = self._options
        try:
            row_key = self._columns.row_key(row)
            payload = options.api.encode(
                self._columns.lead(row),
                null_handling=options.null_handling,
                search_by=options.search_by,
                parameters=options.parameters,
            )
            check_match_key(payload, options.api)
        except InvalidLeadError as error:
            return StagedRow(invalid_entry(number, row_key, error, api=options.api), None)
        return StagedRow(Entry(number, State.UNSENT, row_key, payload.fingerprint), payload)

    def _recall(self, entries: Iterable[Entry]) -> dict[str, LeadMemory]:
        keys = {entry.row_key for entry in entries if entry.row_key is not None and entry.state.is_to_send}
        return self._ledger.recall(keys) if self._ledger is not None else {}

    def _decide(self, row: StagedRow, known: LeadMemory | None) -> StagedRow:
        """Compare a row with what is known of its lead, and check it against the account's rules if it is sent."""
        if row.payload is None:
            return row
        entry = decide(
            row.entry,
            known,
            now=self._clock(),
            settle_timeout=self._options.settle_timeout,
            full_refresh=self._options.full_refresh,
            replay=self._options.replay,
        )
        if not entry.state.is_to_send:
            return replace(row, entry=entry)
        breach = self._breach(row.payload, entry, known)
        if breach is not None:
            return StagedRow(invalid_entry(entry.row, entry.row_key, breach, api=self._options.api), row.payload)
        if self._options.replay and known and known.last and known.last.state is State.REJECTED:
            self.replayed += known.last.fingerprint == entry.fingerprint
        return replace(row, entry=entry)

    def _breach(self, payload: Payload, entry: Entry, known: LeadMemory | None) -> InvalidLeadError | None:
        self._rules.row = entry.name
        self._rules.exists = known is not None and known.confirmed is not None
        try:
            self._rules.check(attributes_of(payload))
        except InvalidLeadError as error:
            return error
        return None
