"""Draws the faults of a plan: windows in which calls, requests or the ledger fail, and what happens to workers."""

from __future__ import annotations

import random
from typing import Any

from tests.simulation.events import HOUR, Event
from tests.simulation.themes import Theme

#: Which tasks of a run are on a machine with a wrong clock. A triggerer is a machine of its own.
_MACHINES = (("send", "wait", "trigger"), ("send", "wait"), ("send",), ("wait",), ("trigger",))


class FaultDrawing:
    """
    The faults of one plan.

    :param rng: Draws them.
    :param theme: What is likely.
    :param parts: Which parts of the world the plan has.
    :param events: What happens; gets the faults.
    """

    def __init__(self, rng: random.Random, theme: Theme, parts: set[str], events: list[Event]) -> None:
        self._rng, self._theme, self._parts, self._events = rng, theme, parts, events

    def add(self, end: float) -> None:
        """Draw all faults until a time."""
        rng, parts, theme = self._rng, self._parts, self._theme
        if "calls" in parts:
            for _ in range(rng.randint(1, 3 * theme.captures)):
                facts = {"what": rng.choice(theme.call_faults), "share": rng.choice(theme.call_shares)}
                self._window(end, "call", facts | {"form": rng.random() if rng.random() < theme.steady else None})
        if "queue" in parts:
            for _ in range(rng.randint(*theme.queue_windows)):
                self._window(end, "queue", {"what": rng.choice(theme.queue_faults), "share": rng.choice(theme.shares)})
        if "rejects" in parts:
            self._window(end, "queue", {"what": "reject", "share": rng.choice(theme.reject_shares)})
        if "backlog" in parts:
            self._window(end, "backlog", {"seconds": rng.choice(theme.backlogs)})
        if "ledger" in parts:
            self._window(end, "ledger", {"what": rng.choice(theme.ledger_faults), "share": 1.0})
        runs = [event.facts["run"] for event in self._events if event.kind in ("run", "capture")]
        most = 3 * theme.captures if theme.workers_faults is None else theme.workers_faults
        if "crashes" in parts:
            for _ in range(rng.randint(1, most)):
                self._events.append(Event(0.0, "crash", self._place(runs)))
        if "pauses" in parts:
            for _ in range(rng.randint(1, most)):
                self._events.append(Event(0.0, "pause", self._pause(runs)))
        if "clocks" in parts:
            for run in rng.sample(runs, min(len(runs), 2)):
                facts = {"run": run, "tasks": rng.choice(_MACHINES)}
                facts |= {"offset": rng.choice(theme.clock_offsets), "jump": rng.choice((0, 0, -3_600, 3_600))}
                self._events.append(Event(0.0, "clock", facts))

    def _pause(self, runs: list[str]) -> dict[str, Any]:
        rng, theme = self._rng, self._theme
        return {
            **self._place(runs),
            "seconds": round(rng.choice(theme.pauses) * (0.5 + rng.random())),
            "given_up": rng.random() < theme.given_up,
            "suspended": rng.random() < theme.suspended,
        }

    def _place(self, runs: list[str]) -> dict[str, Any]:
        """Draw a step of a worker: the n-th of one kind, or of all."""
        rng = self._rng
        task, number = rng.choice(self._theme.tasks)
        part = rng.choice((0, 0, 0, 1, 2)) if {"partitions", "mapped captures"} & self._parts else 0
        kind, most = rng.choice(self._theme.steps)
        step = {"kind": kind, "step": 1 + int(rng.random() ** 1.5 * most)}
        return {"run": rng.choice(runs), "task": task, "part": part, "try": number, **step}

    def _window(self, end: float, kind: str, facts: dict[str, Any]) -> None:
        rng = self._rng
        start = HOUR + rng.random() * (end - HOUR)
        runs = sorted(event.at for event in self._events if event.kind in ("run", "capture"))
        if rng.random() < self._theme.aimed and runs:
            start = rng.choice(runs[: self._theme.first_runs]) + rng.choice(self._theme.fault_starts) * rng.random()
        seconds = rng.choice(self._theme.fault_seconds) * (0.5 + rng.random())
        self._events.append(Event(start, kind, {**facts, "until": round(start + seconds, 1)}))
