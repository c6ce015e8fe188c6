"""What a sensor waits for: the receipts of captures, or all open requests of a sync."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_leadsquared.delivery.counts import Counts
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.several import SeveralLedgers
from airflow_provider_leadsquared.tasks.known_requests import replace_by_records
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress, run_of
from airflow_provider_leadsquared.tasks.ledgers import open_ledger, open_requests_of_captures, open_requests_of_sync
from airflow_provider_leadsquared.tasks.outputs import (
    MOST_LISTED,
    Outputs,
    checked_sync_outputs,
    is_of_sync,
    of_captures,
)
from airflow_provider_leadsquared.tasks.receipts import receipts_by_ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.ledgers.base import VerdictLedger
    from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests
    from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.tasks.poll_result import PollResult


class Awaited(Protocol):
    """The requests that a sensor waits for, and how their outcome is reported."""

    #: Whether the sensor may end while requests are open, because somebody else asks for them later.
    may_close: bool
    #: The addresses of the SQL ledgers that hold requests.
    addresses: Sequence[LedgerAddress]
    #: Whether what is written is there in the next process.
    is_durable: bool
    #: How many outputs the author handed in, and how many of these are None.
    outputs: int
    missing: int
    #: How many receipts outputs left to ledgers that did not hold them when they were read.
    lost_receipts: int

    @property
    def where_reasons_are(self) -> str:
        """Where a person finds each row's reason, for messages."""

    @property
    def ledger(self) -> VerdictLedger:
        """Where verdicts are kept."""

    def load(self) -> tuple[Sequence[Entry], Records]:
        """Return the requests to poll as the ledgers hold them, and what else of the ledgers a poll has to know."""

    def is_own(self, entry: Entry) -> bool:
        """Tell whether a request is of the run that the sensor belongs to."""

    def is_held(self, entry: Entry) -> bool:
        """Tell whether one of the ledgers at the addresses held a request when they were read."""

    def counts(self, result: PollResult) -> Counts:
        """Count the run's requests by state."""

    def output(self, result: PollResult) -> dict[str, Any]:
        """Return what the sensor returns besides the counts."""

    def rejects(self, result: PollResult) -> Sequence[Entry]:
        """Return the run's requests that were not delivered."""

    def log_others(self, result: PollResult) -> None:
        """Log what became of requests of other runs, and what is left open."""


def open_awaited(
    given: Any, context: Context, log: Any, *, hook: LeadSquaredHook, ledger_conn_id: str | None, ledger_table: str
) -> Awaited:
    """
    Open what an author handed to a sensor.

    :param given: The sensor's ``request_ids``.
    :param context: The sensor's context.
    :param log: The sensor's log.
    :param hook: Leads to the account that the requests were sent to.
    :param ledger_conn_id: The sensor's own SQL ledger, None for the default.
    :param ledger_table: Its table.
    :raises ValueError: It is nothing that a sensor can wait for.
    :raises LeadsNotDelivered: The capture before ended without an output.
    :raises AirflowSkipException: The sync before was a dry run.
    """
    outputs = Outputs(given)
    first = next(outputs, None)
    if first is None and outputs.missing:
        raise LeadsNotDelivered(
            "No receipts: the task before ended without an output. Its log says why; there is nothing to wait for"
        )
    if first is None:
        raise ValueError("request_ids is empty; pass a RequestId, a list of them, or a capture's output")
    awaited: Awaited
    if is_of_sync(first):
        awaited = _open_sync(checked_sync_outputs([first, *outputs]), hook, log)
    else:
        receipts = receipts_by_ledger(of_captures(chain([first], outputs)))
        addresses = [address for address in receipts if address is not None]
        captures = open_requests_of_captures(addresses, hook, polled_by=run_of(context))
        own = None
        if receipts.get(None) or not captures:
            own = open_ledger(
                context,
                log,
                ledger_conn_id=ledger_conn_id,
                ledger_table=ledger_table,
                without_it="Each poke asks for every request again.",
            )
        awaited = AwaitedReceipts(receipts, captures, own)
    awaited.outputs, awaited.missing = outputs.count, outputs.missing
    return awaited


def _open_sync(outputs: Sequence[Mapping[str, Any]], hook: LeadSquaredHook, log: Any) -> AwaitedSync:
    addresses = [LedgerAddress.parse(output["ledger"]) for output in outputs]
    awaited = AwaitedSync(open_requests_of_sync(addresses, hook), addresses, log)
    awaited.warn_of_older_ledger(max((address.number or 0 for address in addresses), default=0))
    return awaited


def what_is_missing(awaited: Awaited, *, skipped: int) -> tuple[str, str] | None:
    """
    Return why a run is not complete although all its requests are decided, and what to do; None if it is complete.

    :param skipped: How many tasks before the sensor were skipped, so that they have no output.
    """
    if awaited.missing > skipped:
        return (
            f"{awaited.missing:,} of {awaited.outputs:,} outputs in request_ids are None: a task before ended without "
            "an output, and was not skipped. Its log says why",
            "Clear it, with those downstream of it, once the cause is corrected",
        )
    if awaited.lost_receipts:
        return (
            f"the ledger lacks {awaited.lost_receipts:,} receipts that the capture left to it: a backup was restored, "
            "or lines were deleted",
            "Clear the capture, with those downstream of it: it sends only rows of which the ledger has no receipt",
        )
    return None


class AwaitedReceipts:
    """
    The receipts of captures, and what their tries that were given up have written since the captures ended.

    :param receipts: The requests, by the address of their capture's ledger.
    :param captures: Where captures keep their requests, by table; they may hold more than the captures returned.
    :param own: Where the verdicts of all other requests are kept; None if there are no others.
    """

    may_close = False
    outputs = missing = lost_receipts = 0

    def __init__(
        self,
        receipts: Mapping[LedgerAddress | None, Sequence[Entry]],
        captures: Mapping[tuple[str, str], CaptureRequests],
        own: VerdictLedger | None,
    ) -> None:
        self._requests = [entry for entries in receipts.values() for entry in entries]
        self._received = len(self._requests)
        #: Up to which place the requests of each address go.
        self._ends = list(accumulate(len(entries) for entries in receipts.values()))
        self._address_of_part = list(receipts)
        self.addresses: Sequence[LedgerAddress] = [address for address in receipts if address is not None]
        self._captures, self._own = captures, own
        #: The receipts that no ledger of a capture holds.
        self._not_held: set[tuple[str | None, str | None]] = set()
        self.is_durable = not isinstance(own, InProcessLedger)
        self.ledger = SeveralLedgers(list(captures.values()), own)

    @property
    def where_reasons_are(self) -> str:
        """Where a person finds each row's reason, for messages."""
        place = "the ledger table" if self._are_in_tables else "this task's XCom"
        return f"each row's reason is in {place}"

    @property
    def _are_in_tables(self) -> bool:
        """Whether so many results are in SQL ledgers that they would only fill Airflow's database as an XCom."""
        return self._own is None and len(self._requests) > MOST_LISTED

    def load(self) -> tuple[Sequence[Entry], Records]:
        """Return the requests to poll as the ledgers hold them, and what this task's own ledger holds."""
        records = Records() if self._own is None else self._own.load()
        # What earlier polls of this process have put in the place of receipts is replaced: memory holds one of each.
        del self._requests[self._received :]
        held = (entry for ledger in self._captures.values() for entry in ledger.entries())
        others, left = replace_by_records(self._requests, held)
        self._not_held = {self._requests[place].receipt_key for place in left}
        for place in left:
            address = self._address_of_part[bisect_right(self._ends, place)]
            if address is not None and address.run is not None:
                self._captures[address.table].add_receipt(address.run, self._requests[place])
        self._requests += others
        self.lost_receipts = sum(self._lost_receipts().values())
        if self._captures:
            own = [entry for entry in records.all_entries if entry.receipt_key in self._not_held]
            records = Records(metadata=next(iter(self._captures.values())).metadata, others=own)
        return self._requests, records

    def _lost_receipts(self) -> dict[RunOfTask, int]:
        return {
            address.run: max(address.receipts - self._captures[address.table].count_of(address.run), 0)
            for address in self.addresses
            if address.run is not None and address.receipts is not None
        }

    def is_own(self, entry: Entry) -> bool:
        """Return True: receipts are of no other run."""
        return True

    def is_held(self, entry: Entry) -> bool:
        """Tell whether one of the captures' ledgers held a request when they were read."""
        return entry.receipt_key not in self._not_held

    def counts(self, result: PollResult) -> Counts:
        """Count the requests by state."""
        return Counts.of(result.entries, read=len(result.entries))

    def output(self, result: PollResult) -> dict[str, Any]:
        """Return a line for each request; of many whose ledgers are in SQL, the addresses of these."""
        if self._are_in_tables:
            return {"ledgers": [address.as_json() for address in self.addresses]}
        return {"results": [_result(entry) for entry in result.entries]}

    def rejects(self, result: PollResult) -> Sequence[Entry]:
        """Return the requests that were not delivered."""
        return [entry for entry in result.entries if entry.state.is_reject]

    def log_others(self, result: PollResult) -> None:
        """Do nothing: there are no other runs."""


class AwaitedSync:
    """
    All open requests of a sync, whichever run sent them.

    :param requests: The sync's open requests.
    :param addresses: The addresses of its ledger, one for each run.
    :param log: The sensor's log.
    """

    may_close = True
    outputs = missing = lost_receipts = 0
    is_durable = True
    where_reasons_are = "each row's reason is in the ledger table"

    def __init__(self, requests: OpenRequests, addresses: Sequence[LedgerAddress], log: Any) -> None:
        self.ledger, self.addresses, self._log = requests, addresses, log

    def warn_of_older_ledger(self, number: int) -> None:
        """
        Warn if the ledger lacks what the sync wrote.

        :param number: The number of the last intent or verdict when the sync ended.
        """
        if self.ledger.is_older_than(number):
            self._log.warning(
                "The ledger is older than this sync's run: a backup of it was restored. What was sent since is "
                "forgotten, so rows that changed meanwhile look unchanged: let the sync run once with full_refresh"
            )

    def load(self) -> tuple[Sequence[Entry], Records]:
        """Return the requests to poll, and what polls have kept."""
        records = self.ledger.load()
        return list(records.entries.values()), Records(metadata=records.metadata)

    def is_own(self, entry: Entry) -> bool:
        """Tell whether a request is of the run that the sensor belongs to."""
        return self.ledger.is_of_runs(entry)

    def is_held(self, entry: Entry) -> bool:
        """Return True: all of them are from the ledger."""
        return True

    def counts(self, result: PollResult) -> Counts:
        """Count what the run sent by state."""
        totals = self.ledger.count()
        return Counts.from_totals(totals, read=totals.total())

    def output(self, result: PollResult) -> dict[str, Any]:
        """Return the ledger's address; the results are in its table."""
        return {"ledger": self.addresses[0].as_json()}

    def rejects(self, result: PollResult) -> Sequence[Entry]:
        """Return the run's requests that were rejected or failed."""
        return self.ledger.refused()

    def log_others(self, result: PollResult) -> None:
        """Log what became of requests of earlier runs, and what is left open."""
        earlier = Counter(entry.state.value for entry in result.entries if not self.is_own(entry))
        if earlier:
            states = ", ".join(f"{state} {count:,}" for state, count in sorted(earlier.items()))
            self._log.info("Requests of earlier runs: %s", states)
        if result.open:
            self._log.info(
                "Closed with %s requests open; the sync's next run asks for them first", f"{len(result.open):,}"
            )


def _result(entry: Entry) -> dict[str, Any]:
    return {
        "row": entry.row + 1,
        "row_key": entry.row_key,
        "api": entry.api,
        "request_id": entry.request_id,
        "verdict": entry.state.value,
        "lead_id": entry.lead_id,
        "reason_class": entry.reason_class,
        "reason": entry.reason,
    }
