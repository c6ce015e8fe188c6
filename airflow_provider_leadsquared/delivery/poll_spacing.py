"""
When to poll next, from what the open requests wish for.

A poll costs the start of a worker, about as much processor time as a hundred status calls. So polls are merged, and
they are the farther apart the longer the wait.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_leadsquared.delivery.poll_learnt import QueueLearnt

#: Seconds between two polls at the least. Under Airflow 3's scheduler a sensor that pokes more often can be failed
#: by the late end of its own last poke.
SHORTEST_WAIT = 10.0
#: Seconds after its acceptance at which a request is worth its first poll.
FIRST_POLL = 7.0
#: A poll that is made anyway asks for a request from this age on.
_RIPE = 6.5
#: Seconds from the acceptance of a request to its first attempt, where no poll has shown another time.
QUEUE_WAIT = 8.0
#: Seconds until the next poll of a request that was accepted in the future, because a clock was set back.
CLOCK_SET_BACK = 60.0
#: Polls of a queue that moves are at most so many seconds apart.
_LONGEST_WAIT = 900.0
#: While some requests are ready, here and there, the next poll follows after this share of the age of the youngest.
_SHARE_OF_AGE = 0.3
#: What metrics say brings polls forward to this share of the age of the oldest request at most.
_METRICS_SHARE = 0.6
#: Until the next poll of a queue that moves passes at most this share of the age of its oldest request.
_SURE = 2.5


@dataclass(frozen=True, slots=True)
class Spacing:
    """
    How far polls are apart.

    :param shortest: Seconds between two polls at the least.
    :param polls: Polls from the first acceptance until a queue is worked off.
    :param merged: Share of the time since the first attempt by which a poll may be put off to be one with others.
    """

    shortest: float = SHORTEST_WAIT
    polls: int = 45
    merged: float = 0.03

    def is_ripe(self, age: float) -> bool:
        """Tell whether a request is old enough to be asked for, so many seconds after its acceptance."""
        return age >= _RIPE

    def first_poll(self, accepted: Sequence[float], now: float) -> float:
        """
        Return when to poll first: when all requests are worth it, or when it is not worth to wait for the youngest.

        :param accepted: When the requests were accepted.
        """
        worth = sorted(at + FIRST_POLL for at in accepted)
        for when in (now + second for second in range(int(FIRST_POLL) + 1)):
            ready = bisect_right(worth, when)
            wait = worth[-1] - when
            if wait <= 0.5 or ready * wait >= (len(worth) - ready) * max(self.shortest - wait, 1.0):
                return when
        return now + FIRST_POLL

    def slack(self, age: float) -> float:
        """Return how many seconds a poll may be put off, so many seconds after the first attempt."""
        return min(max(age * self.merged, self.shortest / 2), 300.0)

    def while_moving(self, accepted: Sequence[float], learnt: QueueLearnt, now: float) -> float:
        """
        Return when to poll a queue next that was found moving.

        :param accepted: When the requests that are left were accepted, the oldest first.
        :param learnt: How fast it moves.
        """
        left = len(accepted) / learnt.rate if learnt.rate else 0.0
        wait = min(max((now - accepted[0] + left) / self.polls, self.shortest), _LONGEST_WAIT)
        # The last poll comes when the queue is worked off, and not much before or again soon after.
        wait = max(left / max(math.ceil(left / wait - 0.25), 1), wait / 4, self.shortest)
        # The rate is not sure at first.
        return now + min(wait, _LONGEST_WAIT, max(_SURE * (now - accepted[0]), self.shortest))

    def by_metrics(self, reached_at: float, oldest: float, now: float) -> float:
        """
        Return when to poll a queue next that stands still, by what LeadSquared says of it.

        Whatever it says, the wait until then is a share of the age of the oldest request at least: metrics that are
        wrong cost few polls.

        :param reached_at: When the queue will have come to the first of our requests.
        :param oldest: When that was accepted.
        """
        return max(reached_at + self.shortest / 2, now + max((now - oldest) * _METRICS_SHARE, self.shortest))

    def while_some_are_ready(self, youngest: float, now: float) -> float:
        """
        Return when to poll a queue next in which some requests have a verdict, in no order.

        :param youngest: When the youngest of them was accepted.
        """
        return now + min(max((now - youngest) * _SHARE_OF_AGE, self.shortest), _LONGEST_WAIT)

    def next_poll(self, wishes: Sequence[tuple[float, float]], moving: Sequence[float], now: float) -> float:
        """
        Return when to poll next.

        :param wishes: When each request is best asked for next, and how many seconds this may be put off.
        :param moving: When to poll each queue that moves; those who wait for a retry are asked for in these polls.
        """
        if moving:
            return max(min(moving), now + self.shortest)
        first, slack = min(wishes)
        merged = max(wish for wish, _ in wishes if wish <= first + slack)
        return max(merged, now + self.shortest)


#: Where a poll starts no worker, in a triggerer, there are more of them.
DEFERRED = Spacing(polls=160)


def rate(before: float | None, passed: int, seconds: float) -> float:
    """
    Return how fast a queue moves, requests a second.

    :param before: What was known of it.
    :param passed: Requests that it has worked off since.
    :param seconds: In so many seconds.
    """
    now = passed / max(seconds, 1.0)
    return now if before is None else (before + now) / 2
