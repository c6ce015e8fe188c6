"""One back-off that many calls at once share."""

from __future__ import annotations

import random

from airflow_provider_leadsquared.api.errors import ApiError
from airflow_provider_leadsquared.api.rate_limits import LONGEST_HOLD

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


class Backoff:
    """
    Make all callers wait after a failure, longer after each, and let one of them try before all go on.

    A pause begins with a failure and ends with the success of a call that was made after it. Calls that were under way
    when it began neither end nor lengthen it.

    :param give_up_after: Seconds without a success after which no further call is made.
    """

    def __init__(self, give_up_after: float) -> None:
        self.give_up_after = give_up_after
        #: One call at a time: none has succeeded yet, or the last one failed.
        self.is_trying = True
        #: The last failure, None after a success.
        self.last_error: ApiError | None = None
        self._failing_since: float | None = None
        self._wait = _FIRST_WAIT
        self._pauses = 0
        self._paused_at = self._hold_until = 0.0

    def begin(self) -> int:
        """Return what names the present pause; a call hands it back when it ends."""
        return self._pauses

    def hold(self, now: float) -> float:
        """Return the seconds to wait before the next call."""
        return max(self._hold_until - now, 0.0)

    def succeeded(self, begun: int, now: float) -> None:
        """
        Note that LeadSquared handled a call.

        :param begun: What :meth:`begin` returned when the call was made.
        """
        if begun == self._pauses:
            self.is_trying, self.last_error, self._failing_since = False, None, None
            self._wait, self._hold_until = _FIRST_WAIT, 0.0
        elif self._failing_since is not None:
            self._failing_since = now

    def failed(self, error: ApiError, begun: int, now: float) -> None:
        """
        Note a failure that may pass.

        :param error: The failure. What it says of the time to wait counts within bounds.
        :param begun: What :meth:`begin` returned when the call was made.
        """
        self.is_trying, self.last_error = True, error
        if self._failing_since is None:
            self._failing_since = now
        wait = error.retry_after or 0.0
        if begun == self._pauses:
            self._pauses += 1
            self._paused_at = now
            jitter = random.uniform(1.0, 1.25)  # noqa: S311 - spreads calls, guards nothing
            wait = max(wait, self._wait * jitter)
            self._wait = min(self._wait * 2, _LONGEST_WAIT)
        self._hold_until = min(max(self._hold_until, now + wait), self._paused_at + LONGEST_HOLD)

    def exhausted(self, now: float) -> bool:
        """Tell whether nothing has succeeded for so long that going on is pointless."""
        return self._failing_since is not None and now - self._failing_since >= self.give_up_after
