"""One row's line in the ledger. It holds no lead data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import UnexpectedResponseError
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST, Verdict

#: What a row is recognised by between tries: its key, what is sent (or its RequestId), and which of several equal rows.
Identity = tuple[str | None, str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One row's line in the ledger.

    :param row: The row's position in the run, from 0.
    :param state: The row's state.
    :param row_key: What identifies the row to its owner; None where the author named no key.
    :param fingerprint: Hash of what is sent; empty where only the receipt is known.
    :param copy: Number of this row among rows that are equal in all of this, from 0.
    :param request_id: LeadSquared's RequestId, once it has accepted the row.
    :param accepted_at: When LeadSquared accepted it, seconds since the epoch; on its own clock where that is known.
    :param settled_at: When its verdict was received, seconds since the epoch.
    :param lead_id: The lead in the CRM.
    :param reason_class: Why it is in this state, in one word.
    :param reason: Why, as a text without personal data.
    :param attempts: How often it was sent, or may have been.
    :param doubted_at: When a sending before the last got no response; LeadSquared may be at work on that one too.
    :param api: The asynchronous API that the row is sent to.
    :param unknown_since: Since when no poll has found the request, on LeadSquared's clock; None if the last one did.
    :param asked_at: When it was last asked for and was open, on LeadSquared's clock; for the poll plan.
    :param attempted_by: When LeadSquared had made its first attempt, at the latest; None if it may still be queued.
    """

    row: int
    state: State
    row_key: str | None = None
    fingerprint: str = ""
    copy: int = 0
    request_id: str | None = None
    accepted_at: float | None = None
    settled_at: float | None = None
    lead_id: str | None = None
    reason_class: str | None = None
    reason: str | None = None
    attempts: int = 0
    doubted_at: float | None = None
    api: str = LEAD_CAPTURE.name
    unknown_since: float | None = None
    asked_at: float | None = None
    attempted_by: float | None = None

    def moved(self, state: State, **changes: Any) -> Entry:
        """
        Return the entry in another state.

        :param changes: Other fields to set.
        :raises ValueError: A row in this state cannot get there.
        """
        if state not in self.state.description.next:
            raise ValueError(f"row {self.row} is {self.state.value} and cannot become {state.value}")
        values = list(values_of(self))  # made several times a row, and dataclasses.replace takes twice as long
        for name, value in changes.items():
            values[_POSITIONS[name]] = value
        values[_POSITIONS["state"]] = state
        return Entry(*values)

    @property
    def is_lost(self) -> bool:
        """Whether the verdict is that LeadSquared lost the request: the only one that a later poll may replace."""
        return self.state is State.FAILED and self.reason_class == UNKNOWN_REQUEST

    def without_receipt(self, reason: str) -> Entry:
        """
        Return an accepted entry as one in doubt: its receipt turned out not to be about it.

        :param reason: Why.
        """
        return replace(
            self,
            state=State.IN_DOUBT,
            request_id=None,
            accepted_at=None,
            reason_class=UnexpectedResponseError.__name__,
            reason=reason,
        )

    def judged(self, verdict: Verdict, now: float, *, unknown_since: float | None = None) -> Entry:
        """
        Return the entry with what a poll showed.

        :param now: Seconds since the epoch.
        :param unknown_since: Since when no poll has found the request; None if this one did.
        """
        known = replace(self, state=State.OPEN) if self.is_lost else self
        return known.moved(
            verdict.state,
            unknown_since=unknown_since,
            lead_id=verdict.lead_id,
            reason_class=verdict.reason_class,
            reason=verdict.reason,
            settled_at=now if verdict.state.is_final else None,
        )

    @property
    def identity(self) -> Identity:
        """Tell which row this is, whatever its position: a list that was changed or re-ordered keeps its receipts."""
        return self.row_key, self.fingerprint or self.request_id or "", self.copy

    @property
    def request_key(self) -> tuple[Identity, str | None]:
        """Tell requests apart: a row that several tries have sent may have several."""
        return self.identity, self.request_id

    @property
    def receipt_key(self) -> tuple[str | None, str | None]:
        """Return what a task's output and a ledger both hold of a request; one RequestId may stand at several rows."""
        return self.request_id, self.row_key

    @property
    def name(self) -> str:
        """Name the row in messages: its key, or its position counted from 1."""
        return self.row_key if self.row_key is not None else f"row {self.row + 1}"


_POSITIONS = {one.name: position for position, one in enumerate(fields(Entry))}
#: Returns the fields of an entry in order; ``dataclasses.astuple`` copies each of them, which takes far longer.
values_of: Callable[[Entry], tuple[Any, ...]] = attrgetter(*_POSITIONS)
#: What these are where nothing is known.
DEFAULTS: tuple[Any, ...] = tuple(one.default for one in fields(Entry))
