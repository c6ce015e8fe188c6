"""
The only clock of a simulation, and everything that moves on it.

Each worker is a process as far as it can tell: it runs the package's own code in one or more strands (its threads),
which are greenlets. A strand runs until it waits for something: then the timeline goes on with whatever is next. So
there is one thread, one clock that never waits, and one order of steps, drawn from the seed.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

#: Where every simulation begins: a moment in 2027, in seconds since the epoch.
START = 1_800_000_000.0
#: Steps of one strand without a wait, and events in all, after which a simulation counts as hanging.
MOST_EVENTS = 300_000


class Killed(SystemExit):
    """The worker's process is gone: nothing that its code still does has an effect."""


class Hanging(Exception):
    """A simulation does not come to its end."""


class Violation(Exception):
    """A promise was not kept."""


class Timeline:
    """
    Events in the order of their times; of those at one time the seed draws the order.

    :param rng: Draws the order.
    """

    def __init__(self, rng: random.Random) -> None:
        self.now = START
        self.rng = rng
        self.current: Strand | None = None
        self._events: list[tuple[float, float, int, Callable[[], object]]] = []
        self._count = 0
        self._main = getcurrent()

    def at(self, time: float, act: Callable[[], object]) -> None:
        """Do something at a time, or now if that is over."""
        self._count += 1
        heapq.heappush(self._events, (max(time, self.now), self.rng.random(), self._count, act))

    def run(self, until: float) -> None:
        """Let everything happen that is due until a time."""
        events = self._events
        while events and events[0][0] <= until:
            if self._count > MOST_EVENTS:
                raise Hanging("A11 there is no end of events")
            self.now, _, _, act = heapq.heappop(events)
            act()
        self.now = max(until, self.now)

    def enter(self, strand: Strand, *thrown: Any) -> None:
        """Let a strand go on until it waits; called by events alone."""
        self.current = strand
        try:
            if thrown:
                strand.greenlet.throw(*thrown)
            else:
                strand.greenlet.switch()
        finally:
            self.current = None
            asyncio._set_running_loop(None)

    def leave(self) -> None:
        """Go back to the events; returns when the strand is entered again."""
        strand = self.current
        loop, hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        try:
            self._main.switch()
        finally:
            self.current = strand
            asyncio._set_running_loop(loop)
            sys.set_asyncgen_hooks(*hooks)


class Strand:
    """One thread of a worker."""

    def __init__(self, worker: Worker, act: Callable[[], Any]) -> None:
        self.worker, self._timeline = worker, worker.timeline
        self._entry = 0
        self.greenlet = greenlet(self._run, self._timeline._main)
        self._act = act
        worker.strands.append(self)
        self._enter_at(self._timeline.now)

    def _run(self) -> None:
        try:
            self._act()
        except Killed:
            pass
        finally:
            if self in self.worker.strands:
                self.worker.strands.remove(self)

    def wait(self, until: float | None) -> None:
        """Wait until a time, or until somebody wakes this strand."""
        worker = self.worker
        if worker.is_dead:
            raise Killed
        self._entry += 1
        if until is not None:
            self._enter_at(until)
        self._timeline.leave()
        self._entry += 1
        if worker.is_dead:
            raise Killed

    def wake(self) -> None:
        """Let this strand go on if it waits."""
        self._enter_at(self._timeline.now)

    def _enter_at(self, time: float) -> None:
        entry = self._entry

        def enter() -> None:
            if entry != self._entry or self.greenlet.dead or self.worker.is_dead:
                return
            paused = self.worker.paused_until
            if paused > self._timeline.now:
                self._timeline.at(paused, enter)
            else:
                self._timeline.enter(self)

        self._timeline.at(time, enter)


class Worker:
    """
    One process.

    :param timeline: The clock.
    :param name: Names it in the story.
    :param rng: Draws its latencies and the order of its callbacks.
    :param clock_offset: Returns the seconds that its clock is ahead, at a time of the timeline.
    """

    def __init__(
        self,
        timeline: Timeline,
        name: str,
        rng: random.Random,
        clock_offset: Callable[[float], float] = lambda now: 0.0,
    ) -> None:
        self.timeline, self.name, self.rng = timeline, name, rng
        self._clock_offset = clock_offset
        self.strands: list[Strand] = []
        self.is_dead = False
        self.begun_at = timeline.now
        #: When its try ended, None before.
        self.ended_at: float | None = None
        self.paused_until = 0.0
        #: Seconds for which its machine was suspended.
        self.suspended = 0.0
        #: How many steps it has made, and what happens at some of them.
        self.steps: Counter[str] = Counter()
        self.at_step: dict[tuple[str, int], Callable[[Worker], None]] = {}
        self.on_death: list[Callable[[], None]] = []
        #: Called when a process that was killed is gone, with all its strands.
        self.on_gone: list[Callable[[], None]] = []
        #: Whether others have taken its place, and which verdicts it has seen that it does not write itself.
        self.is_given_up = False
        self.seen: list[str] = []
        #: Requests whose verdicts it was shown by polls, and whether it was ever paused.
        self.shown: list[str] = []
        self.was_paused = False
        #: What happens when it is not heard of for so long that others take its place.
        self.give_up: Callable[[], None] = lambda: None
        #: Whether it was paused between its last check and the socket, which nothing can fence.
        self.is_at_socket = False
        self.was_paused_at_socket = False

    def start(self, act: Callable[[], Any]) -> None:
        """Run a function in the worker's main thread."""
        Strand(self, act)

    def time(self) -> float:
        """Return the time as the worker's clock has it."""
        return self.timeline.now + self._clock_offset(self.timeline.now)

    def monotonic(self) -> float:
        """Return seconds on a clock that nobody sets, and that stands still while the machine is suspended."""
        return self.timeline.now - START - self.suspended

    def step(self, kind: str) -> None:
        """Pass a point at which the process may be killed or paused."""
        if self.is_dead:
            raise Killed
        if not self.at_step:
            return
        for one in (kind, "any"):
            self.steps[one] += 1
            act = self.at_step.get((one, self.steps[one]))
            if act is None:
                continue
            act(self)
            if self.is_dead:
                raise Killed
            if self.paused_until > self.timeline.now:
                self.was_paused_at_socket |= self.is_at_socket
                self.current.wait(self.paused_until)

    @property
    def current(self) -> Strand:
        """The strand that runs."""
        strand = self.timeline.current
        assert strand is not None
        return strand

    def sleep(self, seconds: float) -> None:
        """Wait."""
        if seconds > 0:
            self.current.wait(self.timeline.now + seconds)

    def pause(self, seconds: float, *, is_suspended: bool = False) -> None:
        """Stop the process for a time, between two steps: the process alone, or its machine."""
        self.was_paused = True
        self.suspended += seconds if is_suspended else 0.0
        self.paused_until = max(self.paused_until, self.timeline.now + seconds)

    def kill(self) -> None:
        """End the process; what it holds is given back, as an operating system does."""
        if self.is_dead:
            return
        self.is_dead = True
        for act in self.on_death:
            act()
        self.timeline.at(self.timeline.now, self._unwind)

    def _unwind(self) -> None:
        for strand in list(self.strands):
            if strand.greenlet:  # one that has not begun never will
                self.timeline.enter(strand, Killed)
        self.strands.clear()
        for act in self.on_gone:
            act()
