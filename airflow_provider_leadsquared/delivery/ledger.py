"""
The ledger: what was sent and what came of it, written down before the next thing happens.

A task that is killed at any instant and run again finds here which rows have a receipt, which are in doubt, and
which have their verdict. Entries hold no lead data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_leadsquared.delivery.verdicts import NEXT, State, Verdict

#: Airflow warns about a task state value of more than 65,535 bytes and its REST API refuses it.
_CHUNK_BYTES = 60_000


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


class Ledger(Protocol):
    """Where entries are kept between the tries of a task."""

    def load(self) -> Records:
        """Return all that was written."""

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """
        Write entries and marks; they are durable when this returns.

        :param entries: New entries; one for a row that has one already replaces it.
        :param marks: Facts to add or replace.
        """


class MemoryLedger:
    """A ledger that lasts as long as the process: what is left where Airflow keeps no task state (below 3.3)."""

    def __init__(self) -> None:
        self._entries: dict[Identity, Entry] = {}
        self._marks: dict[str, Any] = {}

    def load(self) -> Records:
        """Return all that was written."""
        return Records(dict(self._entries), dict(self._marks))

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Keep entries and marks in memory."""
        self._entries.update({entry.identity: entry for entry in entries})
        self._marks.update(marks or {})


class TaskStateStore(Protocol):
    """The part of Airflow's task state store that is used here."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""


class TaskStateLedger:
    """
    A ledger in Airflow's task state store, which outlives retries, reschedules and kills of a task.

    Entries are appended in numbered chunks of less than 64 KB, each written whole or not at all; the store cannot
    list its keys, so a reader counts up until one is missing.

    :param store: ``context["task_state_store"]``.
    """

    def __init__(self, store: TaskStateStore) -> None:
        self._store = store
        self._chunks: int | None = None

    def load(self) -> Records:
        """Return all that was written; of a row's entries the last one counts."""
        entries: dict[Identity, Entry] = {}
        chunk = 0
        while (lines := self._store.get(self._name(chunk))) is not None:
            for line in lines:
                entry = _read(line)
                entries[entry.identity] = entry
            chunk += 1
        self._chunks = chunk
        return Records(entries, self._store.get("ledger/marks") or {})

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Append entries as new chunks; marks have a key of their own."""
        if self._chunks is None:
            self.load()
        for lines in _chunked(entries):
            self._store.set(self._name(self._chunks or 0), lines)
            self._chunks = (self._chunks or 0) + 1
        if marks:
            self._store.set("ledger/marks", {**(self._store.get("ledger/marks") or {}), **marks})

    @staticmethod
    def _name(chunk: int) -> str:
        return f"ledger/{chunk:04d}"


def _chunked(entries: Iterable[Entry]) -> Iterator[list[list[Any]]]:
    lines: list[list[Any]] = []
    size = 0
    for entry in entries:
        line = _line(entry)
        length = len(json.dumps(line)) + 2
        if lines and size + length > _CHUNK_BYTES:
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += length
    if lines:
        yield lines


def _line(entry: Entry) -> list[Any]:
    return [
        entry.row,
        entry.state.value,
        entry.key,
        entry.fingerprint,
        entry.copy,
        entry.request_id,
        entry.accepted_at,
        entry.settled_at,
        entry.lead_id,
        entry.reason_class,
        entry.reason,
    ]


def _read(line: list[Any]) -> Entry:
    row, state, *rest = line
    return Entry(row, State(state), *rest)
