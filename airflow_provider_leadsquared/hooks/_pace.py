"""How fast the calls of one hook are made: so many a second, and so many at the same time as the server copes with."""

from __future__ import annotations

from math import ceil

_ROUNDING = 1e-9
#: Seconds that a call waits for its turn at most.
_LONGEST_WAIT = 10.0


class Pace:
    """
    The pace that all calls of a hook share, whichever they are: submissions and status calls.

    A server that limits, fails or does not respond is called half as many at a time from then on; each call that
    succeeds brings it nearer to the full number again, by one call in the time that all calls of a round take.

    :param per_second: The most calls a second, None for as many as may be. They are spaced evenly, so no second has
        more than so many and one.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._share = 1.0
        self._next_at = 0.0
        #: A call need not wait: there is no limit a second, and the server copes with all.
        self.is_full = not self._interval

    def most_waiting(self, concurrency: int) -> int:
        """
        Return how many calls may wait for their turn: what is to be sent shall not become old meanwhile.

        :param concurrency: How many may be under way at the same time.
        """
        return min(concurrency, max(1, ceil(_LONGEST_WAIT / self._interval))) if self._interval else concurrency

    def room(self, concurrency: int) -> int:
        """
        Return how many calls may be under way at the same time.

        :param concurrency: How many there are at the most.
        """
        return max(1, int(concurrency * self._share + _ROUNDING))

    def turn(self, now: float) -> float:
        """Take the next turn to make a call, and return the seconds until then."""
        at = max(now, self._next_at)
        self._next_at = at + self._interval
        return at - now

    def slow_down(self, concurrency: int) -> None:
        """Halve what may be under way, down to one call."""
        self._share = max(self._share / 2, 1 / concurrency)
        self.is_full = self._share == 1.0 and not self._interval

    def speed_up(self, concurrency: int) -> None:
        """Note that a call has succeeded: after as many as may be under way, one more may be."""
        self._share = min(1.0, self._share + 1 / (concurrency * self.room(concurrency)))
        self.is_full = self._share == 1.0 and not self._interval
