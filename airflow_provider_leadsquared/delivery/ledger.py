"""
The ledger: what was sent and what came of it, written down before the next thing happens.

A task that is killed at any instant and run again finds here which rows have a receipt, which are in doubt, and
which have their verdict. Entries hold no lead data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_leadsquared.delivery.verdicts import NEXT, State, Verdict

#: What a row is recognised by between tries: its key, what is sent (or its receipt), and which of several alike.
Identity = tuple[str | None, str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One row's line in the ledger.

    :param row: The row's position in the run, from 0.
    :param state: Where the row stands.
    :param key: What identifies the row to its owner; None where the author named no key.
    :param fingerprint: Hash of what is sent; empty where only the receipt is known.
    :param copy: Counts rows that are alike in all of this, from 0.
    :param request_id: LeadSquared's receipt.
    :param accepted_at: When LeadSquared accepted it, seconds since the epoch.
    :param settled_at: When its verdict was learnt, seconds since the epoch.
    :param lead_id: The lead in the CRM.
    :param reason_class: Why it is in this state, in one word.
    :param reason: Why, as a text without personal data.
    :param attempts: How often we set out to send it.
    :param doubted_at: When a sending before the last got no answer; LeadSquared may be at work on that one too.
    """

    row: int
    state: State
    key: str | None = None
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

    def moved(self, state: State, **changes: Any) -> Entry:
        """
        Return the entry in another state.

        :param changes: Other fields to set.
        :raises ValueError: A row in this state cannot get there.
        """
        if state not in NEXT[self.state]:
            raise ValueError(f"row {self.row} is {self.state.value} and cannot become {state.value}")
        return replace(self, state=state, **changes)

    def judged(self, verdict: Verdict, now: float) -> Entry:
        """
        Return the entry with what a look told.

        :param now: Seconds since the epoch.
        """
        return self.moved(
            verdict.state,
            lead_id=verdict.lead_id,
            reason_class=verdict.reason_class,
            reason=verdict.reason,
            settled_at=now if verdict.state.is_final else None,
        )

    @property
    def identity(self) -> Identity:
        """Tell which row this is, whatever its position: a list that was changed or re-ordered keeps its receipts."""
        return self.key, self.fingerprint or self.request_id or "", self.copy

    @property
    def name(self) -> str:
        """Name the row in messages: its key, or its position counted from 1."""
        return self.key if self.key is not None else f"row {self.row + 1}"


@dataclass(frozen=True, slots=True)
class Records:
    """
    What a ledger holds.

    :param entries: The newest entry of each row.
    :param marks: Small facts about the run as a whole, by name.
    """

    entries: Mapping[Identity, Entry] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)


class LedgerUnavailableError(Exception):
    """The ledger could not be read or written; the same may succeed later."""


class LedgerTakenError(Exception):
    """Another try of the task has taken the ledger over; this one must not send any more."""


class VerdictLedger(Protocol):
    """
    Where those who ask for verdicts read what is open, and write what they learn.

    :raises LedgerUnavailableError: Any method: the store cannot be reached, or is full.
    """

    def load(self) -> Records:
        """Return all that was written."""

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """
        Write entries and marks; they are durable when this returns.

        :param entries: New entries; one for a row that has one already replaces it.
        :param marks: Facts to add or replace.
        :raises LedgerTakenError: This try has claimed the ledger, and another has since.
        """


class Ledger(VerdictLedger, Protocol):
    """Where those who send keep entries between the tries of a task."""

    def claim(self, holder: str) -> None:
        """
        Make one try the only writer of entries: whoever held the ledger before can write no more.

        :param holder: Names the try, differently from any other.
        """

    def start_over(self) -> None:
        """Begin with no entries, durably; what was written before stays in the store but counts no more."""


class MemoryLedger:
    """A ledger that lasts as long as the process: what is left where Airflow keeps no task state (below 3.3)."""

    def __init__(self) -> None:
        self._entries: dict[Identity, Entry] = {}
        self._marks: dict[str, Any] = {}

    def load(self) -> Records:
        """Return all that was written."""
        return Records(dict(self._entries), dict(self._marks))

    def claim(self, holder: str) -> None:
        """Do nothing: nobody else can reach this memory."""

    def start_over(self) -> None:
        """Forget all entries."""
        self._entries.clear()

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Keep entries and marks in memory."""
        self._entries.update({entry.identity: entry for entry in entries})
        self._marks.update(marks or {})
