"""
Which requests to ask for in a poll, and when to poll next.

A pure object, the same for sensor, trigger and simulation: it is given what was accepted when, what was received and
what time it is. Whatever it knows stands in the ledger (:class:`OpenRequest`, :class:`Learnt`), so that it goes on
where it was in any process. What it rests on:

- A queue works its requests off nearly in order. One that no poll has found attempted **is queued**: it is asked for
  when the queue has come to it (``sweeping.py``). While the queue stands still, for whatever reason, a sample will do.
- One that was passed by the queue and is still open **waits for a retry**. It is asked for after LeadSquared's retries
  (``retry_gates.py``), all of a group or only a sample, as the sample shows what is worth it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence

from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder
from airflow_provider_leadsquared.delivery import poll_spacing
from airflow_provider_leadsquared.delivery.open_request import OpenRequest, is_worth_a_call
from airflow_provider_leadsquared.delivery.poll_learnt import Learnt
from airflow_provider_leadsquared.delivery.poll_spacing import FIRST_POLL, QUEUE_WAIT, Spacing
from airflow_provider_leadsquared.delivery.retry_groups import YOUNG, RetryGroups
from airflow_provider_leadsquared.delivery.sweeping import (
    SAMPLE,
    SAMPLE_BEHIND,
    Asker,
    is_together,
    spread,
    sweep,
    widen,
)

#: Calls a second, on the average over a minute. Our own figure, for LeadSquared documents none for status calls.
CALLS_A_SECOND = 500.0
_BUDGET_SECONDS = 60.0
#: Metrics are of use from this age of the oldest request in a queue on, in seconds.
_METRICS_FROM = 20.0
#: While its queue does not move, a request is asked for at the latest after so many seconds of LeadSquared's clock.
UNASKED_AT_MOST = 5_400.0
#: Requests of a queue that were accepted within so many seconds are waited for together.
_ACCEPTED_TOGETHER = 30.0


class PollPlan:
    """
    Which requests to ask for in a poll, and when to poll next.

    :param requests: The open requests by RequestId; they are changed as answers come.
    :param ladder: LeadSquared's retries, on our clock.
    :param speed: How much faster than ours LeadSquared's clock runs; 1 but for a sandbox.
    :param learnt: What earlier polls have shown.
    :param spacing: How far polls are apart. Default: as suits a task that is started for each.
    :param calls_a_second: How many requests may be asked for in a second, on the average over a minute.
    """

    def __init__(
        self,
        requests: Mapping[str, OpenRequest],
        *,
        ladder: RetryLadder,
        speed: float = 1.0,
        learnt: Learnt | None = None,
        spacing: Spacing | None = None,
        calls_a_second: float = CALLS_A_SECOND,
    ) -> None:
        self.learnt = learnt or Learnt()
        self._open = dict(requests)
        self._speed, self._spacing, self._calls_a_second = speed, spacing or Spacing(), calls_a_second
        self._ladder = ladder
        self._retries = RetryGroups(ladder, speed, self.learnt)
        self._asker = Asker(0)
        self._now, self._begun_with = 0.0, 0
        #: For each queue the share of verdicts in its sample of this poll; None where it was followed.
        self._ready: dict[str, float | None] = {}

    @property
    def asked(self) -> int:
        """How many requests the last poll has asked for."""
        return self._asker.count

    @property
    def open(self) -> Mapping[str, OpenRequest]:
        """The requests without a verdict."""
        return self._open

    def waves(self, now: float, first: Sequence[str] = ()) -> Iterator[list[str]]:
        """
        Yield the requests to ask for, in groups; the answers to a group decide about the next ones.

        :param now: When the poll begins, seconds since the epoch on LeadSquared's clock.
        :param first: Open requests to ask for in any case.
        """
        self._now, self._begun_with = now, len(self._open)
        since = self.learnt.polled_at
        seconds = _BUDGET_SECONDS if since is None else min(max(now - since, 0.0), _BUDGET_SECONDS)
        self._asker = Asker(max(int(self._calls_a_second * seconds), 1))
        yield from self._asker.ask(first)
        waiting = {name: one for name, one in self._open.items() if one.attempted_by is not None}
        for name, queue in self._queues().items():
            ripe = [one for one in queue if self._spacing.is_ripe(now - self._open[one].accepted_at)]
            yield from self._ask_queue(name, ripe or queue)
        yield from self._retries.ask(self._asker, waiting, now, of=self._begun_with)

    def answer(self, request_id: str, *, settled: bool, attempted: bool = False) -> None:
        """
        Record what was received for a request; nothing is recorded if no answer came.

        :param settled: It has its verdict, and is never asked for again.
        :param attempted: It has none, but the answer shows that an attempt failed.
        """
        self._asker.answer(request_id, settled=settled)
        request = self._open[request_id]
        self._retries.learn(request, self._now, settled=settled)
        if settled:
            del self._open[request_id]
            return
        request.asked_at = self._now
        # In a queue that does not move an error is that of all its requests, as far as is known: a sample will do.
        if attempted and request.attempted_by is None and self.learnt.queue(request.queue).rate is not None:
            self._mark_attempted(request_id, None)

    def settle(self, request_id: str) -> None:
        """Record that a request is not waited for any more, whatever its answer was."""
        self._open.pop(request_id, None)

    def standing(self) -> list[str]:
        """Return the queues that have not moved since the last poll and may have metrics: they tell when to poll."""
        since = self.learnt.polled_at
        return [
            name
            for name, queue in self._queues().items()
            if self._now - self._open[queue[0]].accepted_at >= _METRICS_FROM
            and self.learnt.queue(name).has_metrics
            and (since is None or self.learnt.queue(name).moved_at != since)
        ]

    def note_metrics(self, queue: str, pending: float | None, a_minute: float = 0.0, longest: float = 0.0) -> None:
        """
        Record what LeadSquared says of a queue: it moves the next poll, and nothing else.

        :param queue: The queue: the name of an API.
        :param pending: How many requests are in it; None if the account has no metrics.
        :param a_minute: How many are worked off in a minute.
        :param longest: Seconds until all of them are.
        """
        learnt = self.learnt.queue(queue)
        learnt.has_metrics, learnt.reached_at = pending is not None, None
        before = (pending or 0) - len(self._queues().get(queue, ()))
        if pending is not None and 0 < before < math.inf:
            # The rate is that of the last ten minutes, which is too low for a queue that has just begun.
            waits = [before * 60.0 / a_minute if a_minute > 0 else math.inf, before * longest / pending]
            wait = min((wait for wait in waits if 0 < wait < math.inf), default=None)
            learnt.reached_at = None if wait is None else self._now + wait

    def end(self) -> None:
        """Record that the poll was made, and that all its answers are there."""
        self.learnt.polled_at = self._now
        self.learnt.polls += 1
        self._retries.end()

    def next_poll(self, now: float) -> float:
        """
        Return when to poll next, seconds since the epoch.

        :param now: The time now; a poll that has ended belongs to it.
        :raises ValueError: No request is open.
        """
        if not self._open:
            raise ValueError("no request is open; there is nothing to poll")
        if self.learnt.polled_at is None:
            return self._spacing.first_poll([one.accepted_at for one in self._open.values()], now)
        wishes: list[tuple[float, float]] = []
        moving: list[float] = []
        for name, queue in self._queues().items():
            accepted = [self._open[one].accepted_at for one in queue]
            learnt = self.learnt.queue(name)
            if learnt.moved_at is not None and learnt.moved_at == self.learnt.polled_at:
                moving.append(self._spacing.while_moving(accepted, learnt, now))
            else:
                if self._ready.get(name):
                    wishes.append((self._spacing.while_some_are_ready(accepted[-1], now), 0.0))
                if learnt.reached_at is not None:
                    wishes.append((self._spacing.by_metrics(learnt.reached_at, accepted[0], now), 0.0))
                slack = accepted[-1] - accepted[0] if accepted[-1] - accepted[0] <= _ACCEPTED_TOGETHER else 0.0
                for one in queue:
                    wish, merged = self._wish(self._open[one], now)
                    wishes.append((wish, max(merged, slack)))
        wishes += [self._wish(one, now) for one in self._open.values() if one.attempted_by is not None]
        return self._spacing.next_poll(wishes, moving, now)

    def _wish(self, request: OpenRequest, now: float) -> tuple[float, float]:
        """Return when a request is best asked for next, and how many seconds this may be put off."""
        at = request.accepted_at
        if at > now:  # a clock was set back
            return now + poll_spacing.CLOCK_SET_BACK, 0.0
        if not self._spacing.is_ripe(now - at):
            return at + FIRST_POLL, self._spacing.slack(FIRST_POLL)
        wish = self._retries.next(request, now)
        return wish, self._spacing.slack(wish - (request.attempted_by or at))

    def _queues(self) -> dict[str, list[str]]:
        """Return the requests that are queued, by queue, the oldest first."""
        queues: dict[str, list[str]] = defaultdict(list)
        for name, one in self._open.items():
            if one.attempted_by is None:
                queues[one.queue].append(name)
        for queue in queues.values():
            queue.sort(key=lambda name: self._open[name].accepted_at)
        return queues

    # --- requests that are queued -------------------------------------------------------------------------------------

    def _ask_queue(self, name: str, queue: list[str]) -> Iterator[list[str]]:
        accepted = [self._open[one].accepted_at for one in queue]
        learnt = self.learnt.queue(name)
        moved = learnt.moved_at is not None and learnt.moved_at == self.learnt.polled_at
        fine, expected = min(max(len(queue) // 500, 3), 16), 0
        if moved and learnt.rate is not None and learnt.moved_at is not None:
            expected = int(learnt.rate * max(self._now - learnt.moved_at, 0.0))
            fine = max(expected // 50, 3)
        place = yield from sweep(self._asker, queue, expected=expected, fine=fine)
        moves = place >= min(fine, len(queue))
        self._ready[name] = None
        if moves:
            lag = self._now - accepted[place - 1]
            self._passed(queue[:place], lag)
            since = learnt.moved_at if moved and learnt.moved_at is not None else accepted[0]
            learnt.rate = poll_spacing.rate(learnt.rate if moved else None, place, self._now - since)
            learnt.moved_at = self._now
        rest = queue[place:]
        if rest:
            ready = yield from self._ask_sample(rest, accepted[-1], moves=moves)
            self._ready[name] = None if moves else ready
        yield from self._ask_unasked([one for one in queue if one in self._open], moves=moves)

    def _ask_sample(self, rest: list[str], youngest: float, *, moves: bool) -> Generator[list[str], None, float]:
        """Ask for some requests of a queue out of their order; if it is another order, for all that are ready."""
        number = self.learnt.polls
        many = min(max(len(rest) // 10, 1), SAMPLE)
        sample = spread(rest, SAMPLE_BEHIND if moves else many, number)
        share = yield from self._asker.ask(sample)
        if moves and share:
            sample = spread(rest, many, number)
            share = yield from self._asker.ask(sample)
        if not share:
            return 0.0
        settled = [one not in self._open for one in sample]
        if is_together(settled):
            yield from self._ask_around(rest, [one for one in sample if one not in self._open])
            return share
        lag = self._now - youngest
        if is_worth_a_call(share, self._spacing.while_some_are_ready(youngest, self._now) - self._now):
            yield from self._asker.ask(rest)
            self._passed(rest, lag if lag < YOUNG / self._speed else QUEUE_WAIT)
        return share

    def _ask_around(self, queue: list[str], found: list[str]) -> Iterator[list[str]]:
        """Ask for what is ready around requests that have a verdict."""
        places = {one: place for place, one in enumerate(queue)}
        end = 0
        for one in found:
            if places[one] >= end:
                start, end = yield from widen(self._asker, queue, places[one], fine=8)
                for near in queue[start:end]:
                    if self._asker.is_open(near):
                        self._mark_attempted(near, None)

    def _ask_unasked(self, queue: list[str], *, moves: bool) -> Iterator[list[str]]:
        """Ask for those that were not asked for so long that nothing but an answer of their own may count."""
        longest = self._ladder.longest + BACKLOG / self._speed if moves else UNASKED_AT_MOST / self._speed
        due = [one for one in queue if self._unasked_for(one) >= longest and not self._asker.was_asked(one)]
        yield from self._asker.ask(due)
        for one in due:
            if self._asker.is_open(one):
                self._mark_attempted(one, QUEUE_WAIT)

    def _unasked_for(self, request_id: str) -> float:
        one = self._open[request_id]
        return self._now - (one.accepted_at if one.asked_at is None else one.asked_at)

    def _passed(self, request_ids: list[str], lag: float) -> None:
        """Note that the queue has passed requests: those that are open have failed an attempt, or are late."""
        for one in request_ids:
            if self._asker.is_open(one):
                self._mark_attempted(one, max(lag, QUEUE_WAIT))

    def _mark_attempted(self, request_id: str, lag: float | None) -> None:
        one = self._open[request_id]
        one.attempted_by = self._now if lag is None else min(one.accepted_at + lag, self._now)
