"""
In which order the requests of one queue are asked for within a poll, so that few calls find many verdicts.

A queue works its requests off nearly in order. So the oldest are asked for first, in steps that grow: before each step
its last requests are probed, and where they are open the steps get shorter. It ends where verdicts get rare. A few
requests behind that place are asked for as well, because the order may be another one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

#: Requests asked for at the end of a step before the step is made.
PROBES = 3
#: A step that finds a smaller share of verdicts is the last one: where the queue is known to move, and where it is not.
ENOUGH, ENOUGH_AT_FIRST = 0.5, 0.7
#: Requests asked for to estimate how many of a group are ready.
SAMPLE = 24
#: The same, where a queue that moves has been followed to its present place.
SAMPLE_BEHIND = 1

#: Asks for groups of requests, one after the other, and returns something in the end.
Waves = Generator[list[str], None, int]
Shares = Generator[list[str], None, float | None]


class Asker:
    """
    Asks for requests in one poll, for each at most once.

    :param budget: Calls that the poll may make.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget
        self._settled: dict[str, bool | None] = {}

    def answer(self, request_id: str, *, settled: bool) -> None:
        """Record what was received for a request."""
        self._settled[request_id] = settled

    def was_asked(self, request_id: str) -> bool:
        """Tell whether this poll has asked for a request, whether or not an answer came."""
        return request_id in self._settled

    @property
    def count(self) -> int:
        """How many requests were asked for."""
        return len(self._settled)

    def is_open(self, request_id: str) -> bool:
        """Tell whether this poll has found a request open."""
        return self._settled.get(request_id) is False

    def ask(self, request_ids: Sequence[str]) -> Shares:
        """Ask for requests and return the share that has a verdict; None if no answer came for any of them."""
        new = list(dict.fromkeys(one for one in request_ids if one not in self._settled))[: self.left]
        if new:
            self.left -= len(new)
            self._settled.update(dict.fromkeys(new))
            yield new
        known = [settled for one in request_ids if (settled := self._settled.get(one)) is not None]
        return sum(known) / len(known) if known else None


def sweep(asker: Asker, queue: Sequence[str], *, expected: int, fine: int) -> Waves:
    """
    Follow a queue from its oldest request to the place that it has come to.

    :param asker: What asks.
    :param queue: The requests, the oldest first.
    :param expected: The place that it should have come to; 0 if nothing is known.
    :param fine: The shortest step.
    :return: How many requests are behind that place. Not all of them have a verdict.
    """
    place, limit = 0, len(queue)
    step = max(int(expected * 0.9), fine)
    enough = ENOUGH if expected else ENOUGH_AT_FIRST
    while place < limit:
        end = min(place + step, limit)
        if end - place > 4 * PROBES:
            share = yield from asker.ask(queue[end - PROBES : end])
            if share is None:
                return place
            if share < 0.5:
                limit, step = end - PROBES, max(fine, step // 4)
                continue
        share = yield from asker.ask(queue[place:end])
        if share is None or share < enough:
            return place
        place = end
        if limit == len(queue):
            # Near the place where the queue should be, long steps would go too far.
            step = fine if place < expected * 1.2 else step * 2
    return place


def spread(request_ids: Sequence[str], count: int, number: int) -> list[str]:
    """
    Choose requests evenly spread over a group, other ones in each poll.

    :param count: How many at most.
    :param number: The number of the poll.
    """
    if len(request_ids) <= count:
        return list(request_ids)
    phase = (0.5 + number * 0.618034) % 1.0
    return [request_ids[int((part + phase) * len(request_ids) / count)] for part in range(count)]


def widen(asker: Asker, queue: Sequence[str], found: int, *, fine: int) -> Generator[list[str], None, tuple[int, int]]:
    """
    Ask for the neighbours of a request that has its verdict, on both sides, as long as most of them have one as well.

    :param found: The place of that request.
    :return: The places from which and up to which most have a verdict.
    """
    start, end = found, found + 1
    for goes_up in (False, True):
        step = fine
        while True:
            low, high = (end, min(end + step, len(queue))) if goes_up else (max(start - step, 0), start)
            if low == high:
                break
            share = yield from asker.ask(queue[low:high])
            if share is None or share < ENOUGH:
                break
            start, end = min(start, low), max(end, high)
            step *= 2
    return start, end


def is_together(settled: Sequence[bool]) -> bool:
    """
    Tell whether the requests with a verdict are close together in a sample.

    :param settled: For each request of the sample, in its order, whether it has a verdict.
    """
    runs = sum(here and not before for before, here in zip([False, *settled], settled, strict=False))
    return 0 < runs * 2 <= sum(settled) + 1
