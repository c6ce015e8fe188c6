"""What a sync knows of one lead: its last sending under a row key, and the value confirmed before that."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State


@dataclass(frozen=True, slots=True)
class LeadMemory:
    """
    What a sync knows of the lead under one key.

    :param last: The last entry that was sent, or about to be; None if its line was deleted.
    :param own: This very run of the task wrote it.
    :param confirmed_before: Fingerprint of what LeadSquared had confirmed before that; None if that is not known.
    :param written_at: When the entry was last written, seconds since the epoch.
    """

    last: Entry | None
    own: bool = False
    confirmed_before: str | None = None
    written_at: float | None = None

    def is_of(self, row: Entry) -> bool:
        """Tell whether the last sending was this run's, of the same values."""
        return self.own and self.last is not None and self.last.fingerprint == row.fingerprint

    @property
    def confirmed(self) -> str | None:
        """
        The fingerprint of what the CRM holds, None where it is not known.

        A refused value has changed nothing. One that failed, or of which nothing was heard, may have.
        """
        if self.last is None:
            return None
        if self.last.state.is_confirmed:
            return self.last.fingerprint
        changed_nothing = self.last.state in (State.REJECTED, State.UNSENT) and self.last.doubted_at is None
        return self.confirmed_before if changed_nothing else None

    @property
    def doubted_at(self) -> float | None:
        """When a sending under this key last went without a response, seconds since the epoch."""
        if self.last is None:
            return None
        return self.written_at if self.last.state is State.IN_DOUBT else self.last.doubted_at

    def blocks(self, row: Entry, *, now: float, settle_timeout: float) -> str | None:
        """
        Return why a row must wait: LeadSquared may still work off an earlier sending, and so overwrite a newer value.

        That is so while its request is open. A sending in doubt holds back other values only: the same may go again.

        :param now: Seconds since the epoch.
        :param settle_timeout: Seconds after which a sending without a verdict is ruled out.
        """
        if self.last is None:
            return None
        if self.last.state is State.OPEN and now - (self.last.accepted_at or now) < settle_timeout:
            return "an earlier request for this lead is open; the next run sends the newest value"
        has_other_values = self.last.fingerprint != row.fingerprint
        if has_other_values and self.doubted_at is not None and now - self.doubted_at < settle_timeout:
            return "an earlier sending for this lead is in doubt; a later run sends the newest value"
        return None
