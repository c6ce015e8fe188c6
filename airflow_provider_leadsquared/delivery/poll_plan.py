"""
When to ask LeadSquared for the outcome of requests.

A request is judged at its first attempt or at one of its retries, so those are the moments after which looking is
worth a call. The plan is a pure object: it is told what was accepted when, what was settled and what time it is. It
serves a sensor, a trigger and a simulation alike, and all its times come from the moment of acceptance, so that it
goes on where it was after any restart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from airflow_provider_leadsquared.api.retries import RetryLadder

#: Seconds between two looks at the least. Under Airflow 3's scheduler a sensor that pokes more often can be failed
#: by the late end of its own last poke.
SHORTEST_WAIT = 10.0
#: Seconds that a request gets from its acceptance to the end of its first attempt before the first look.
QUEUE_WAIT = 5.0
#: Seconds that an attempt gets before the look that follows it.
ATTEMPT_TIME = 2.0
#: Seconds of LeadSquared's clock between looks once the ladder has ended: the backlog works itself off.
TAIL = 900.0
#: Seconds of LeadSquared's clock that its queue may add to the ladder before one stops waiting.
BACKLOG = 3600.0
#: Seconds until the next look at a request whose acceptance lies in the future: a clock was set back.
_CLOCK_SET_BACK = 60.0
#: Two sums that mean one moment differ by less, and so does a sleeper that wakes a little early. Seconds.
_SAME_MOMENT = 0.001
#: The look for stragglers follows a gate by this share of the time to the next gate, within bounds in seconds.
_STRAGGLER_SHARE, _STRAGGLER_MIN, _STRAGGLER_MAX = 0.1, 10.0, 300.0
#: Looks at different requests are merged if none waits longer for it than this share of its age, and this long.
_MERGE_SHARE, _MERGE_MAX = 0.02, 60.0


class PollPlan:
    """
    Which requests to ask now, and when to look next.

    :param accepted: When each open request was accepted, seconds since the epoch, by RequestId.
    :param ladder: LeadSquared's retries, on our clock.
    :param speed: How much faster than ours LeadSquared's clock runs; 1 but for a sandbox.
    :param looked_at: When the last look was taken, None before the first. Seconds since the epoch.
    """

    def __init__(
        self,
        accepted: Mapping[str, float],
        *,
        ladder: RetryLadder,
        speed: float = 1.0,
        looked_at: float | None = None,
    ) -> None:
        self._open = dict(accepted)
        self._offsets = _look_offsets(ladder)
        self._tail = max(TAIL / speed, SHORTEST_WAIT)
        self._looked_at = looked_at

    @property
    def open(self) -> tuple[str, ...]:
        """The requests without a verdict."""
        return tuple(self._open)

    def due(self, now: float) -> list[str]:
        """Return the open requests for which a look has come due since the last one."""
        since = None if self._looked_at is None else min(self._looked_at, now)
        return [request_id for request_id, at in self._open.items() if self._is_due(at, since, now)]

    def looked(self, now: float) -> None:
        """Note that all due requests were asked at this time."""
        self._looked_at = now

    def settle(self, request_id: str) -> None:
        """Note that a request has its verdict; it is never asked again."""
        del self._open[request_id]

    def next_look(self, now: float) -> float:
        """
        Return when to look again, seconds since the epoch.

        :raises ValueError: No request is open.
        """
        if not self._open:
            raise ValueError("no request is open; there is nothing to look for")
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
        """Return the first look after the given age; past the ladder they go on at an even pace."""
        age += _SAME_MOMENT
        last = self._offsets[-1]
        if age >= last:
            return last + self._tail * (int((age - last) / self._tail) + 1)
        return self._offsets[bisect_right(self._offsets, age)]


def _look_offsets(ladder: RetryLadder) -> list[float]:
    """Return the looks at one request, as seconds after its acceptance: each gate, and its stragglers."""
    gates = ladder.gates()
    looks = {QUEUE_WAIT}
    for gate, following in zip(gates, [*gates[1:], gates[-1] * 1.2], strict=True):
        straggler = min(max((following - gate) * _STRAGGLER_SHARE, _STRAGGLER_MIN), _STRAGGLER_MAX)
        looks |= {gate + ATTEMPT_TIME, gate + ATTEMPT_TIME + straggler}
    return sorted(looks)
