"""
Which requests to ask for in a poll, and when to poll next.

A pure object, the same for sensor, trigger and simulation: it is given what was accepted when, what was received and
what time it is. Whatever it knows stands in the ledger (:class:`OpenRequest`, :class:`Learnt`), so that it goes on
where it was in any process. What it rests on:

- A queue works its requests off nearly in order. One that no poll has found attempted **is queued**: it is asked for
  when the queue has come to it (``sweeping.py``), and while the queue stands still, for whatever reason, only a sample is.
- One that was passed by the queue and is still open **waits for a retry**. It is asked for after LeadSquared's retries
  (``retry_gates.py``), all of a group or only a sample, as the sample shows what is worth it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder
from airflow_provider_leadsquared.delivery import poll_spacing
from airflow_provider_leadsquared.delivery.poll_learnt import Learnt
from airflow_provider_leadsquared.delivery.poll_spacing import FIRST_POLL, QUEUE_WAIT, Spacing
from airflow_provider_leadsquared.delivery.retry_gates import Gates, Readings
from airflow_provider_leadsquared.delivery.sweeping import SAMPLE, SAMPLE_BEHIND, Asker, spread, sweep, widen

#: Seconds of delay that are worth one call.
CALL_WORTH = 30.0
#: Calls a second, on the average over a minute. Our own figure, for LeadSquared documents none for status calls.
CALLS_A_SECOND = 500.0
_BUDGET_SECONDS = 60.0
#: A group that waits for the same retry is asked for as a whole up to this size.
_SAMPLE_OF_GROUP = 24
#: While its queue does not move, a request is asked for at the latest after so many seconds of LeadSquared's clock.
UNASKED_AT_MOST = 5_400.0


@dataclass(slots=True)
class OpenRequest:
    """
    One request as the plan sees it; all times in seconds since the epoch, on LeadSquared's clock.

    :param accepted_at: When LeadSquared accepted it.
    :param queue: The queue that it is in: the name of its API.
    :param asked_at: When it was last asked for, and found open; None if it never was.
    :param attempted_by: When LeadSquared had made its first attempt, at the latest; None if it may be queued.
    """

    accepted_at: float
    queue: str = ""
    asked_at: float | None = None
    attempted_by: float | None = None


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
        self._readings = Readings(ladder, gaps=self.learnt.gaps, offsets=self.learnt.offsets)
        self._set_gates()
        self._asker = Asker(0)
        self._now = 0.0
        #: For each queue the share of verdicts in its sample of this poll; None where it was followed.
        self._ready: dict[str, float | None] = {}

    @property
    def open(self) -> Mapping[str, OpenRequest]:
        """The requests without a verdict."""
        return self._open

    def waves(self, now: float) -> Iterator[list[str]]:
        """
        Yield the requests to ask for, in groups; the answers to a group decide about the next ones.

        :param now: When the poll begins, seconds since the epoch on LeadSquared's clock.
        """
        self._now = now
        since = self.learnt.polled_at
        seconds = _BUDGET_SECONDS if since is None else min(max(now - since, 0.0), _BUDGET_SECONDS)
        self._asker = Asker(max(int(self._calls_a_second * seconds), 1))
        waiting = [name for name, one in self._open.items() if one.attempted_by is not None]
        for name, queue in self._queues().items():
            yield from self._ask_queue(name, queue)
        yield from self._ask_waiting(waiting)

    def answer(self, request_id: str, *, settled: bool, attempted: bool = False) -> None:
        """
        Record what was received for a request; nothing is recorded if no answer came.

        :param settled: It has its verdict, and is never asked for again.
        :param attempted: It has none, but the answer shows that an attempt failed.
        """
        self._asker.answer(request_id, settled=settled)
        request = self._open[request_id]
        if settled:
            if request.attempted_by is not None and request.asked_at is not None:
                self._readings.learn(request.attempted_by, request.asked_at, self._now)
            del self._open[request_id]
            return
        request.asked_at = self._now
        if attempted and request.attempted_by is None:
            moves = self.learnt.queue(request.queue).rate is not None
            self._mark_attempted(request_id, None if moves else QUEUE_WAIT)

    def end(self) -> None:
        """Record that the poll was made, and that all its answers are there."""
        self.learnt.polled_at = self._now
        self.learnt.polls += 1
        self.learnt.gaps, self.learnt.offsets = self._readings.for_gaps, self._readings.for_offsets
        self._set_gates()

    def next_poll(self, now: float) -> float:
        """
        Return when to poll next, seconds since the epoch.

        :param now: The time now; a poll that has ended belongs to it.
        :raises ValueError: No request is open.
        """
        if not self._open:
            raise ValueError("no request is open; there is nothing to poll")
        wishes: list[tuple[float, float]] = []
        moving: list[float] = []
        for name, queue in self._queues().items():
            accepted = [self._open[one].accepted_at for one in queue]
            learnt = self.learnt.queue(name)
            if learnt.moved_at is not None and learnt.moved_at == self.learnt.polled_at:
                moving.append(self._spacing.while_moving(accepted, learnt, now))
            elif self._ready.get(name):
                moving.append(self._spacing.while_some_are_ready(accepted, now))
            else:
                wishes += [self._wish(at, at + QUEUE_WAIT, now) for at in accepted]
        wishes += [
            self._wish(one.accepted_at, one.attempted_by, now)
            for one in self._open.values()
            if one.attempted_by is not None
        ]
        return self._spacing.next_poll(wishes, moving, now)

    def _wish(self, accepted_at: float, base: float, now: float) -> tuple[float, float]:
        """Return when a request is best asked for next, and how many seconds this may be put off."""
        if accepted_at > now:  # a clock was set back
            return now + poll_spacing.CLOCK_SET_BACK, 0.0
        if now - accepted_at < FIRST_POLL - 0.5:
            return accepted_at + FIRST_POLL, self._spacing.slack(FIRST_POLL)
        wish = base + self._gates.next(now - base)
        return wish, self._spacing.slack(wish - base)

    def _set_gates(self) -> None:
        self._gates = Gates(self._readings.retries(), last=self._ladder.longest, speed=self._speed)

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
        accepted = {one: self._open[one].accepted_at for one in queue}
        learnt = self.learnt.queue(name)
        moved = learnt.moved_at is not None and learnt.moved_at == self.learnt.polled_at
        fine = min(max(len(queue) // 500, 3), 16)
        step = fine
        if moved and learnt.rate is not None and learnt.moved_at is not None:
            expected = learnt.rate * max(self._now - learnt.moved_at, 0.0)
            fine, step = max(int(expected * 0.02), 3), max(int(expected * 0.9), 3)
        place = yield from sweep(self._asker, queue, step=step, fine=fine)
        self._ready[name] = None
        if place:
            lag = self._now - accepted[queue[place - 1]]
            self._passed(queue[:place], lag)
            since = learnt.moved_at if moved and learnt.moved_at is not None else accepted[queue[0]]
            learnt.rate = poll_spacing.rate(learnt.rate if moved else None, place, self._now - since)
            learnt.moved_at = self._now
        rest = queue[place:]
        if rest:
            ready = yield from self._ask_sample(rest, moves=place > 0)
            self._ready[name] = ready if not place else None
        yield from self._ask_unasked([one for one in queue if one in self._open], moves=place > 0)

    def _ask_sample(self, rest: list[str], *, moves: bool) -> Generator[list[str], None, float]:
        """Ask for some requests of a queue out of their order; if it is another order, for all that are ready."""
        number = self.learnt.polls
        accepted = [self._open[one].accepted_at for one in rest if one in self._open]
        sample = spread(rest, SAMPLE_BEHIND if moves else SAMPLE, number)
        share = yield from self._asker.ask(sample)
        if moves and share:
            sample = spread(rest, SAMPLE, number)
            share = yield from self._asker.ask(sample)
        if not share:
            return 0.0
        youngest = max(accepted, default=self._now)
        if _is_worth(share, self._spacing.while_some_are_ready([youngest], self._now) - self._now):
            yield from self._asker.ask(rest)
            self._passed(rest, self._now - youngest)
        else:
            for one in sample:
                if one not in self._open:
                    yield from widen(self._asker, rest, rest.index(one), fine=8)
        return share

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

    # --- requests that wait for a retry -------------------------------------------------------------------------------

    def _ask_waiting(self, request_ids: list[str]) -> Iterator[list[str]]:
        groups: dict[tuple[str, int], list[str]] = defaultdict(list)
        surely: list[str] = []
        for name in request_ids:
            one = self._open[name]
            base = one.attempted_by or 0.0
            passed = self._gates.passed(self._now - base)
            before = 0 if one.asked_at is None else self._gates.passed(max(one.asked_at - base, 0.0))
            if one.accepted_at > self._now or passed - before >= 2:
                surely.append(name)
            elif passed > before:
                groups[one.queue, passed].append(name)
        yield from self._asker.ask(surely)
        for group in groups.values():
            group.sort(key=lambda name: self._open[name].accepted_at)
            yield from self._ask_group(group)

    def _ask_group(self, group: list[str]) -> Iterator[list[str]]:
        middle = self._open[group[len(group) // 2]]
        base = middle.attempted_by or 0.0
        share = yield from self._asker.ask(spread(group, _SAMPLE_OF_GROUP, self.learnt.polls))
        if share and _is_worth(share, base + self._gates.next(self._now - base) - self._now):
            yield from self._asker.ask(group)


def _is_worth(share: float, later: float) -> bool:
    """
    Tell whether it is worth a call to ask for a request now and not only at its next time.

    :param share: How likely it has its verdict.
    :param later: Seconds until its next time.
    """
    return share * later / CALL_WORTH >= 1.0 - share
