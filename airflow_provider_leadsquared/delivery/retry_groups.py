"""The requests that wait for a retry: who is due, and of which group a sample will do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.open_request import OpenRequest, is_worth_a_call
from airflow_provider_leadsquared.delivery.poll_learnt import Learnt
from airflow_provider_leadsquared.delivery.poll_spacing import QUEUE_WAIT
from airflow_provider_leadsquared.delivery.retry_gates import SAME_MOMENT, Gates, Readings
from airflow_provider_leadsquared.delivery.sweeping import Asker, spread

#: A group that waits for the same retry is asked for as a whole up to this size.
_SAMPLE_OF_GROUP = 40
#: A request that was queued for longer, in seconds of LeadSquared's clock, was behind a slow queue: the queue has
#: passed it, so its first attempt is over. Of others some are attempted later than most …
YOUNG = 150.0
#: … by this share of the time in the queue, and by so many seconds at most.
_LATE_SHARE, _LATE_MAX = 0.3, 30.0


class RetryGroups:
    """
    The requests that wait for a retry.

    :param ladder: LeadSquared's retries, on our clock.
    :param speed: How much faster than ours LeadSquared's clock runs.
    :param learnt: What earlier polls have shown; what answers show is added.
    """

    def __init__(self, ladder: RetryLadder, speed: float, learnt: Learnt) -> None:
        self._ladder, self._speed, self._learnt = ladder, speed, learnt
        self._readings = Readings(ladder, gaps=learnt.gaps, offsets=learnt.offsets)
        self._gates: dict[float, Gates] = {}

    def gates(self, request: OpenRequest) -> Gates:
        """Return the gates of a request; of one that is queued, those if it was attempted at once."""
        queued = _base(request) - request.accepted_at
        late = min(round(queued * _LATE_SHARE, -1), _LATE_MAX) if queued < YOUNG / self._speed else 0.0
        if late not in self._gates:
            retries, last = self._readings.retries(), self._ladder.longest
            self._gates[late] = Gates(retries, last=last, late=late, speed=self._speed)
        return self._gates[late]

    def passed(self, request: OpenRequest, at: float) -> int:
        """Return how many gates of a request are behind it at a time."""
        gates, base = self.gates(request), _base(request)
        beyond = at - request.accepted_at - gates.times[-1] + SAME_MOMENT
        by_acceptance = int(beyond / gates.tail) + 1 if beyond >= 0 and self._was_behind(request) else 0
        return gates.passed(at - base) + by_acceptance

    def next(self, request: OpenRequest, now: float) -> float:
        """
        Return when to ask for a request next, seconds since the epoch.

        One that a slow queue has passed may have been attempted long before. So from the end of the ladder, counted
        from its acceptance, it is asked for at even intervals as well.
        """
        gates, base = self.gates(request), _base(request)
        wish = base + gates.next(now - base)
        if self._was_behind(request):
            beyond = now - request.accepted_at - gates.times[-1] + SAME_MOMENT
            number = max(int(beyond / gates.tail) + 1, 0) if beyond >= 0 else 0
            wish = min(wish, request.accepted_at + gates.times[-1] + number * gates.tail)
        return wish

    def _was_behind(self, request: OpenRequest) -> bool:
        return _base(request) - request.accepted_at >= YOUNG / self._speed

    def learn(self, request: OpenRequest, now: float, *, settled: bool) -> None:
        """Learn from the answer to a request that was asked for before; at the end of a poll it counts."""
        if request.attempted_by is None or request.asked_at is None:
            return
        # Some attempts were made later than by the time at which they count as made.
        attempt = request.accepted_at, 2 * request.attempted_by - request.accepted_at
        self._readings.learn(attempt, (request.asked_at, now), settled=settled)
        self._learnt.count_retry(settled=settled)

    def end(self) -> None:
        """Let what was learnt in a poll count from now on."""
        self._learnt.gaps, self._learnt.offsets = self._readings.gaps, self._readings.offsets
        self._gates.clear()

    def ask(self, asker: Asker, waiting: Mapping[str, OpenRequest], now: float, *, of: int) -> Iterator[list[str]]:
        """
        Ask for those of which a gate was passed since they were last asked for.

        All are asked for that have passed two gates since. A group that has passed one is asked for as a whole, or only
        a sample of it, as retries have found verdicts before and as the sample shows.

        :param waiting: The requests by RequestId.
        :param of: How many requests were open when the poll began.
        """
        groups: dict[tuple[str, int], list[str]] = defaultdict(list)
        surely: list[str] = []
        for name, one in waiting.items():
            passed = self.passed(one, now)
            before = 0 if one.asked_at is None else self.passed(one, max(one.asked_at, _base(one)))
            if one.accepted_at > now or passed - before >= 2:
                surely.append(name)
            elif passed > before:
                groups[one.queue, passed].append(name)
        yield from asker.ask(surely)
        for group in groups.values():
            group.sort(key=lambda name: waiting[name].accepted_at)
            middle = waiting[group[len(group) // 2]]
            yield from self._ask_group(asker, group, self.next(middle, now) - now, of)

    def _ask_group(self, asker: Asker, group: Sequence[str], later: float, of: int) -> Iterator[list[str]]:
        if len(group) <= _SAMPLE_OF_GROUP <= of:
            # One of many small groups: what retries have found before says more than a sample of it.
            settled, asked = self._learnt.retries
            if not is_worth_a_call((settled + 1) / (asked + 2), later):
                return
        share = yield from asker.ask(spread(group, _SAMPLE_OF_GROUP, self._learnt.polls))
        if share and is_worth_a_call(share, later):
            yield from asker.ask(group)


def _base(request: OpenRequest) -> float:
    """Return from when the retries of a request count; of one that is queued, as if it were attempted at once."""
    return request.accepted_at + QUEUE_WAIT if request.attempted_by is None else request.attempted_by
