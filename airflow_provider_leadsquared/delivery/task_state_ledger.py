"""
The ledger in Airflow's task state store, which outlives retries, reschedules and kills of a task.

The store holds JSON values under keys that it cannot list. Entries are appended in numbered chunks, each written
whole or not at all, and a reader counts up until one is missing. A ``generation`` in the key lets a run start over
without deleting anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple
from functools import partial
from typing import Any, Protocol, TypeVar

from airflow_provider_leadsquared.delivery.ledger import (
    Entry,
    Identity,
    LedgerTakenError,
    LedgerUnavailableError,
    Records,
)
from airflow_provider_leadsquared.delivery.verdicts import State

#: Airflow warns about a task state value of more than 65,535 bytes and its REST API refuses it.
_CHUNK_BYTES = 60_000
_MARKS = "ledger/marks"

_Value = TypeVar("_Value")


class TaskStateStore(Protocol):
    """The part of Airflow's task state store that is used here."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""


class TaskStateLedger:
    """
    A :class:`Ledger` of one task instance.

    :param store: ``context["task_state_store"]``.
    """

    def __init__(self, store: TaskStateStore) -> None:
        self._store = store
        self._holder: str | None = None
        self._next_chunk: int | None = None

    def load(self) -> Records:
        """Return all that was written; of a row's entries the last one counts."""
        marks = self._marks()
        entries: dict[Identity, Entry] = {}
        chunk = 0
        while (lines := self._get(_name(marks, chunk))) is not None:
            for row, state, *rest in lines:
                entry = Entry(row, State(state), *rest)
                entries[entry.identity] = entry
            chunk += 1
        self._next_chunk = chunk
        return Records(entries, marks)

    def claim(self, holder: str) -> None:
        """Note the holder. Airflow itself cuts a try off from the store once the next one has begun."""
        self._set_marks(self._marks() | {"holder": holder})
        self._holder = holder

    def start_over(self) -> None:
        """Write chunks under a new generation from now on."""
        marks = self._marks()
        self._set_marks(marks | {"generation": marks.get("generation", 0) + 1})
        self._next_chunk = 0

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Append entries as new chunks; marks have a key of their own."""
        chunks = list(_chunked(entries))
        if self._next_chunk is None:
            self.load()
        kept = self._marks()
        if chunks and self._holder is not None and kept.get("holder") != self._holder:
            raise LedgerTakenError("another try of this task has begun; this one stops sending")
        for number, lines in enumerate(chunks, start=self._next_chunk or 0):
            self._call(partial(self._store.set, _name(kept, number), lines))
            self._next_chunk = number + 1
        if marks:
            self._set_marks(kept | dict(marks))

    def _marks(self) -> dict[str, Any]:
        return dict(self._get(_MARKS) or {})

    def _set_marks(self, marks: dict[str, Any]) -> None:
        self._call(partial(self._store.set, _MARKS, marks))

    def _get(self, key: str) -> Any:
        return self._call(partial(self._store.get, key))

    @staticmethod
    def _call(act: Callable[[], _Value]) -> _Value:
        try:
            return act()
        except Exception as error:
            raise LedgerUnavailableError(f"Airflow's task state store: {type(error).__name__}") from error


def _name(marks: Mapping[str, Any], chunk: int) -> str:
    return f"ledger/{marks.get('generation', 0)}/{chunk:04d}"


def _chunked(entries: Iterable[Entry]) -> Iterator[list[list[Any]]]:
    lines: list[list[Any]] = []
    size = 0
    for entry in entries:
        line = [field.value if isinstance(field, State) else field for field in astuple(entry)]
        length = len(json.dumps(line)) + 2
        if lines and size + length > _CHUNK_BYTES:
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += length
    if lines:
        yield lines
