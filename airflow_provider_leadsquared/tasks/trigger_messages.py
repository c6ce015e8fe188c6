"""
What a deferred task and its trigger send each other: plain JSON without lead data and keys.

Airflow keeps both in its database. A request is known by its RequestId there: no row key goes along, for these may be
personal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import Verdict
from airflow_provider_leadsquared.exceptions import TriggerEventError
from airflow_provider_leadsquared.tasks.known_requests import KnownRequests, is_decided
from airflow_provider_leadsquared.tasks.planning import POLL_METADATA
from airflow_provider_leadsquared.tasks.polling import GROUP_ROWS

if TYPE_CHECKING:
    from airflow_provider_leadsquared.ledgers.base import VerdictLedger

#: How many requests the arguments of a trigger hold at most; Airflow keeps them in one field of its database.
MOST_REQUESTS = 10_000
#: The fields of a request, those that are seldom set last; what is None at the end of a line is left out.
_FIELDS = (
    "request_id",
    "accepted_at",
    "state",
    "settled_at",
    "lead_id",
    "asked_at",
    "attempted_by",
    "reason_class",
    "reason",
    "unknown_since",
    "api",
)
_DEFAULTS: dict[str, Any] = {"state": State.OPEN, "api": LEAD_CAPTURE.name}
_POLLED, _FAILED = "polled", "failed"


def line_of(entry: Entry, **changes: Any) -> list[Any]:
    """
    Write a request as JSON.

    :param changes: Fields to write other values of.
    """
    values = [changes.get(name, getattr(entry, name)) for name in _FIELDS]
    line = [
        None if value == _DEFAULTS.get(name) else str(value.value) if isinstance(value, State) else value
        for name, value in zip(_FIELDS, values, strict=True)
    ]
    while line[-1] is None:
        line.pop()
    return line


def entry_of(line: Sequence[Any], row: int = 0) -> Entry:
    """
    Read what :func:`line_of` wrote.

    :param row: A number of the caller's choice.
    :raises ValueError: It is no such line.
    """
    given = {name: value for name, value in zip(_FIELDS, line, strict=False) if value is not None}
    if not isinstance(given.get("request_id"), str):
        raise ValueError("a request without a RequestId")
    fields = {**_DEFAULTS, **given}
    return Entry(row, **{**fields, "state": State(fields["state"])})


def requests_for_trigger(known: KnownRequests, *, is_held: Callable[[Entry], bool]) -> list[list[Any]]:
    """
    Return the open requests that a trigger finds in no SQL ledger, and one with a verdict if there are any.

    The trigger asks for that one to prove that it is not the path that is wrong.

    :param is_held: Tells whether a SQL ledger holds a request.
    :raises ValueError: They are too many.
    """
    lines = [
        line_of(entry, reason=None)
        for entry in known.by_request.values()
        if not is_decided(entry) and not is_held(entry)
    ]
    if len(lines) > MOST_REQUESTS:
        raise ValueError(
            f"{len(lines):,} requests are in no SQL ledger, and a trigger's arguments hold {MOST_REQUESTS:,} at most. "
            "Let the capture keep its ledger in SQL (ledger_conn_id), give the requests to several sensors, or set "
            "deferrable=False"
        )
    decided = [entry for entry in known.entries if entry.settled_at is not None and is_decided(entry)]
    if lines and decided:
        last = max(decided, key=lambda entry: entry.settled_at or 0.0)
        lines.append(line_of(last, lead_id=None, reason=None))
    return lines


def poll_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a later poll has to know."""
    return {name: metadata[name] for name in POLL_METADATA if metadata.get(name) is not None}


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a trigger sends when it fires.

    :param entries: The requests of which its polls have shown something.
    :param metadata: What a later poll has to know.
    :param now: The time on LeadSquared's clock.
    :param error: The class of the error that kept it from polling; None if there was none.
    """

    entries: list[Entry]
    metadata: dict[str, Any]
    now: float
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "status": _POLLED if self.error is None else _FAILED,
            "requests": [line_of(entry, accepted_at=None) for entry in self.entries],
            "metadata": self.metadata,
            "now": self.now,
            "error": self.error,
        }

    @classmethod
    def parse(cls, event: Any) -> Report:
        """
        Read what :meth:`as_json` has returned.

        :raises TriggerEventError: It is anything else.
        """
        if event is None:
            raise TriggerEventError("The task was resumed without an event of its trigger; a retry continues the wait")
        try:
            if event["status"] not in (_POLLED, _FAILED):
                raise ValueError("an unknown status")  # noqa: TRY301 - one message for all that is wrong
            entries = [entry_of(line) for line in event["requests"]]
            return cls(entries, poll_metadata(event["metadata"]), float(event["now"]), event["error"])
        except (LookupError, TypeError, ValueError, AttributeError):
            raise TriggerEventError(
                "The event of the task's trigger is not one of LeadStatusTrigger of this version. Install one version "
                "of this package on workers and triggerers; a retry continues the wait"
            ) from None

    def record(self, known: KnownRequests, ledger: VerdictLedger) -> None:
        """
        Write what the polls have shown, as if this task had polled. A verdict that is there stays.

        :param known: The requests; those with a verdict are replaced.
        :param ledger: Where they are kept.
        :raises TriggerEventError: A request would get a state that it cannot have.
        """
        known.learn_metadata(self.metadata)
        for entry in self.entries:
            before = known.by_request.get(str(entry.request_id))
            if before is not None:
                known.update(str(entry.request_id), _judged(before, entry))
        entries = known.take_unwritten()
        for start in range(0, len(entries), GROUP_ROWS):
            ledger.write(entries[start : start + GROUP_ROWS])
        # The metadata last, when all entries are durable.
        ledger.write(metadata=self.metadata)


def _judged(before: Entry, reported: Entry) -> Entry:
    verdict = Verdict(reported.state, reported.lead_id, reported.reason_class, reported.reason)
    now = 0.0 if reported.settled_at is None else reported.settled_at
    try:
        judged = before.judged(verdict, now, unknown_since=reported.unknown_since)
    except ValueError:
        raise TriggerEventError(
            f"The event of the task's trigger calls a request {reported.state.value}, which no poll shows"
        ) from None
    return replace(judged, asked_at=reported.asked_at, attempted_by=reported.attempted_by)
