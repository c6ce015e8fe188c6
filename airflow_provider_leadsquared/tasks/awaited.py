"""What a sensor waits for: the receipts of captures, or all open requests of a sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.delivery.counts import Counts
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.several import SeveralLedgers
from airflow_provider_leadsquared.tasks.known_requests import replace_by_records
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress, run_of
from airflow_provider_leadsquared.tasks.ledgers import open_ledger, open_requests_of_captures, open_requests_of_sync
from airflow_provider_leadsquared.tasks.receipts import receipts_by_ledger, refuse_old_output

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.ledgers.base import VerdictLedger
    from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests
    from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
    from airflow_provider_leadsquared.tasks.poll_result import PollResult


class Awaited(Protocol):
    """The requests that a sensor waits for, and how their outcome is reported."""

    #: Whether the sensor may end while requests are open, because somebody else asks for them later.
    may_close: bool
    #: Where a person finds each row's reason, for messages.
    where_reasons_are: str
    #: The addresses of the SQL ledgers that hold requests.
    addresses: Sequence[LedgerAddress]
    #: Whether what is written is there in the next process.
    is_durable: bool

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
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)):
        given = list(given)  # Airflow fetches each output of a mapped task when it is read, every time
    outputs = _sync_outputs(given)
    if outputs:
        addresses = [LedgerAddress.parse(output["ledger"]) for output in outputs]
        awaited = AwaitedSync(open_requests_of_sync(addresses, hook), addresses, log)
        awaited.warn_of_older_ledger(max((address.number or 0 for address in addresses), default=0))
        return awaited
    if given is None:
        raise LeadsNotDelivered(
            "No receipts: the task before ended without an output. Its log says why; there is nothing to wait for"
        )
    receipts = receipts_by_ledger(given)
    if not any(receipts.values()) and not given:
        raise ValueError("request_ids is empty; pass a RequestId, a list of them, or a capture's output")
    of_captures = {address: entries for address, entries in receipts.items() if address is not None}
    captures = open_requests_of_captures(of_captures, hook, polled_by=run_of(context))
    own = None
    if receipts.get(None) or not captures:
        own = open_ledger(
            context,
            log,
            ledger_conn_id=ledger_conn_id,
            ledger_table=ledger_table,
            without_it="Each poke asks for every request again.",
        )
    every = [entry for entries in receipts.values() for entry in entries]
    return AwaitedReceipts(every, captures, own, addresses=list(of_captures))


class AwaitedReceipts:
    """
    The receipts of captures, and what their tries that were given up have written since the captures ended.

    :param receipts: The requests.
    :param captures: Where captures keep their requests; they may hold more than the captures returned.
    :param own: Where the verdicts of all other requests are kept; None if there are no others.
    :param addresses: The addresses of the captures' ledgers.
    """

    may_close = False
    where_reasons_are = "each row's reason is in this task's XCom"

    def __init__(
        self,
        receipts: Sequence[Entry],
        captures: Sequence[CaptureRequests],
        own: VerdictLedger | None,
        *,
        addresses: Sequence[LedgerAddress] = (),
    ) -> None:
        self._requests, self._received = list(receipts), len(receipts)
        self._captures, self._own, self.addresses = captures, own, addresses
        #: The receipts that no ledger of a capture holds.
        self._not_held: set[tuple[str | None, str | None]] = set()
        self.is_durable = not isinstance(own, InProcessLedger)
        self.ledger = SeveralLedgers(captures, own)

    def load(self) -> tuple[Sequence[Entry], Records]:
        """Return the requests to poll as the ledgers hold them, and what this task's own ledger holds."""
        records = Records() if self._own is None else self._own.load()
        # What earlier polls of this process have put in the place of receipts is replaced: memory holds one of each.
        del self._requests[self._received :]
        held = (entry for ledger in self._captures for entry in ledger.entries())
        others, left = replace_by_records(self._requests, held)
        self._not_held = {entry.receipt_key for entry in left}
        self._requests += others
        if self._captures:
            own = [entry for entry in records.all_entries if entry.receipt_key in self._not_held]
            records = Records(metadata=self._captures[0].metadata(), others=own)
        return self._requests, records

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
        """Return a line for each request."""
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


def _sync_outputs(given: Any) -> list[Mapping[str, Any]]:
    """Return what syncs have returned; an empty list for the receipts of captures."""
    if isinstance(given, Mapping):
        given = [given]
    elif not isinstance(given, list):
        return []
    for one in given:
        if isinstance(one, Mapping):
            refuse_old_output(one)
    outputs = [one for one in given if isinstance(one, Mapping) and _is_of_sync(one)]
    if any(output.get("dry_run") for output in outputs):
        raise AirflowSkipException("the sync was a dry run: nothing was sent, and there is nothing to wait for")
    if outputs and len(outputs) < len(given):
        raise ValueError("request_ids holds outputs of a sync and others; let a sensor wait for each")
    return outputs


def _is_of_sync(output: Mapping[str, Any]) -> bool:
    ledger = output.get("ledger")
    if ledger is not None and not isinstance(ledger, Mapping):
        raise ValueError('"ledger" in request_ids must be the address of a ledger: {"ledger_conn_id": …, "sync": …}')
    return ledger is not None and "sync" in ledger


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
