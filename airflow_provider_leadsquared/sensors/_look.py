"""One look at a set of requests: ask those that are due, write down what was learnt, say when to look next."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.delivery.ledger import Entry, Identity, VerdictLedger
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.delivery.verdicts import UNKNOWN_REQUEST, State, judge

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.answers import RequestStatus
    from airflow_provider_leadsquared.api.retries import RetryLadder
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

#: Verdicts are written in groups of this size while a look is under way.
_GROUP_ROWS = 200
#: Seconds that the last retry gets to end before an error that it leaves behind counts as final.
LAST_ATTEMPT = 60.0
#: Seconds until the next look when LeadSquared could not be asked.
_TROUBLE_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Look:
    """
    What a look found.

    :param entries: Every request, in the order given.
    :param asked: How many were asked in this look.
    :param next_at: When to look again, seconds since the epoch; None when all are settled.
    :param trouble: Why some could not be asked, None if all could.
    """

    entries: list[Entry]
    asked: int
    next_at: float | None
    trouble: LeadSquaredError | None

    @property
    def open(self) -> list[Entry]:
        """The requests without a verdict."""
        return [entry for entry in self.entries if not entry.state.is_final]


def read_receipts(given: Any) -> list[Entry]:
    """
    Read what an author hands to a sensor.

    :param given: A RequestId, a list of them, a capture's output, its receipts, or a list of outputs (of a mapped
        capture). A RequestId that is given twice is kept once if nothing else tells the two apart; one that is no
        UUID becomes an ``invalid`` entry.
    :raises ValueError: It is none of these.
    """
    entries: list[Entry] = []
    copies: Counter[Identity] = Counter()
    seen: set[tuple[Any, ...]] = set()
    for receipt in _flattened(given):
        told_apart_by = (receipt["request_id"], receipt.get("key"), receipt.get("row"))
        if told_apart_by in seen:
            continue
        seen.add(told_apart_by)
        entry = _entry(len(entries), receipt)
        entries.append(replace(entry, copy=copies[entry.identity]))
        copies[entry.identity] += 1
    return entries


def look(
    hook: LeadSquaredHook,
    ledger: VerdictLedger,
    receipts: Iterable[Entry],
    ladder: RetryLadder,
    *,
    clock: Callable[[], float],
) -> Look:
    """
    Take one look; safe to repeat at any point.

    A request with a verdict in the ledger is never asked again. If LeadSquared cannot be reached the look counts as
    not taken and is repeated soon; if it refuses the keys, what was learnt is kept and the error goes on.

    :param ladder: LeadSquared's retries on our clock.
    :param clock: Tells the time in seconds since the epoch.
    :raises LeadSquaredError: Asking again would not help: keys refused, wrong host, no LeadSquared at all.
    """
    now = clock()
    records = ledger.load()
    entries = _with_records(receipts, records.entries.values())
    _start_clocks(entries, records.marks, ledger, now)
    by_request: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries.values():
        if not entry.state.is_final and entry.request_id is not None:
            by_request[entry.request_id].append(entry)

    plan = PollPlan(
        {request_id: same[0].accepted_at or now for request_id, same in by_request.items()},
        ladder=ladder,
        speed=hook.account.sandbox_speed,
        looked_at=records.marks.get("looked_at"),
    )
    due = plan.due(now)
    trouble: LeadSquaredError | None = None
    changed: list[Entry] = []

    def note(request_id: str, told: RequestStatus | LeadSquaredError) -> None:
        nonlocal trouble
        if isinstance(told, LeadSquaredError) and told.transient:
            trouble = told
        for entry in by_request[request_id]:
            judged = _judged(entry, told, ladder, clock())
            if judged != entry:
                entries[entry.identity] = judged
                changed.append(judged)
        if all(entries[entry.identity].state.is_final for entry in by_request[request_id]):
            plan.settle(request_id)
        if len(changed) >= _GROUP_ROWS:
            ledger.write(changed)
            changed.clear()

    try:
        if due:
            asyncio.run(_ask(hook, due, note))
    except LeadSquaredError as error:
        if not error.transient:
            raise
        trouble = error
    finally:
        ledger.write(changed)
    if trouble is None:
        plan.looked(now)
        ledger.write(marks={"looked_at": now})
    next_at = None
    if plan.open:
        next_at = plan.next_look(clock()) if trouble is None else clock() + _TROUBLE_WAIT
    return Look(list(entries.values()), len(due), next_at, trouble)


def _with_records(receipts: Iterable[Entry], records: Iterable[Entry]) -> dict[Identity, Entry]:
    """Put what the ledger holds of a request, in this task's own lines or in its capture's, in the receipt's place."""
    known: dict[tuple[str | None, str | None], list[Entry]] = defaultdict(list)
    for record in records:
        known[record.request_id, record.key].append(record)
    entries = {}
    for receipt in receipts:
        same = known.get((receipt.request_id, receipt.key))
        entry = replace(same.pop(0), row=receipt.row) if same else receipt
        entries[entry.identity] = entry
    return entries


def _judged(entry: Entry, told: RequestStatus | LeadSquaredError, ladder: RetryLadder, now: float) -> Entry:
    age = now - (entry.accepted_at or now)
    verdict = judge(
        told,
        age=age,
        ladder_ended=age > ladder.longest + LAST_ATTEMPT,
        unknown_before=entry.reason_class == UNKNOWN_REQUEST,
    )
    return entry.judged(verdict, now)


async def _ask(
    hook: LeadSquaredHook,
    request_ids: list[str],
    note: Callable[[str, RequestStatus | LeadSquaredError], None],
) -> None:
    async for request_id, told in hook.get_request_statuses(request_ids):
        note(request_id, told)


def _start_clocks(entries: dict[Identity, Entry], marks: Mapping[str, Any], ledger: VerdictLedger, now: float) -> None:
    """Give requests without a time of acceptance the time at which they were first seen, once and for all."""
    if all(entry.accepted_at is not None for entry in entries.values()):
        return
    first_seen = marks.get("first_seen")
    if first_seen is None:
        first_seen = now
        ledger.write(marks={"first_seen": now})
    for identity, entry in entries.items():
        if entry.accepted_at is None:
            entries[identity] = replace(entry, accepted_at=first_seen)


def _flattened(given: Any) -> Iterator[dict[str, Any]]:
    if isinstance(given, str):
        yield {"request_id": given}
    elif isinstance(given, Mapping) and "receipts" in given:
        yield from _flattened(given["receipts"])
    elif isinstance(given, Mapping) and "request_id" in given:
        yield dict(given)
    elif isinstance(given, Iterable) and not isinstance(given, (Mapping, bytes)):
        for item in given:
            yield from _flattened(item)
    else:
        raise ValueError(
            f"request_ids holds a {type(given).__name__}; pass a RequestId, a list of them, or a capture's output"
        )


def _entry(row: int, receipt: dict[str, Any]) -> Entry:
    request_id, key, accepted_at = (receipt.get(name) for name in ("request_id", "key", "accepted_at"))
    entry = Entry(
        row if receipt.get("row") is None else int(receipt["row"]) - 1,
        State.OPEN,
        None if key is None else str(key),
        request_id=str(request_id),
        accepted_at=None if accepted_at is None else _seconds(accepted_at),
    )
    try:
        uuid.UUID(str(request_id))
    except ValueError:
        problem = "is no RequestId: LeadSquared's are UUIDs; pass what the capture returned"
        return replace(entry, state=State.INVALID, reason_class="not_a_request_id", reason=problem)
    return entry


def _seconds(moment: Any) -> float:
    try:
        parsed = pendulum.parse(moment)
        if isinstance(parsed, pendulum.DateTime):
            return parsed.timestamp()
    except (ValueError, TypeError):
        pass
    raise ValueError("accepted_at of a receipt must be an ISO 8601 date and time, as a capture returns it")
