"""Nights of several mapped tasks and sensors: each try in a process of its own, run again as Airflow would."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from benchmarks.chaos_tasks import PARTITIONS, SENDING, Ended, Instance, World, run_try
from benchmarks.processes import forked

#: Seconds between the tries of a task: Airflow's retry delay, shorter.
RETRY_DELAY = 2.0
#: Tries after which a task is given up: it would never end.
MOST_TRIES = 200
#: Seconds after which a night is given up.
LONGEST_NIGHT = 3_600.0
_TICK = 0.05


class Trouble(Protocol):
    """What goes wrong while tasks run."""

    def tick(self, now: float) -> None:
        """Do what is due at this time of the monotonic clock."""

    def end(self) -> None:
        """Let all be well from now on."""

    def done(self) -> dict[str, int]:
        """Return what was done, for the table."""


@dataclass
class Nights:
    """
    Runs the nights.

    :param world: What there is to deliver.
    :param report: Called now and then with a line of progress.
    """

    world: World
    report: Callable[[str], None]
    instances: list[Instance] = field(default_factory=list)
    #: When each night began, on the clock of the machine.
    begun: dict[int, float] = field(default_factory=dict)
    tries: int = 0
    failed_tries: int = 0
    polls: int = 0
    problems: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def run(self, nights: Iterable[int], trouble: Trouble | None) -> None:
        """
        Run one night after the other.

        :param trouble: What goes wrong meanwhile, None for nothing.
        """
        for night in nights:
            self.world.begin(night)
            self.begun[night] = time.time()
            started = time.monotonic()
            tonight = [
                *(Instance(night, task, partition) for task in SENDING for partition in range(PARTITIONS)),
                *(Instance(night, wait, -1) for wait in SENDING.values()),
            ]
            self.instances += tonight
            try:
                self._run_night(tonight, started + LONGEST_NIGHT, trouble)
            finally:
                self._end_all(tonight)
            self.report(f"night {night}: {time.monotonic() - started:,.0f} s, {self.failed_tries} failed tries so far")

    def _run_night(self, tonight: list[Instance], ends_at: float, trouble: Trouble | None) -> None:
        while left := [instance for instance in tonight if not _has_ended(instance)]:
            now = time.monotonic()
            if now > ends_at:
                self._give_up(left, "a night did not end")
                return
            if trouble is not None:
                trouble.tick(now)
            for instance in left:
                if instance.pid is not None:
                    self._reap(instance, now)
                elif now >= instance.due_at and all(
                    one.state in ("success", "failed") for one in _before(instance, tonight)
                ):
                    self._start(instance, tonight)
            time.sleep(_TICK)

    def _start(self, instance: Instance, tonight: list[Instance]) -> None:
        before = _before(instance, tonight)
        instance.file(self.world.folder).unlink(missing_ok=True)
        states = {f"{one.task}_{one.partition}": one.state for one in before}
        act = partial(run_try, instance, self.world, [one.output for one in before], states)
        instance.pid = forked(act, self.world.folder / f"{instance.name}.error")
        instance.state = "running"

    def _reap(self, instance: Instance, now: float) -> None:
        """Take up how a try ended, if it has."""
        pid, status = os.waitpid(instance.pid or 0, os.WNOHANG)
        if pid == 0:
            return
        instance.pid = None
        file = instance.file(self.world.folder)
        if file.exists():
            ended: Ended = pickle.loads(file.read_bytes())  # noqa: S301 - our own file
        else:
            ended = Ended("again", error=f"ended with status {status}", is_known=False)
        if ended.how == "later":
            self.polls += 1
            instance.state, instance.due_at = "waiting", now + ended.seconds
            return
        self._end_try(instance, ended, now)

    def _end_try(self, instance: Instance, ended: Ended, now: float) -> None:
        self.tries += 1
        instance.output = ended.output
        if ended.error is not None:
            self.failed_tries += 1
            instance.errors.append(ended.error)
            self.errors[f"{instance.task}: {ended.error[:160]}"] += 1
            if not ended.is_known:
                self.problems.append(f"{instance.name}: {ended.error[:300]}")
        if ended.how != "again":
            instance.state = "success" if ended.how == "done" else "failed"
        elif instance.try_number >= MOST_TRIES:
            self._give_up([instance], "too many tries")
        else:
            instance.state, instance.due_at = "waiting", now + RETRY_DELAY
            instance.try_number += 1

    def _give_up(self, instances: list[Instance], why: str) -> None:
        for instance in instances:
            instance.state = "failed"
            self.problems.append(f"{instance.name}: {why}; {instance.errors[-1:]}")

    @staticmethod
    def _end_all(instances: list[Instance]) -> None:
        """Kill what still runs."""
        for instance in instances:
            if instance.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(instance.pid, signal.SIGKILL)
                os.waitpid(instance.pid, 0)
                instance.pid = None


def _before(instance: Instance, tonight: list[Instance]) -> list[Instance]:
    """Return the instances that a sensor waits for; a task that sends waits for none."""
    return [one for one in tonight if SENDING.get(one.task) == instance.task]


def _has_ended(instance: Instance) -> bool:
    return instance.state in ("success", "failed")
