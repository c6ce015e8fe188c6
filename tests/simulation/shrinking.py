"""Shortening a failing plan: events are left out as long as the same promise is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.episode import Simulation
from tests.simulation.plan import Plan
from tests.simulation.timeline import Hanging, Violation


def failure_of(plan: Plan, kept: set[int] | None = None) -> str | None:
    """Return which promise a simulation breaks, None if it keeps all."""
    try:
        Simulation(plan, kept).run()
    except Violation as violation:
        return str(violation)
    except Hanging as hanging:
        return str(hanging)
    return None


def shorten(plan: Plan, failure: str) -> list[int]:
    """Return the numbers of the events that are needed for a plan to fail in the same way."""
    kind = failure.split(" ", 1)[0]

    def fails(kept: Sequence[int]) -> bool:
        return (failure_of(plan, set(kept)) or "").split(" ", 1)[0] == kind

    return smallest(list(range(len(plan.events))), fails)


def smallest(items: list[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return a part of some items that fails, and of which no single item can be left out."""
    size = max(len(items) // 2, 1)
    while True:
        start, changed = 0, False
        while start < len(items):
            without = items[:start] + items[start + size :]
            if fails(without):
                items, changed = without, True
            else:
                start += size
        if size == 1 and not changed:
            return items
        size = max(size // 2, 1)
