"""What is known of the requests that a task waits for, on LeadSquared's clock, and what of it is not written yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.clock_offset import ClockOffset
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import REPEATED_REQUEST_ID, Verdict
from airflow_provider_leadsquared.tasks.poll_result import PollResult

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.errors import ApiError
    from airflow_provider_leadsquared.ledgers.base import VerdictLedger

#: Why a request is not asked for.
_REPEATED = "has the RequestId of another row, so that nobody can tell its outcome; look the row up in the CRM"


class KnownRequests:
    """
    The requests of a task with what its ledger holds of them.

    All times are LeadSquared's: those of this worker's clock and an offset, learnt from responses (``Date``).

    :param ledger: Where verdicts are kept.
    :param requests: The requests.
    :param clock: Tells the time on this worker, in seconds since the epoch.
    """

    def __init__(self, ledger: VerdictLedger, requests: Iterable[Entry], clock: Callable[[], float]) -> None:
        self._clock = clock
        #: By request, what the ledger does not hold yet.
        self._unwritten: dict[tuple[Identity, str | None], Entry] = {}
        records = ledger.load()
        self.metadata: Mapping[str, Any] = records.metadata
        self.offset = ClockOffset(records.metadata.get("clock_offset"))
        self._entries = _with_records(requests, records.all_entries)
        #: From when requests without a time of acceptance count: the time of the first poll.
        self._first_seen: float = records.metadata.get("first_seen", self.now())
        #: The requests to ask for, by RequestId: they were open, or called lost, when they were loaded.
        self.by_request = self._open_requests()

    @property
    def entries(self) -> Iterable[Entry]:
        """Every request."""
        return self._entries.values()

    @property
    def unwritten(self) -> int:
        """How many requests the ledger does not hold as they are now."""
        return len(self._unwritten)

    def now(self) -> float:
        """Return the time."""
        return self._clock() + self.offset.seconds

    def accepted_at(self, entry: Entry) -> float:
        """Return when a request was accepted; where nobody knows that, when it was first polled."""
        return self._first_seen if entry.accepted_at is None else entry.accepted_at

    def learn_time(self, server_time: float | None) -> None:
        """Take in the time that a response states."""
        if server_time is None:
            return
        was_known = self.offset.is_known
        self.offset.learn(server_time, self._clock())
        if not was_known:
            self._first_seen += self.offset.seconds

    def learn_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Take in what polls elsewhere have kept."""
        self.metadata = {**self.metadata, **metadata}
        self.offset = ClockOffset(self.metadata.get("clock_offset"))
        self._first_seen = self.metadata.get("first_seen", self._first_seen)

    def update(self, request_id: str, entry: Entry) -> None:
        """Replace what is known of a request."""
        self.by_request[request_id] = entry
        self._put(entry)

    def take_unwritten(self) -> list[Entry]:
        """Return what the ledger does not hold yet; the caller writes it."""
        taken, self._unwritten = self._unwritten, {}
        return list(taken.values())

    def clock_metadata(self) -> dict[str, Any]:
        """Return what a later poll has to know of clocks."""
        metadata: dict[str, Any] = {}
        if self.offset.is_known:
            metadata["clock_offset"] = self.offset.seconds
        if any(entry.accepted_at is None for entry in self.entries):
            metadata["first_seen"] = self._first_seen
        return metadata

    def result(self, *, asked: int = 0, next_at: float | None = None, trouble: ApiError | None = None) -> PollResult:
        """Return what is known, as the result of a poll; see there."""
        entries = [replace(entry, accepted_at=self.accepted_at(entry)) for entry in self.entries]
        return PollResult(entries, asked, next_at, trouble, self.offset.seconds)

    def _put(self, entry: Entry) -> None:
        self._entries[entry.request_key] = self._unwritten[entry.request_key] = entry

    def _open_requests(self) -> dict[str, Entry]:
        """Return by RequestId the requests that are open or were called lost; one for each RequestId."""
        first = one_for_each_request(self.entries, self.accepted_at)
        for entry in list(self.entries):
            if is_repeated(entry, first) and not entry.state.is_final:
                verdict = Verdict(State.FAILED, reason_class=REPEATED_REQUEST_ID, reason=_REPEATED)
                self._put(entry.judged(verdict, self.now()))
        return {request_id: entry for request_id, entry in first.items() if not is_decided(entry)}


def is_decided(entry: Entry) -> bool:
    """Tell whether a request is never asked for again."""
    return entry.state.is_final and not entry.is_lost


def one_for_each_request(entries: Iterable[Entry], accepted_at: Callable[[Entry], float]) -> dict[str, Entry]:
    """
    Return by RequestId the requests of which LeadSquared can be asked.

    :param accepted_at: Tells when a request was accepted. Of several rows with one RequestId the first counts; one with
        a verdict before all others, for that verdict is not given to a second row.
    """
    first: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: (not is_decided(entry), accepted_at(entry))):
        if entry.request_id is not None and _can_be_asked_for(entry):
            first.setdefault(entry.request_id, entry)
    return first


def is_repeated(entry: Entry, first: Mapping[str, Entry]) -> bool:
    """Tell whether another row has the request's RequestId; see :func:`one_for_each_request`."""
    return _can_be_asked_for(entry) and first.get(str(entry.request_id), entry) is not entry


def _can_be_asked_for(entry: Entry) -> bool:
    return not entry.state.is_not_sent and entry.reason_class != REPEATED_REQUEST_ID


def _with_records(requests: Iterable[Entry], records: Iterable[Entry]) -> dict[tuple[Identity, str | None], Entry]:
    """Replace each request by what the ledger holds of it, in this task's own lines or in its capture's."""
    known: dict[tuple[str | None, str | None], list[Entry]] = defaultdict(list)
    for record in records:
        known[record.receipt_key].append(record)
    entries = {}
    for request in requests:
        same = known.get(request.receipt_key)
        entry = replace(same.pop(0), row=request.row) if same else request
        entries[entry.request_key] = entry
    return entries
