"""
After which times a poll of one request can find something new: LeadSquared's retries, counted from its first attempt.

The documented list of retries can be read in two ways (see ``api/retries.py``). Until answers have shown which one
holds, the times of both are waited for; then only those of the one.
"""

from __future__ import annotations

from bisect import bisect_right

from airflow_provider_leadsquared.api.retries import RetryLadder

#: Seconds by which an attempt may follow its due time. Our own figure: LeadSquared documents none.
ATTEMPT_TIME = 2.0
#: A poll follows a retry by this share of the time to the next one besides, because retries wait in the queue too …
_MARGIN_SHARE = 0.02
#: … and by so many seconds at most.
_MARGIN_MAX = 25.0
#: Seconds after the first attempt at which a request that was not ready yet is worth another call.
_SECOND_CHANCE = 10.0
#: Seconds that the last retry gets to end before an error that it leaves behind counts as final.
LAST_ATTEMPT = 60.0
#: Seconds of LeadSquared's clock between polls of one request once the ladder has ended.
TAIL = 900.0
#: Seconds by which two times that mean the same may differ: rounding, or a timer that fires a little early.
SAME_MOMENT = 0.001
#: A reading is ruled out when so many answers speak for the other one, and so many more for each that speaks for it: an
#: attempt that was late looks like one of the other reading.
_ENOUGH_ANSWERS, _PER_CONTRADICTION = 3, 5


class Readings:
    """
    How many answers speak for each reading of the retry ladder.

    :param gaps: Requests that got their verdict between two polls between which only a retry of this reading was due.
    :param offsets: The same for the other reading.
    """

    def __init__(self, ladder: RetryLadder, *, gaps: int = 0, offsets: int = 0) -> None:
        self._gaps, self._offsets = ladder.as_gaps(), ladder.as_offsets()
        self.for_gaps, self.for_offsets = gaps, offsets

    def learn(self, attempted_by: float, asked_at: float, settled_at: float) -> None:
        """
        Count one request that got its verdict at a retry.

        :param attempted_by: When its first attempt was over, at the latest.
        :param asked_at: When it was last asked for and was open.
        :param settled_at: When it was asked for and had its verdict.
        """
        since, until = asked_at - attempted_by, settled_at - attempted_by
        gaps = any(since < retry <= until for retry in self._gaps)
        offsets = any(since < retry <= until for retry in self._offsets)
        if gaps != offsets:
            self.for_gaps += gaps
            self.for_offsets += offsets

    def retries(self) -> tuple[float, ...]:
        """Return the retries that may be, in order, as seconds after the first attempt."""
        if self.for_gaps >= _ENOUGH_ANSWERS + _PER_CONTRADICTION * self.for_offsets:
            return self._gaps
        if self.for_offsets >= _ENOUGH_ANSWERS + _PER_CONTRADICTION * self.for_gaps:
            return self._offsets
        return tuple(sorted({*self._gaps, *self._offsets}))


class Gates:
    """
    The gates of one request: the times after which a poll may find its verdict, as seconds after its first attempt.

    :param retries: LeadSquared's retries, on our clock.
    :param last: When the last retry of either reading is due.
    :param speed: How much faster than ours LeadSquared's clock runs; 1 but for a sandbox.
    """

    def __init__(self, retries: tuple[float, ...], *, last: float, speed: float = 1.0) -> None:
        following = (*retries[1:], retries[-1] * 1.2)
        gates = {
            retry + ATTEMPT_TIME + min((later - retry) * _MARGIN_SHARE, _MARGIN_MAX)
            for retry, later in zip(retries, following, strict=True)
        }
        # An error counts as final from here on.
        self.times = tuple(sorted({_SECOND_CHANCE, *gates, last + LAST_ATTEMPT + ATTEMPT_TIME}))
        self._tail = max(TAIL / speed, 1.0)

    def passed(self, age: float) -> int:
        """Return how many gates are behind a request, so many seconds after its first attempt."""
        age += SAME_MOMENT
        last = self.times[-1]
        if age < last:
            return bisect_right(self.times, age)
        return len(self.times) + int((age - last) / self._tail)

    def next(self, age: float) -> float:
        """Return the first gate after the given age; past the ladder's end they follow at even intervals."""
        count = self.passed(age)
        if count < len(self.times):
            return self.times[count]
        return self.times[-1] + self._tail * (count - len(self.times) + 1)
