"""
What happens to requests in LeadSquared, in virtual time: for each scenario when each was accepted and when it ends.

The queue wait before the first attempt is lognormal (median and sigma below) plus half a second; a request that meets a
system error ends at one of the retries. None of this was measured on a live account.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

GAPS = (30, 120, 420, 900, 1800, 2700, 3600, 5400, 7200, 10800)
RETRIES = tuple(accumulate(GAPS))


@dataclass(frozen=True, slots=True)
class World:
    """
    What happens to the requests of one capture.

    :param accepted: When each was accepted, seconds since the first one was.
    :param done: When each has its verdict.
    :param first_attempts: When the first attempt of each is over.
    """

    accepted: list[float]
    done: list[float]
    first_attempts: list[float] = field(default_factory=list)

    @property
    def waits(self) -> list[float]:
        """How long each takes."""
        return [done - accepted for done, accepted in zip(self.done, self.accepted, strict=True)]


@dataclass(frozen=True, slots=True)
class Fates:
    """
    How a request ends that waits in no backlog.

    :param first: Probability that it passes at its first attempt.
    :param retry: Probability that it passes at a retry; None: at a retry drawn evenly from all ten.
    :param median: Median of its queue wait, seconds.
    :param outage: No attempt before this second passes.
    """

    first: float = 1.0
    retry: float | None = 0.8
    median: float = 3.0
    sigma: float = 0.8
    outage: float = 0.0

    def first_attempt(self, rnd: random.Random, accepted: float) -> float:
        """Return when the first attempt of a request is over."""
        return accepted + self.median * math.exp(self.sigma * rnd.gauss(0, 1)) + 0.5

    def rung(self, rnd: random.Random, attempt: float, retries: Sequence[float] = RETRIES) -> float:
        """Return the seconds from the first attempt to the last."""
        if self.outage:
            return next((at for at in (0.0, *retries) if attempt + at >= self.outage), retries[-1])
        if rnd.random() < self.first:
            return 0.0
        if self.retry is None:
            return rnd.choice(retries)
        return next((at for at in retries[:-1] if rnd.random() < self.retry), retries[-1])


def independent(count: int, accepted_a_second: float, fates: Fates, seed: int = 1) -> World:
    """Return requests that wait in no backlog."""
    rnd = random.Random(seed)
    accepted = [number / accepted_a_second for number in range(count)]
    attempts = [fates.first_attempt(rnd, at) for at in accepted]
    return World(accepted, [at + fates.rung(rnd, at) for at in attempts], attempts)


def backlog(
    count: int,
    a_minute: float,
    *,
    accepted_a_second: float = 500.0,
    disorder: float = 20.0,
    begins: float = 0.0,
    fates: Fates | None = None,
    order: Callable[[int], Sequence[int]] | None = None,
    seed: int = 1,
) -> World:
    """
    Return requests behind a queue that works off so many a minute.

    :param disorder: Seconds by which the order of the work may be off.
    :param begins: When the queue begins to move.
    :param fates: What may happen at the first attempt; retries do not queue again.
    :param order: Gives for a number of requests the order in which they are worked off.
    """
    rnd = random.Random(seed)
    accepted = [number / accepted_a_second for number in range(count)]
    place = {number: at for at, number in enumerate(order(count))} if order else {}
    attempts = []
    for number, at in enumerate(accepted):
        turn = (place.get(number, number) + 1) * 60 / a_minute + rnd.uniform(0, disorder)
        attempts.append(max(at + 2, begins + turn))
    done = [attempt + (fates.rung(rnd, attempt) if fates else 0.0) for attempt in attempts]
    return World(accepted, done, attempts)


def shuffled(count: int, a_minute: float, *, seed: int = 1) -> World:
    """Return requests behind a queue that works in random order."""
    return backlog(count, a_minute, order=lambda many: random.Random(seed).sample(range(many), many), seed=seed)


def interleaved(count: int, a_minute: float, *, seed: int = 1) -> World:
    """Return every second request behind a queue: the others are another capture's, and somebody else asks for them."""
    both = backlog(2 * count, a_minute, seed=seed)
    return World(both.accepted[::2], both.done[::2], both.first_attempts[::2])


def one_that_never_ends(world: World) -> World:
    """Return the same world, but for one request in the middle that never gets a verdict."""
    middle = len(world.done) // 2
    return World(world.accepted, [*world.done[:middle], math.inf, *world.done[middle + 1 :]], world.first_attempts)
