"""Waiters in virtual time: the package's poll plan, and what others do, behind the requests of a ``World``."""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.open_request import OpenRequest
from airflow_provider_leadsquared.delivery.poll_learnt import Learnt
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.delivery.poll_spacing import Spacing
from benchmarks.waiting_worlds import RETRIES, World

#: Seconds from the last acceptance to the start of the sensor.
SENSOR_STARTS = 3.0
#: A sensor gives up so many seconds after the last acceptance.
TIMEOUT = 36_570.0
#: Acceptance times are seconds since 1970 and not small numbers, as in the product.
_EPOCH = 1_700_000_000.0


@dataclass(slots=True)
class Result:
    """
    What a waiter did.

    :param calls: Status calls a request.
    :param polls: How often it asked: starts of a worker.
    :param delays: Seconds from each verdict to the poll that found it, sorted.
    :param left: Requests that it did not find.
    :param course: For each poll its time, the calls made, and the requests that were open afterwards.
    """

    calls: float
    polls: int
    delays: list[float]
    left: int = 0
    course: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """The mean delay."""
        return sum(self.delays) / len(self.delays) if self.delays else 0.0

    def quantile(self, share: float) -> float:
        """Return the delay that so many stay below."""
        return self.delays[min(int(share * len(self.delays)), len(self.delays) - 1)] if self.delays else 0.0

    @property
    def score(self) -> float:
        """Calls and delay in one number, as 30 seconds were worth one call."""
        return self.calls + self.mean / 30.0


def run_plan(
    world: World,
    *,
    spacing: Spacing | None = None,
    known_gaps: bool = False,
    shows_errors: bool = False,
    until: float = TIMEOUT,
) -> Result:
    """
    Wait by the package's plan, which is made anew for each poll from what a ledger keeps.

    :param spacing: Default: that of a task which is started for each poll.
    :param known_gaps: Earlier answers have shown the reading of the retry ladder.
    :param shows_errors: The status shows that an attempt failed.
    :param until: Seconds after the last acceptance at which it gives up.
    """
    last, ladder = max(world.accepted), RetryLadder()
    open_requests = {str(number): OpenRequest(_EPOCH + at) for number, at in enumerate(world.accepted)}
    learnt = Learnt(gaps=(10, 50), offsets=(0, 50)) if known_gaps else Learnt()
    now = _EPOCH + last + SENSOR_STARTS
    now = PollPlan(open_requests, ladder=ladder, spacing=spacing).next_poll(now)
    result = Result(0.0, 0, [])
    calls = 0
    while open_requests and now <= _EPOCH + last + until:
        plan = PollPlan(
            open_requests,
            ladder=ladder,
            spacing=spacing,
            learnt=Learnt.from_json(json.loads(json.dumps(learnt.as_json()))),
        )
        for wave in plan.waves(now):
            calls += len(wave)
            for request_id in wave:
                number = int(request_id)
                settled = _EPOCH + world.done[number] <= now
                if settled:
                    result.delays.append(now - _EPOCH - world.done[number])
                failed = shows_errors and _EPOCH + world.first_attempts[number] <= now
                plan.answer(request_id, settled=settled, attempted=failed)
        plan.end()
        learnt, open_requests = plan.learnt, dict(plan.open)
        result.polls += 1
        result.course.append((now - _EPOCH, plan.asked, len(open_requests)))
        if open_requests:
            now = plan.next_poll(now)
    return _finish(result, calls, len(open_requests), world)


def run_ages(world: World, ages: Callable[[random.Random], Iterator[float]]) -> Result:
    """
    Wait with a sensor that asks for all its open requests at each poll.

    :param ages: Yields the seconds from the sensor's start to each poll.
    """
    last = max(world.accepted) + SENSOR_STARTS
    done = sorted(world.done)
    result, calls, found = Result(0.0, 0, []), 0, 0
    for age in ages(random.Random(1)):
        if found == len(done) or age > TIMEOUT:
            break
        now = last + age
        calls += len(done) - found
        while found < len(done) and done[found] <= now:
            result.delays.append(now - done[found])
            found += 1
        result.polls += 1
    return _finish(result, calls, len(done) - found, world)


def _finish(result: Result, calls: int, left: int, world: World) -> Result:
    result.calls, result.left = calls / len(world.done), left
    result.delays.sort()
    return result


def fixed(seconds: float) -> Callable[[random.Random], Iterator[float]]:
    """Wait so many seconds each time, the first poll comes at once: a sensor with ``poke_interval``."""

    def ages(_: random.Random) -> Iterator[float]:
        number = 0
        while True:
            yield number * seconds
            number += 1

    return ages


def airflow_backoff(interval: float = 60.0) -> Callable[[random.Random], Iterator[float]]:
    """Double the interval each time, plus up to as much again: a sensor with ``exponential_backoff=True``."""

    def ages(rnd: random.Random) -> Iterator[float]:
        age, number = 0.0, 0
        while True:
            yield age
            least = interval * 2.0**number
            age += min(least + rnd.uniform(0, least), 86_400.0)
            number += 1

    return ages


def google(_: random.Random) -> Iterator[float]:
    """Wait 5 s, then 1.5 times as long each time, at most 45 s: Google's long running operations."""
    age, wait = 0.0, 5.0
    while True:
        age += wait
        yield age
        wait = min(wait * 1.5, 45.0)


def aws(rnd: random.Random) -> Iterator[float]:
    """Wait between 2 s and a bound that doubles up to 120 s, drawn at random: AWS' waiters."""
    age, attempt = 0.0, 1
    while True:
        yield age
        age += rnd.uniform(2.0, min(2.0 * 2.0 ** min(attempt, 10), 120.0))
        attempt += 1


def optimum(world: World, *, worth: float = 30.0, shortest: float = 10.0) -> Result:
    """
    Return the best that a waiter can do who knows the law by which requests end, but not when each one does.

    It is the exact optimum of the inspection problem (Barlow, Hunter and Proschan) by dynamic programming, for polls
    that are ``shortest`` apart and begin at the best time. Each request is asked for at its own best polls. Requests
    must be independent of each other, so there is none for a queue that is worked off in order.

    :param worth: Seconds of delay that are worth one call.
    """
    law = sorted(world.waits)
    start = max(world.accepted) + SENSOR_STARTS
    ages = [max(world.accepted) * part / 5 for part in range(6)]
    best: Result | None = None
    for first in range(12):
        grid = poll_grid(start + first, law[-1] + start, shortest)
        results = [_optimum_of_one(law, [at - accepted for at in grid], worth) for accepted in ages]
        calls = sum(one[0] for one in results) / len(results)
        mean = sum(one[1] for one in results) / len(results)
        if best is None or calls + mean / worth < best.calls + best.mean / worth:
            best = Result(calls, 0, [mean])
    if best is None:
        raise ValueError("a world without requests has no optimum")
    return best


def poll_grid(first: float, last: float, shortest: float) -> list[float]:
    """Return polls close together at first, and the farther apart the later, but close after each retry."""
    times = {first + number * shortest for number in range(60)}
    for retry in RETRIES:
        if retry > 400:
            times |= {first + retry + number * shortest for number in range(30)}
    return [*sorted(time for time in times if time < last), last + 1.0]


def _optimum_of_one(law: Sequence[float], ages: Sequence[float], worth: float) -> tuple[float, float]:
    """Return calls and mean delay of a request that may be asked for at these ages."""
    count = len(law)
    sums = [0.0, *accumulate(law)]
    ends = [bisect_right(law, age) for age in ages]
    costs: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)] * len(ages)  # cost, calls and delay from there on
    for here in range(len(ages) - 2, -2, -1):
        before = ends[here] if here >= 0 else 0
        best: tuple[float, float, float] | None = None
        for after in range(here + 1, len(ages)):
            found = ends[after] - before
            calls = (count - before) / count
            delay = (ages[after] * found - (sums[ends[after]] - sums[before])) / count
            cost, more_calls, more_delay = costs[after]
            total = calls + delay / worth + cost
            if best is None or total < best[0]:
                best = total, calls + more_calls, delay + more_delay
            if found and delay / worth > (best[0] if best else 0.0):
                break
        if here < 0:
            if best is None:
                raise ValueError("no polls to choose from")
            return best[1], best[2]
        costs[here] = best or costs[here]
    raise AssertionError
