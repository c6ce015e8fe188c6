"""
Which requests to poll now, and when to poll next.

A request is judged at its first attempt or at one of its retries, so those are the times after which a poll is
worth a call. The plan is a pure object: it is given what was accepted when, what was settled and what time it is. It
serves a sensor, a trigger and a simulation alike. All its times count from acceptance, so that it continues where it
was after any restart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from airflow_provider_leadsquared.api.retries import RetryLadder

#: Seconds between two polls at the least. Under Airflow 3's scheduler a sensor that pokes more often can be failed
#: by the late end of its own last poke.
SHORTEST_WAIT = 10.0
#: Seconds that a request gets from its acceptance to the end of its first attempt before the first poll.
QUEUE_WAIT = 5.0
#: Seconds that an attempt gets before the poll that follows it.
ATTEMPT_TIME = 2.0
#: Seconds of LeadSquared's clock between polls once the ladder has ended, while the queue works off its backlog.
TAIL = 900.0
#: Seconds until the next poll of a request that was accepted in the future, because a clock was set back.
_CLOCK_SET_BACK = 60.0
#: Seconds by which two times that mean the same may differ: rounding, or a timer that fires a little early.
_SAME_MOMENT = 0.001
#: The second poll after a retry follows it by this share of the time to the next retry, within bounds in seconds.
_SECOND_SHARE, _SECOND_MIN, _SECOND_MAX = 0.1, 10.0, 300.0
#: Polls of different requests are merged if none waits longer for it than this share of its age, and this many seconds.
_MERGE_SHARE, _MERGE_MAX = 0.02, 60.0


class PollPlan:
    """
    Which requests to ask now, and when to poll next.

    :param accepted: When each open request was accepted, seconds since the epoch, by RequestId.
    :param ladder: LeadSquared's retries, on our clock.
    :param speed: How much faster than ours LeadSquared's clock runs; 1 but for a sandbox.
    :param polled_at: When the last poll was made, None before the first. Seconds since the epoch.
    """

    def __init__(
        self,
        accepted: Mapping[str, float],
        *,
        ladder: RetryLadder,
        speed: float = 1.0,
        polled_at: float | None = None,
    ) -> None:
        self._open = dict(accepted)
        self._offsets = _poll_offsets(ladder)
        self._tail = max(TAIL / speed, SHORTEST_WAIT)
        self._polled_at = polled_at

    @property
    def open(self) -> tuple[str, ...]:
        """The requests without a verdict."""
        return tuple(self._open)

    def due(self, now: float) -> list[str]:
        """Return the open requests for which a poll has become due since the last one."""
        since = None if self._polled_at is None else min(self._polled_at, now)
        return [request_id for request_id, at in self._open.items() if self._is_due(at, since, now)]

    def polled(self, now: float) -> None:
        """Record that all due requests were polled at this time."""
        self._polled_at = now

    def settle(self, request_id: str) -> None:
        """Record that a request has its verdict; it is never polled again."""
        del self._open[request_id]

    def next_poll(self, now: float) -> float:
        """
        Return when to poll again, seconds since the epoch.

        :raises ValueError: No request is open.
        """
        if not self._open:
            raise ValueError("no request is open; there is nothing to poll")
        times = sorted(self._next(at, now) for at in self._open.values())
        youngest = max(now - max(self._open.values()), 0.0)
        window = min(youngest * _MERGE_SHARE, _MERGE_MAX)
        merged = times[bisect_right(times, times[0] + window) - 1]
        return max(merged, now + SHORTEST_WAIT)

    def _is_due(self, accepted_at: float, since: float | None, now: float) -> bool:
        if accepted_at > now:
            return True
        first = self._offsets[0] if since is None else self._offset_after(since - accepted_at)
        return accepted_at + first <= now + _SAME_MOMENT

    def _next(self, accepted_at: float, now: float) -> float:
        if accepted_at > now:
            return now + _CLOCK_SET_BACK
        return accepted_at + self._offset_after(now - accepted_at)

    def _offset_after(self, age: float) -> float:
        """Return the first poll after the given age; after the ladder's end polls continue at even intervals."""
        age += _SAME_MOMENT
        last = self._offsets[-1]
        if age >= last:
            return last + self._tail * (int((age - last) / self._tail) + 1)
        return self._offsets[bisect_right(self._offsets, age)]


def _poll_offsets(ladder: RetryLadder) -> list[float]:
    """Return the polls of one request, as seconds after its acceptance: two after each retry."""
    retries = ladder.times()
    polls = {QUEUE_WAIT}
    for retry, following in zip(retries, [*retries[1:], retries[-1] * 1.2], strict=True):
        second = min(max((following - retry) * _SECOND_SHARE, _SECOND_MIN), _SECOND_MAX)
        polls |= {retry + ATTEMPT_TIME, retry + ATTEMPT_TIME + second}
    return sorted(polls)
