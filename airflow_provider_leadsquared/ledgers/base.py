"""What every ledger offers: where a task records what was sent and what became of it, before the next step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry, Identity


@dataclass(frozen=True, slots=True)
class Records:
    """
    What a ledger holds.

    :param entries: The newest entry of each row.
    :param metadata: Small facts about the run as a whole, by name: JSON values.
    :param others: Entries beside these. Further receipts of rows: a try that was given up got them after another try
        had sent the row again. Of several runs, all entries, for their rows may be equal.
    """

    entries: Mapping[Identity, Entry] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    others: Sequence[Entry] = ()

    @property
    def all_entries(self) -> list[Entry]:
        """All entries."""
        return [*self.entries.values(), *self.others]


class VerdictLedger(Protocol):
    """
    What polling needs: read the open requests, and write their verdicts.

    :raises LedgerUnavailableError: Any method: the store cannot be reached, or is full.
    """

    def load(self) -> Records:
        """Return all that was written."""

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """
        Write entries and metadata; both are durable when this returns.

        :param entries: New entries; one for a row that has one already replaces it.
        :param metadata: Metadata to add or replace.
        :raises LedgerTakenError: This try has claimed the ledger, and another has since.
        """


class Ledger(VerdictLedger, Protocol):
    """What sending needs: entries that outlive the tries of a task."""

    def claim(self, holder: str) -> None:
        """
        Make one try the only writer of entries: the holder before it can write no more.

        :param holder: Names the try, differently from any other.
        """

    def intend(self, rows: Sequence[tuple[Entry, Payload]]) -> list[Entry]:
        """
        Write that rows are about to be sent; that is durable when this returns.

        :param rows: The rows, ``in_doubt``, and what is sent.
        :return: The entries as they were written. One that is ``waiting`` must not be sent.
        :raises LedgerTakenError: Another try has claimed the ledger since this one did; nothing was written.
        """

    def write_outcomes(self, entries: Sequence[Entry]) -> list[Entry]:
        """
        Write what became of rows that were to be sent; that is durable when this returns.

        A try that was given up may still write its receipts: LeadSquared has these rows, whoever sends them next.

        :param entries: The rows, one entry for each.
        :return: The entries as they were written, in order. One whose RequestId an earlier sending has is ``in_doubt``.
        :raises LedgerTakenError: Another try has claimed the ledger since this one did. Receipts were written, and
            nothing else.
        """

    def start_over(self) -> None:
        """Begin with no entries, durably; what was written before stays in the store but counts no more."""
