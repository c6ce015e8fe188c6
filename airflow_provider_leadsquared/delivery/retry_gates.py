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
_MARGIN_SHARE = 0.015
#: … and by so many seconds at most.
_MARGIN_MAX = 40.0
#: Seconds after the first attempt at which a request that was not ready yet is worth another call.
_SECOND_CHANCE = 10.0
#: Seconds that the last retry gets to end before an error that it leaves behind counts as final.
LAST_ATTEMPT = 60.0
#: Seconds of LeadSquared's clock for which its queue may have kept a request back before the first attempt, unseen. Our
#: own figure: less than ``BACKLOG``, so that a poll still comes before a sensor's default deadline.
QUEUED_AT_MOST = 2_700.0
#: Seconds of LeadSquared's clock between polls of one request once the ladder has ended.
TAIL = 900.0
#: Seconds by which two times that mean the same may differ: rounding, or a timer that fires a little early.
SAME_MOMENT = 0.001
#: A reading is ruled out when so many of its retries were asked after, those of the other reading have found so many
#: verdicts, and its own so many times fewer: an attempt that was late looks like one of the other reading.
_ENOUGH_ANSWERS, _ENOUGH_VERDICTS, _TIMES_FEWER = 20, 3, 4


class Readings:
    """
    What answers say about the two readings of the retry ladder.

    :param gaps: Of the polls between which only a retry of the first reading was due: how many found a verdict, and how
        many there were.
    :param offsets: The same for the second reading.
    """

    def __init__(
        self, ladder: RetryLadder, *, gaps: tuple[int, int] = (0, 0), offsets: tuple[int, int] = (0, 0)
    ) -> None:
        self._gaps, self._offsets = ladder.as_gaps(), ladder.as_offsets()
        self.gaps, self.offsets = gaps, offsets

    def learn(self, attempt: tuple[float, float], asked: tuple[float, float], *, settled: bool) -> None:
        """
        Count one answer.

        :param attempt: The earliest and the latest time of the request's first attempt.
        :param asked: When it was asked for before and was open, and when it was asked for now.
        :param settled: It has its verdict now.
        """
        gaps = _is_between(self._gaps, attempt, asked)
        offsets = _is_between(self._offsets, attempt, asked)
        if gaps and not offsets:
            self.gaps = self.gaps[0] + settled, self.gaps[1] + 1
        elif offsets and not gaps:
            self.offsets = self.offsets[0] + settled, self.offsets[1] + 1

    def retries(self) -> tuple[float, ...]:
        """Return the retries that may be, in order, as seconds after the first attempt."""
        if _is_refuted(self.offsets, by=self.gaps):
            return self._gaps
        if _is_refuted(self.gaps, by=self.offsets):
            return self._offsets
        return tuple(sorted({*self._gaps, *self._offsets}))


def has_ended(ladder: RetryLadder, accepted_at: float, attempted_by: float | None, now: float, *, speed: float) -> bool:
    """
    Tell whether LeadSquared has certainly no retry left for a request.

    :param ladder: LeadSquared's retries, on our clock.
    :param attempted_by: When its first attempt was made at the latest, as far as polls have shown; None if they have
        shown nothing.
    :param speed: How much faster than ours LeadSquared's clock runs; 1 but for a sandbox.
    """
    first_attempt = max(accepted_at + QUEUED_AT_MOST / speed, attempted_by or 0.0)
    return now - first_attempt > ladder.longest + LAST_ATTEMPT


def _is_between(retries: tuple[float, ...], attempt: tuple[float, float], asked: tuple[float, float]) -> bool:
    """Tell whether a retry may have been due between two polls, given when the first attempt may have been."""
    (earliest, latest), (before, now) = attempt, asked
    return any(latest + retry > before and earliest + retry <= now for retry in retries)


def _is_refuted(reading: tuple[int, int], *, by: tuple[int, int]) -> bool:
    """Tell whether the retries of one reading find so much less that they are none."""
    if by[0] < _ENOUGH_VERDICTS or reading[1] < _ENOUGH_ANSWERS:
        return False
    return reading[0] / reading[1] * _TIMES_FEWER <= by[0] / by[1]


class Gates:
    """
    The gates of a request: the times after which a poll may find its verdict, as seconds after its first attempt.

    :param retries: LeadSquared's retries, on our clock.
    :param last: When the last retry of either reading is due.
    :param late: Seconds by which some attempts are late besides, as far as is known.
    :param speed: How much faster than ours LeadSquared's clock runs; 1 but for a sandbox.
    """

    def __init__(self, retries: tuple[float, ...], *, last: float, late: float = 0.0, speed: float = 1.0) -> None:
        following = (*retries[1:], retries[-1] * 1.2)
        gates = {
            retry + ATTEMPT_TIME + min((later - retry) * _MARGIN_SHARE + late, _MARGIN_MAX)
            for retry, later in zip(retries, following, strict=True)
        }
        # An error counts as final from the last one on.
        final = last + QUEUED_AT_MOST / speed + LAST_ATTEMPT + ATTEMPT_TIME
        self.times = tuple(sorted({max(_SECOND_CHANCE, late), *gates, final}))
        self.tail = max(TAIL / speed, 1.0)

    def passed(self, age: float) -> int:
        """Return how many gates are behind a request, so many seconds after its first attempt."""
        age += SAME_MOMENT
        last = self.times[-1]
        if age < last:
            return bisect_right(self.times, age)
        return len(self.times) + int((age - last) / self.tail)

    def next(self, age: float) -> float:
        """Return the first gate after the given age; past the ladder's end they follow at even intervals."""
        count = self.passed(age)
        if count < len(self.times):
            return self.times[count]
        return self.times[-1] + self.tail * (count - len(self.times) + 1)
