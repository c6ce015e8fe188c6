"""A ledger in memory: all that is possible where Airflow keeps no task state (below 3.3) and no database is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.ledgers.base import Records


class InProcessLedger:
    """A :class:`Ledger` that lasts as long as the process."""

    def __init__(self) -> None:
        self._entries: dict[Identity, Entry] = {}
        self._metadata: dict[str, Any] = {}

    def load(self) -> Records:
        """Return all that was written."""
        return Records(dict(self._entries), dict(self._metadata))

    def claim(self, holder: str) -> None:
        """Do nothing: no other process can reach this memory."""

    def intend(self, rows: Sequence[tuple[Entry, Payload]]) -> list[Entry]:
        """Keep intents in memory."""
        entries = [entry for entry, _ in rows]
        self.write(entries)
        return entries

    def write_outcomes(self, entries: Sequence[Entry]) -> list[Entry]:
        """Keep outcomes in memory."""
        self.write(entries)
        return list(entries)

    def start_over(self) -> None:
        """Forget all entries."""
        self._entries.clear()

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Keep entries and metadata in memory."""
        self._entries.update({entry.identity: entry for entry in entries})
        self._metadata.update(metadata or {})
