"""One back-off that many calls at once share."""

from __future__ import annotations

import random

from airflow_provider_leadsquared.api.errors import ApiError, RateLimitError

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


class Backoff:
    """
    Make all callers wait after a failure, longer after each, until one succeeds.

    :param give_up_after: Seconds without a success after which no further call is made.
    """

    def __init__(self, give_up_after: float) -> None:
        self._give_up_after = give_up_after
        self._hold_until = 0.0
        self._wait = _FIRST_WAIT
        self._failing_since: float | None = None

    def hold(self, now: float) -> float:
        """Return the seconds to wait before the next call."""
        return max(self._hold_until - now, 0.0)

    def succeeded(self) -> None:
        """Note that LeadSquared handled a call; the next failure starts from the shortest wait."""
        self._failing_since = None
        self._wait = _FIRST_WAIT

    def failed(self, error: ApiError, now: float) -> None:
        """Note a failure that may pass. Failures of calls that were under way together count once."""
        if self._failing_since is None:
            self._failing_since = now
        if isinstance(error, RateLimitError):
            self._hold_until = max(self._hold_until, now + max(error.retry_after, self._wait))
        if now >= self._hold_until or self._wait == _FIRST_WAIT:
            jitter = random.uniform(1.0, 1.25)  # noqa: S311 - spreads calls, guards nothing
            self._hold_until = max(self._hold_until, now + self._wait * jitter)
            self._wait = min(self._wait * 2, _LONGEST_WAIT)

    def exhausted(self, now: float) -> bool:
        """Tell whether nothing has succeeded for so long that going on is pointless."""
        return self._failing_since is not None and now - self._failing_since >= self._give_up_after
