"""How long a task waits for requests that LeadSquared does not decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.entry import Entry


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """
    When a wait ends although requests are open; all times are LeadSquared's.

    :param timeout: Seconds after the last acceptance at which the task fails.
    :param close_after: Seconds after the last acceptance at which it ends well; None for never.
    """

    timeout: float
    close_after: float | None = None

    def fails_at(self, open_requests: Iterable[Entry], now: float) -> float:
        """Return when the task fails."""
        return _last_acceptance(open_requests, now) + self.timeout

    def closes_at(self, open_requests: Iterable[Entry], now: float) -> float:
        """Return when the task ends well."""
        after = float("inf") if self.close_after is None else self.close_after
        return _last_acceptance(open_requests, now) + after

    def ends_at(self, open_requests: Sequence[Entry], now: float) -> float:
        """Return when the task ends, one way or the other."""
        return min(self.fails_at(open_requests, now), self.closes_at(open_requests, now))

    def is_done(self, open_requests: Sequence[Entry], now: float, *, is_own: Callable[[Entry], bool]) -> bool:
        """
        Tell whether the task need not wait any more.

        :param is_own: Tells whether a request is of the task's run. One of an earlier run that LeadSquared never
            decides must not keep every later run from ending.
        """
        awaited = [entry for entry in open_requests if is_own(entry) or now < self.fails_at([entry], now)]
        return not awaited or now >= self.closes_at(open_requests, now)


def _last_acceptance(entries: Iterable[Entry], now: float) -> float:
    return max((entry.accepted_at or now for entry in entries), default=now)
