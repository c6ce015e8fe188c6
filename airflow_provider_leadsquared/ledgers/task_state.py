"""
The ledger in Airflow's task state store, which outlives retries, reschedules and kills of a task.

The store holds JSON values under keys that it cannot list. Entries are appended in numbered chunks, each written
whole or not at all, and a reader counts up until one is missing. A ``generation`` in the key lets a run start over
without deleting anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import DEFAULTS, Entry, Identity, values_of
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.errors import (
    LedgerDataError,
    LedgerTakenError,
    LedgerUnavailableError,
    LedgerVersionError,
)

#: Airflow warns about a task state value of more than 65,535 bytes and its REST API refuses it.
_CHUNK_BYTES = 60_000
_METADATA = "ledger/metadata"
#: Where the first version kept its metadata and its first entries, which have other fields.
_KEYS_OF_VERSION_1 = ("ledger/marks", "ledger/0/0000")
#: The version of the entries' layout, kept in the metadata.
_VERSION = 2

_OTHER_VERSION = (
    "this task's state was written by a version of this package whose ledger has version {}; this one reads version "
    f"{_VERSION}. Let the DAG run end with that version, or start a new DAG run: its tasks begin with an empty ledger"
)

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
        metadata = self._metadata()
        entries: dict[Identity, Entry] = {}
        chunk = 0
        while (lines := self._get(_name(metadata, chunk))) is not None:
            for row, state, *rest in lines:
                entry = Entry(row, State(state), *rest)
                entries[entry.identity] = entry
            chunk += 1
        self._next_chunk = chunk
        metadata.pop("version")
        return Records(entries, metadata)

    def claim(self, holder: str) -> None:
        """Note the holder. Airflow itself cuts a try off from the store once the next one has begun."""
        self._set_metadata(self._metadata() | {"holder": holder})
        self._holder = holder

    def intend(self, rows: Sequence[tuple[Entry, Payload]]) -> list[Entry]:
        """Append intents."""
        entries = [entry for entry, _ in rows]
        self.write(entries)
        return entries

    def write_outcomes(self, entries: Sequence[Entry]) -> list[Entry]:
        """Append outcomes; the store holds one run, whose RequestIds the task itself compares."""
        self.write(entries)
        return list(entries)

    def start_over(self) -> None:
        """Write chunks under a new generation from now on."""
        metadata = self._metadata()
        self._set_metadata(metadata | {"generation": metadata.get("generation", 0) + 1})
        self._next_chunk = 0

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Append entries as new chunks; metadata have a key of their own."""
        chunks = list(_chunked(entries))
        if self._next_chunk is None:
            self.load()
        kept = self._metadata()
        if chunks and self._holder is not None and kept.get("holder") != self._holder:
            raise LedgerTakenError
        for number, lines in enumerate(chunks, start=self._next_chunk or 0):
            self._call(partial(self._store.set, _name(kept, number), lines))
            self._next_chunk = number + 1
        if metadata:
            self._set_metadata(kept | dict(metadata))

    def _metadata(self) -> dict[str, Any]:
        metadata = self._get(_METADATA)
        if metadata is None and any(self._get(key) is not None for key in _KEYS_OF_VERSION_1):
            raise LedgerVersionError(_OTHER_VERSION.format(1))
        if metadata is not None and metadata.get("version") != _VERSION:
            raise LedgerVersionError(_OTHER_VERSION.format(metadata.get("version")))
        return dict(metadata or {"version": _VERSION})

    def _set_metadata(self, metadata: dict[str, Any]) -> None:
        self._call(partial(self._store.set, _METADATA, metadata))

    def _get(self, key: str) -> Any:
        return self._call(partial(self._store.get, key))

    @staticmethod
    def _call(act: Callable[[], _Value]) -> _Value:
        try:
            return act()
        except (ValueError, TypeError) as error:
            raise LedgerDataError(f"Airflow's task state store: {type(error).__name__}") from error
        except Exception as error:
            raise LedgerUnavailableError(f"Airflow's task state store: {type(error).__name__}") from error


def _name(metadata: Mapping[str, Any], chunk: int) -> str:
    return f"ledger/entries/{metadata.get('generation', 0)}/{chunk:04d}"


def _chunked(entries: Iterable[Entry]) -> Iterator[list[list[Any]]]:
    lines: list[list[Any]] = []
    size = 0
    for entry in entries:
        line = [entry.row, entry.state.value, *values_of(entry)[2:]]
        while line[-1] == DEFAULTS[len(line) - 1]:  # most fields are empty, and half of the bytes
            line.pop()
        length = len(json.dumps(line)) + 2
        if lines and size + length > _CHUNK_BYTES:
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += length
    if lines:
        yield lines
