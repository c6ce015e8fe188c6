"""
One run of a sync: from the rows of a source to batches that are sent, and to counts.

The state of each row follows from four things in turn: whether a lead can be made of it, what is known of that lead,
the account's rules, and the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.leads import attributes_of
from airflow_provider_leadsquared.api.null_handling import NullHandling
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.batch import Batch, check_match_key, invalid_entry, outdated
from airflow_provider_leadsquared.delivery.counts import Counts
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import Finding
from airflow_provider_leadsquared.sync.decision import decide
from airflow_provider_leadsquared.sync.raw_digests import RawDigests
from airflow_provider_leadsquared.sync.replay import Replay
from airflow_provider_leadsquared.sync.staging import StagedRow, StagingTable

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.async_apis import AsyncApi
    from airflow_provider_leadsquared.ledgers.sync import SyncLedger
    from airflow_provider_leadsquared.sync.mapping import ColumnMapping
    from airflow_provider_leadsquared.sync.policies import Policies, RulesWithPolicies

#: Rows of which leads are in memory at a time.
_CHUNK = 1_000
#: Rows, and values of rows, that are in memory at a time as the source returned them.
_MOST_ROWS, _MOST_VALUES = 10_000, 120_000
#: A row of the source: its position, its values, its digest, and what functions made of its values by attribute.
_ReadRow = tuple[int, Sequence[Any], str | None, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """
    Some rows of the source, one after the other.

    :param rows: The rows.
    :param known: Those of their digests that the ledger has kept, once it has answered.
    """

    rows: Sequence[_ReadRow]
    known: Future[set[str]] | None


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
    """

    api: AsyncApi
    null_handling: NullHandling = "skip"
    search_by: str | None = None
    parameters: Mapping[str, str] | None = None
    full_refresh: bool = False
    replay: Replay | None = None


class SyncRun:
    """
    The rows of one run.

    :param columns: How rows become leads.
    :param ledger: What earlier runs and tries recorded; None where there is nothing yet.
    :param policies: What broken rules mean.
    :param rules: The account's rules under these policies.
    :param options: How rows are treated.
    :param context: What else decides how rows are treated, as plain values by name: if it changes, each row is compared
        anew.
    """

    def __init__(
        self,
        *,
        columns: ColumnMapping,
        ledger: SyncLedger | None,
        policies: Policies,
        rules: RulesWithPolicies,
        options: SyncOptions,
        context: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._columns, self._ledger, self._policies, self._rules = columns, ledger, policies, rules
        self._options = options
        self._staging = StagingTable()
        #: What earlier tries of this run have sent: of rows that were not read yet, and further receipts.
        self._earlier, self._others = ({}, []) if ledger is None else ledger.earlier_entries()
        self._digests = None if ledger is None or options.full_refresh else self._make_digests(ledger, context)
        #: The row keys of what earlier tries have sent: such a row is compared with that.
        self._sent_keys = {entry.row_key for entry in self.sent_before}
        #: Asks the ledger for one chunk of rows while the next is read.
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        #: How many rows were read.
        self.read_rows = 0
        #: How many refused rows of earlier runs are sent again.
        self.replayed = 0

    def close(self) -> None:
        """Delete the rows."""
        self._asking.shutdown()
        self._staging.close()

    def read(self, rows: Iterable[Sequence[Any]], report_progress: Callable[[int], None]) -> None:
        """
        Read every row and decide its state.

        :param rows: The rows, as the source returns them.
        :param report_progress: Called now and then with the number of rows read.
        :raises RunRefusedError: A rule whose policy is ``fail`` was broken.
        """
        asked: _Chunk | None = None
        for chunk in self._chunks(rows):
            if asked is not None:
                self._decide_chunk(asked, report_progress)
            asked = chunk
        if asked is not None:
            self._decide_chunk(asked, report_progress)
        if self._ledger is not None:
            self._staging.stage_unchanged(self._ledger.unchanged.written_by)
        self._staging.refuse_doubled_keys()
        self._staging.supersede(self._ledger.row_line if self._ledger is not None else str)
        self._policies.check_entries(self._staging.first_of_each(1))
        self._replace_doubts()

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

    def owned_leads(self) -> list[str]:
        """Return the leads that rows of this run write, among those that other rows led to before."""
        return self._staging.owned_leads()

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
        if self._ledger is None:
            return
        for part in self._staging.to_send(_CHUNK):
            self._staging.update(self._ledger.states_of([row.entry for row in part]))

    def counts(self) -> Counts:
        """Add up the states of all rows, and of those that earlier tries sent and the source does not have now."""
        totals = self._staging.counts()
        for entry in self.sent_before:
            totals[entry.state, entry.reason_class] += 1
        return Counts.from_totals(totals, read=self.read_rows + len(self.sent_before))

    @property
    def sent_before(self) -> Sequence[Entry]:
        """What earlier tries of this run sent and the source does not have now, as they left it."""
        return [*self._earlier.values(), *self._others]

    def _replace_doubts(self) -> None:
        """Let rows that an earlier try left in doubt be replaced by what the source has for their keys now."""
        doubts = {one: entry for one, entry in self._earlier.items() if entry.state is State.IN_DOUBT}
        here = self._staging.competing_among({entry.row_key for entry in doubts.values() if entry.row_key is not None})
        self._earlier |= {one: outdated(entry) for one, entry in doubts.items() if entry.row_key in here}

    def keep_unchanged(self) -> int:
        """
        Keep the digests of rows that are unchanged, so that the next run need not compare them.

        To be called when the source is closed: it may be in the same file.

        :return: How many were kept.
        """
        return 0 if self._ledger is None else self._ledger.unchanged.keep(self._staging.lasting())

    def _make_digests(self, ledger: SyncLedger, context: Mapping[str, Any]) -> RawDigests | None:
        options = self._options
        whole = {
            **context,
            "api": options.api.name,
            "null handling": options.null_handling,
            "search by": options.search_by,
            "parameters": dict(options.parameters or {}),
        }
        return RawDigests.build(self._columns, key=ledger.unchanged.key(), context=whole)

    def _chunks(self, rows: Iterable[Sequence[Any]]) -> Iterator[_Chunk]:
        """Read the rows, and ask the ledger which of them are known to be unchanged."""
        rows, size, number = iter(rows), _CHUNK, 0
        while chunk := list(islice(rows, size)):
            size = max(_CHUNK, min(_MOST_ROWS, _MOST_VALUES // len(chunk[0])))
            yield self._ask(chunk, range(number, number := number + len(chunk)))

    def _ask(self, rows: Sequence[Sequence[Any]], numbers: Iterable[int]) -> _Chunk:
        if self._digests is None or self._ledger is None:
            return _Chunk([(number, row, None, {}) for number, row in zip(numbers, rows, strict=True)], None)
        results = self._digests.results_of(rows)
        digests = self._digests.of(rows, results)
        known = self._asking.submit(self._ledger.unchanged.among, [one for one in digests if one is not None])
        return _Chunk(list(zip(numbers, rows, digests, results, strict=True)), known)

    def _decide_chunk(self, chunk: _Chunk, report_progress: Callable[[int], None]) -> None:
        compared = self._set_unchanged_aside(chunk)
        while part := list(islice(compared, _CHUNK)):
            decided = self._decide_all([self._encode(*row) for row in part])
            self._policies.check_entries(row.entry for row in decided)
            self._staging.add(decided)
        self.read_rows += len(chunk.rows)
        report_progress(self.read_rows)

    def _set_unchanged_aside(self, chunk: _Chunk) -> Iterator[_ReadRow]:
        """Note rows that are known to be unchanged; return the others."""
        if self._digests is None or chunk.known is None:
            return iter(chunk.rows)
        known, key = chunk.known.result(), self._digests.row_key
        unchanged = {
            number: row_key
            for number, row, digest, _ in chunk.rows
            if digest in known and (row_key := key(row)) not in self._sent_keys
        }
        self._staging.add_unchanged(unchanged.items())
        return (row for row in chunk.rows if row[0] not in unchanged)

    def _encode(self, number: int, row: Sequence[Any], digest: str | None, results: Mapping[str, Any]) -> StagedRow:
        """Make a lead of a row, or record why there is none."""
        row_key: str | None = None
        options = self._options
        try:
            row_key = self._columns.row_key(row)
            for result in results.values():
                if isinstance(result, InvalidLeadError):
                    raise result
            payload = options.api.encode(
                self._columns.lead(row, results),
                null_handling=options.null_handling,
                search_by=options.search_by,
                parameters=options.parameters,
            )
            check_match_key(payload, options.api)
        except InvalidLeadError as error:
            return StagedRow(invalid_entry(number, row_key, error, api=options.api), None)
        return StagedRow(Entry(number, State.UNSENT, row_key, payload.fingerprint), payload, digest=digest)

    def _decide_all(self, rows: Sequence[StagedRow]) -> list[StagedRow]:
        """Compare rows with what is known of their leads."""
        asked = [(row.entry, row.payload) for row in rows if row.payload is not None]
        found = iter(self._ledger.compare(asked) if self._ledger is not None and asked else ())
        return [row if row.payload is None else self._decide(row, row.payload, next(found, None)) for row in rows]

    def _decide(self, row: StagedRow, payload: Payload, found: Finding | None) -> StagedRow:
        """Decide one row, and check it against the account's rules if it may be sent."""
        found = found or Finding("=".join(payload.match_keys[0]), State.UNSENT)
        options = self._options
        earlier = self._earlier.pop((row.entry.row_key, row.entry.fingerprint), None)
        entry = decide(row.entry, found, earlier, full_refresh=options.full_refresh, replay=options.replay)
        decided = StagedRow(entry, payload, found, row.digest)
        if not decided.may_be_sent:
            return decided
        breach = self._breach(payload, entry, found)
        if breach is not None:
            return StagedRow(invalid_entry(entry.row, entry.row_key, breach, api=options.api), payload)
        self.replayed += found.refusal is not None and options.replay is not None
        return decided

    def _breach(self, payload: Payload, entry: Entry, found: Finding) -> InvalidLeadError | None:
        self._rules.row = entry.name
        self._rules.exists = found.lead is not None
        try:
            self._rules.check(attributes_of(payload))
        except InvalidLeadError as error:
            return error
        return None
