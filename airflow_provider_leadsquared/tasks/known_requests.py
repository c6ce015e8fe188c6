"""What is known of the requests that a task waits for, on LeadSquared's clock, and what of it is not written yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.clock_offset import ClockOffset
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import REPEATED_REQUEST_ID, Verdict
from airflow_provider_leadsquared.tasks.poll_result import PollResult

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.errors import ApiError
    from airflow_provider_leadsquared.ledgers.base import Records

#: Why a request is not asked for.
_REPEATED = "has the RequestId of another row, so that nobody can tell its outcome; look the row up in the CRM"


class KnownRequests:
    """
    The requests of a task with what its ledger holds of them.

    All times are LeadSquared's: those of this worker's clock and an offset, learnt from responses (``Date``).

    :param records: What the ledger holds.
    :param requests: The requests.
    :param clock: Tells the time on this worker, in seconds since the epoch.
    """

    def __init__(self, records: Records, requests: Iterable[Entry], clock: Callable[[], float]) -> None:
        self._clock = clock
        #: By request, what the ledger does not hold yet.
        self._unwritten: dict[tuple[Identity, str | None], Entry] = {}
        self.metadata: Mapping[str, Any] = records.metadata
        self.offset = ClockOffset(records.metadata.get("clock_offset"))
        #: From when requests without a time of acceptance count: the time of the first poll.
        self._first_seen: float = records.metadata.get("first_seen", self.now())
        entries = list(requests)
        replace_by_records(entries, records.all_entries)
        #: The requests to ask for, by RequestId: they were open, or called lost, when they were loaded.
        self.by_request: dict[str, Entry]
        #: Every request in order. One that is asked for is named by its RequestId, for it changes.
        self._entries: list[Entry | str] = list(self._sorted_out(entries))

    @property
    def entries(self) -> Iterator[Entry]:
        """Every request."""
        return (self.by_request[one] if isinstance(one, str) else one for one in self._entries)

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
        self.by_request[request_id] = self._unwritten[entry.request_key] = entry

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
        entries = [
            replace(entry, accepted_at=self._first_seen) if entry.accepted_at is None else entry
            for entry in self.entries
        ]
        return PollResult(entries, asked, next_at, trouble, self.offset.seconds)

    def _sorted_out(self, entries: Sequence[Entry]) -> Iterator[Entry | str]:
        """Yield the requests, each that is to be asked for by its RequestId: one for each RequestId."""
        first = one_for_each_request(entries, self.accepted_at)
        for entry in entries:
            if is_repeated(entry, first):
                if entry.request_key == first[str(entry.request_id)].request_key:
                    continue  # the very same: equal rows of two captures
                yield entry if entry.state.is_final else self._refused_as_repeated(entry)
            elif entry.request_id not in first or is_decided(entry):
                yield entry
            else:
                yield entry.request_id
        for request_id in [request_id for request_id, entry in first.items() if is_decided(entry)]:
            del first[request_id]
        self.by_request = first

    def _refused_as_repeated(self, entry: Entry) -> Entry:
        verdict = Verdict(State.FAILED, reason_class=REPEATED_REQUEST_ID, reason=_REPEATED)
        judged = entry.judged(verdict, self.now())
        self._unwritten[judged.request_key] = judged
        return judged


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
    for entry in entries:
        if entry.request_id is None or not _can_be_asked_for(entry):
            continue
        before = first.setdefault(entry.request_id, entry)
        if before is not entry and _precedence(entry, accepted_at) < _precedence(before, accepted_at):
            first[entry.request_id] = entry
    return first


def _precedence(entry: Entry, accepted_at: Callable[[Entry], float]) -> tuple[bool, float]:
    return not is_decided(entry), accepted_at(entry)


def is_repeated(entry: Entry, first: Mapping[str, Entry]) -> bool:
    """Tell whether another row has the request's RequestId; see :func:`one_for_each_request`."""
    return _can_be_asked_for(entry) and first.get(str(entry.request_id), entry) is not entry


def _can_be_asked_for(entry: Entry) -> bool:
    return not entry.state.is_not_sent and entry.reason_class != REPEATED_REQUEST_ID


def replace_by_records(requests: list[Entry], records: Iterable[Entry]) -> tuple[list[Entry], list[int]]:
    """
    Put in the place of each request what a ledger holds of it, in this task's own lines or in its capture's.

    :param requests: The requests; the list is changed.
    :param records: What the ledger holds, read one by one.
    :return: The records that are of none of the requests, and the places of the requests without a record.
    """
    # Kept small, for there may be many: only where a RequestId stands at several requests there is a list of places.
    places: dict[str | None, int] = {}
    further: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    for place, request in enumerate(requests):
        if places.setdefault(request.request_id, place) != place:
            further[request.receipt_key].append(place)
    others = []
    for record in records:
        place = places.get(record.request_id, -1)
        if place >= 0 and requests[place].row_key == record.row_key:
            del places[record.request_id]
        elif same := further.get(record.receipt_key):
            place = same.pop(0)
        else:
            others.append(record)
            continue
        row = requests[place].row
        requests[place] = record if record.row == row else replace(record, row=row)
    return others, [*places.values(), *(place for same in further.values() for place in same)]
