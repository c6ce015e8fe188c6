"""The ledgers of requests that are kept in several places, as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.ledgers.base import Records, VerdictLedger

if TYPE_CHECKING:
    from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests


class SeveralLedgers:
    """
    A :class:`VerdictLedger` over several: each verdict is written where its request is kept.

    :param captures: Those of captures.
    :param own: Where all other requests are kept; None if there are no others.
    """

    def __init__(self, captures: Sequence[CaptureRequests], own: VerdictLedger | None) -> None:
        self._captures, self._own = captures, own
        for ledger in captures if len(captures) + (own is not None) > 1 else ():
            ledger.knows_lines = True

    def load(self) -> Records:
        """Return all that was written, with the metadata of the first."""
        every = [*self._captures, *([] if self._own is None else [self._own])]
        records = [ledger.load() for ledger in every]
        return Records({}, records[0].metadata, [entry for one in records for entry in one.all_entries])

    def write(self, entries: Iterable[Entry] = (), *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write each entry where its request is kept; the metadata last, when all entries are durable."""
        parts: list[tuple[VerdictLedger, list[Entry]]] = [(ledger, []) for ledger in self._captures]
        parts += [] if self._own is None else [(self._own, [])]
        for entry in entries:
            for number in self._places_of(entry):
                parts[number][1].append(entry)
        for number, (ledger, part) in reversed(list(enumerate(parts))):
            its_metadata = None if number else metadata
            if part or its_metadata:
                ledger.write(part, metadata=its_metadata)

    def _places_of(self, entry: Entry) -> list[int]:
        """Return which ledgers keep a request: those with a line of it, else those of the captures that returned it."""
        if self._own is None and len(self._captures) == 1:
            return [0]
        captures = list(enumerate(self._captures))
        having_it = [number for number, ledger in captures if ledger.has_line_of(entry)]
        returned = having_it or [number for number, ledger in captures if ledger.returned(entry)]
        return returned or [len(captures)]
