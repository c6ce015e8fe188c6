"""One poll of a set of requests: ask for those that are due, record what was received, say when to poll next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import ApiError
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST, judge
from airflow_provider_leadsquared.ledgers.base import VerdictLedger
from airflow_provider_leadsquared.tasks.event_loop import run_calls

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.responses import RequestStatus
    from airflow_provider_leadsquared.api.retries import RetryLadder
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

#: Verdicts are written in groups of this size while a poll is under way.
_GROUP_ROWS = 200
#: Seconds that the last retry gets to end before an error that it leaves behind counts as final.
LAST_ATTEMPT = 60.0
#: Seconds until the next poll when LeadSquared could not be asked.
_TROUBLE_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class PollResult:
    """
    What a poll showed.

    :param entries: Every request, in the order given.
    :param asked: How many requests were asked for in this poll.
    :param next_at: When to poll again, seconds since the epoch; None when all are settled.
    :param trouble: Why some could not be asked for, None if all could.
    """

    entries: list[Entry]
    asked: int
    next_at: float | None
    trouble: ApiError | None

    @property
    def open(self) -> list[Entry]:
        """The requests without a verdict."""
        return [entry for entry in self.entries if not entry.state.is_final]


def poll(
    hook: LeadSquaredHook,
    ledger: VerdictLedger,
    requests: Iterable[Entry],
    *,
    clock: Callable[[], float],
    is_stopping: Callable[[], bool],
) -> PollResult:
    """
    Poll once; safe to repeat at any point.

    A request with a verdict in the ledger is never asked for again. If LeadSquared cannot be reached the poll counts as
    not made and is repeated soon; if it refuses the keys, what was received is kept and the error is raised.

    :param hook: What asks; its account has the retry ladder.
    :param ledger: Where verdicts are kept.
    :param requests: The requests.
    :param clock: Tells the time in seconds since the epoch.
    :param is_stopping: Once it returns True no further request is asked for, and the poll counts as not made.
    :raises ApiError: Asking again would not help: keys refused, wrong host, no LeadSquared at all.
    """
    return _Poll(hook, ledger, requests, clock, is_stopping).run()


class _Poll:
    """One poll while it is under way."""

    def __init__(
        self,
        hook: LeadSquaredHook,
        ledger: VerdictLedger,
        requests: Iterable[Entry],
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._hook, self._ledger, self._clock, self._is_stopping = hook, ledger, clock, is_stopping
        self._ladder = hook.account.ladder
        self._trouble: ApiError | None = None
        self._unwritten: list[Entry] = []
        self._now = now = clock()
        records = ledger.load()
        self._entries = _with_records(requests, records.entries.values())
        _set_first_seen(self._entries, records.metadata, ledger, now)
        self._by_request: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries.values():
            if not entry.state.is_final and entry.request_id is not None:
                self._by_request[entry.request_id].append(entry)
        self._plan = PollPlan(
            {request_id: same[0].accepted_at or now for request_id, same in self._by_request.items()},
            ladder=self._ladder,
            speed=hook.account.sandbox_speed,
            polled_at=records.metadata.get("polled_at"),
        )

    def run(self) -> PollResult:
        """Ask, record, and say when to poll next."""
        due = self._plan.due(self._now)
        try:
            if due:
                run_calls(self._ask(due))
        except ApiError as error:
            if not error.transient:
                raise
            self._trouble = error
        finally:
            self._ledger.write(self._unwritten)
        if self._trouble is None and not self._is_stopping():
            self._plan.polled(self._now)
            self._ledger.write(metadata={"polled_at": self._now})
        next_at = None
        if self._plan.open:
            now = self._clock()
            next_at = self._plan.next_poll(now) if self._trouble is None else now + _TROUBLE_WAIT
        return PollResult(list(self._entries.values()), len(due), next_at, self._trouble)

    async def _ask(self, due: Iterable[str]) -> None:
        asked = [(request_id, self._by_request[request_id][0].api) for request_id in due]
        async for request_id, outcome in self._hook.get_request_statuses(asked, is_stopping=self._is_stopping):
            self._record(request_id, outcome)

    def _record(self, request_id: str, outcome: RequestStatus | ApiError) -> None:
        if isinstance(outcome, ApiError) and outcome.transient:
            self._trouble = outcome
        same = self._by_request[request_id]
        for entry in same:
            judged = _judged(entry, outcome, self._ladder, self._clock())
            if judged != entry:
                self._entries[entry.identity] = judged
                self._unwritten.append(judged)
        if all(self._entries[entry.identity].state.is_final for entry in same):
            self._plan.settle(request_id)
        if len(self._unwritten) >= _GROUP_ROWS:
            self._ledger.write(self._unwritten)
            self._unwritten.clear()


def _with_records(requests: Iterable[Entry], records: Iterable[Entry]) -> dict[Identity, Entry]:
    """Replace each request by what the ledger holds of it, in this task's own lines or in its capture's."""
    known: dict[tuple[str | None, str | None], list[Entry]] = defaultdict(list)
    for record in records:
        known[record.request_id, record.row_key].append(record)
    entries = {}
    for request in requests:
        same = known.get((request.request_id, request.row_key))
        entry = replace(same.pop(0), row=request.row) if same else request
        entries[entry.identity] = entry
    return entries


def _judged(entry: Entry, outcome: RequestStatus | ApiError, ladder: RetryLadder, now: float) -> Entry:
    age = now - (entry.accepted_at or now)
    verdict = judge(
        outcome,
        age=age,
        ladder_ended=age > ladder.longest + LAST_ATTEMPT,
        unknown_before=entry.reason_class == UNKNOWN_REQUEST,
    )
    return entry.judged(verdict, now)


def _set_first_seen(
    entries: dict[Identity, Entry], metadata: Mapping[str, Any], ledger: VerdictLedger, now: float
) -> None:
    """Let requests without a time of acceptance count from the time at which they were first seen, kept once."""
    if all(entry.accepted_at is not None for entry in entries.values()):
        return
    first_seen = metadata.get("first_seen")
    if first_seen is None:
        first_seen = now
        ledger.write(metadata={"first_seen": now})
    for identity, entry in entries.items():
        if entry.accepted_at is None:
            entries[identity] = replace(entry, accepted_at=first_seen)
