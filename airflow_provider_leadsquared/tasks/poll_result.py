"""What a poll showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.delivery.entry import Entry

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.errors import ApiError


@dataclass(frozen=True, slots=True)
class PollResult:
    """
    What a poll showed.

    :param entries: Every request, in the order given.
    :param asked: How many requests were asked for in this poll.
    :param next_at: When to poll again on LeadSquared's clock, seconds since the epoch; None when all are settled.
    :param trouble: Why some could not be asked for, None if all could.
    :param clock_offset: Seconds that LeadSquared's clock is ahead of this worker's.
    """

    entries: list[Entry]
    asked: int
    next_at: float | None
    trouble: ApiError | None
    clock_offset: float

    @property
    def open(self) -> list[Entry]:
        """The requests without a verdict."""
        return [entry for entry in self.entries if not entry.state.is_final]
