"""
What happens in a simulation, drawn from its seed before it begins: the world's events and the faults.

A plan is a list of events, each of which can be left out: so a failing plan is shortened. What is drawn while the
simulation runs (latencies, order of steps, which call a fault meets) depends on the seed and on the worker alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.simulation.drawing_faults import FaultDrawing
from tests.simulation.drawing_rows import RowDrawing
from tests.simulation.events import DAY, HOUR, Event
from tests.simulation.stories import THEMES
from tests.simulation.themes import EVERYTHING

#: Nights without faults and changes that follow at most: until in so many of them in a row nothing is sent.
CALM_NIGHTS, STILL_NIGHTS = 14, 3


@dataclass(slots=True)
class Plan:
    """
    The plan of one simulation.

    :param seed: Its seed.
    :param theme: What is likely in it.
    :param parts: Which parts of the world it has.
    :param settings: The sandbox's switches.
    :param events: What happens, in order.
    :param nights: Nights before the calm ones.
    """

    seed: int
    theme: str
    parts: set[str]
    settings: dict[str, Any]
    events: list[Event]
    nights: int


def draw(seed: int, theme: str | None = None) -> Plan:
    """
    Draw the plan of a seed.

    :param theme: The theme that it gets; by default, the seed decides.
    """
    return _Drawing(seed, theme or theme_of(seed)).plan()


def theme_of(seed: int) -> str:
    """Return the theme of a seed; apart from its plan, so that a new theme changes no plan of another one."""
    rng = random.Random(f"{seed}/theme")  # noqa: S311 - draws a simulation, protects nothing
    return rng.choice(list(THEMES)) if rng.random() < 0.5 else "everything"


class _Drawing:
    def __init__(self, seed: int, name: str) -> None:
        self._seed, self._name = seed, name
        self._rng = rng = random.Random(f"{seed}/plan")  # noqa: S311 - draws a simulation, protects nothing
        self._theme = theme = THEMES.get(name, EVERYTHING)
        self._parts = {name for name, share in theme.parts.items() if rng.random() < share}
        self._events: list[Event] = []
        self._rows = RowDrawing(rng, theme, self._parts, self._events)

    def plan(self) -> Plan:
        rng = self._rng
        settings = self._settings()
        nights = rng.randint(*self._theme.nights)
        at = HOUR
        for night in range(nights):
            self._night(night, at)
            at += rng.choice(self._theme.gaps) if "quarters" not in self._parts else rng.choice((900.0, 1_800.0, DAY))
        if "other settings" in self._parts:
            self._events.append(Event(HOUR + rng.random() * (at - HOUR), "settings"))
        FaultDrawing(rng, self._theme, self._parts, self._events).add(at + 12 * HOUR)
        self._events.sort(key=lambda event: event.at)
        return Plan(self._seed, self._name, self._parts, settings, self._events, nights)

    def _settings(self) -> dict[str, Any]:
        rng = self._rng
        chosen: dict[str, Any] = {
            "date_header": rng.choice(("sandbox", "sandbox", "missing")),
            "ladder": rng.choice(("gaps", "offsets")),
            "status_between_retries": rng.choice(("In-Queue", "ERROR", "In-Progress")),
            "unknown_request": rng.choice(("404", "200", "400")),
            "rejection_shape": rng.choice(("failure", "failure", "inner")),
            "status_message": rng.choice(("string", "object")),
            "request_id_form": rng.choice(("uuid", "uuid", "upper", "number", "text")),
            "phone_match": rng.choice(("fallback", "fallback", "alone", "never")),
            "phone_spelling": rng.choice(("normalise", "compare")),
            "queue_delay": rng.choice((1.0, 1.0, 30.0, 600.0)),
            "rate": rng.choice((60_000.0, 600.0, 60.0)),
            "metrics": "metrics" in self._parts,
            "metrics_need_keys": rng.random() < 0.3,
            "metrics_rate_key": rng.choice(("ProcessingRatePerMinute", "ProcessingratePerMinute")),
        }
        if "plain phones" in self._parts:
            chosen["unique_fields"] = ("EmailAddress",)
            chosen["phone_match"] = rng.choice(("fallback", "alone"))  # else a phone is no match key at all
        return chosen | {name: rng.choice(choices) for name, choices in self._theme.settings.items()}

    def _night(self, night: int, at: float) -> None:
        rng, parts, theme = self._rng, self._parts, self._theme
        for again in range(2 if rng.random() < theme.twice else 1):
            self._sync(f"n{night}{'ab'[again]}", at)
        if "second sync" in parts and rng.random() < 0.6:
            facts = self._run(f"s{night}", 1, concurrency=rng.choice((1, 4)))
            self._events.append(Event(at + rng.random() * rng.choice((5.0, 60.0, 12 * HOUR)), "run", facts))
        for _ in range(rng.randint(*(theme.changes if self._rows.customers < 15 else (0, 20)))):
            self._rows.change(at + rng.choice(theme.change_times) * rng.random())
        if "foreign" in parts:
            for _ in range(rng.randint(*theme.edits)):
                facts = {"draw": rng.random(), "what": rng.choice(theme.edit_kinds)}
                self._events.append(Event(at + rng.choice(theme.edit_times) * rng.random(), "edit", facts))
        for number in range(theme.captures):
            if "captures" in parts and rng.random() < 0.6:
                self._capture(f"{night}{'abcdef'[number]}", at + rng.random() * rng.choice((60.0, 6 * HOUR)))
        if "lost ledger" in parts and rng.random() < theme.losses:
            self._events.append(Event(at + rng.choice(theme.loss_times) * rng.random(), "ledger lost"))
        if "pruned" in parts and rng.random() < 0.5:
            self._events.append(Event(at + DAY * rng.random(), "prune"))

    def _sync(self, run: str, at: float) -> None:
        rng, parts, theme = self._rng, self._parts, self._theme
        number = rng.choice(theme.partitions) if "partitions" in parts else 1
        facts = self._run(run, number, concurrency=rng.choice((1, 2, 8)))
        facts |= {
            "sensor": rng.choice(theme.sensors),
            "close_after": rng.choice((None, None, 600.0)),
            "retries": rng.choice(theme.retries),
        }
        if "refresh" in parts and rng.random() < 0.4:
            facts["full_refresh"] = True
        if "replay" in parts and rng.random() < 0.4:
            facts["replay"] = True
        begin = at + rng.random() * rng.choice(theme.spreads)
        self._events.append(Event(begin, "run", facts))
        if "cleared" in parts and rng.random() < theme.clears:
            self._events.append(Event(at + rng.random() * rng.choice(theme.clear_times), "clear", {"run": run}))

    def _run(self, run: str, parts: int, concurrency: int) -> dict[str, Any]:
        return {
            "run": run,
            "parts": parts,
            "sensor": 0.0,
            "close_after": None,
            "retries": 1,
            "concurrency": concurrency,
            "deferrable": self._is_deferrable(),
        }

    def _is_deferrable(self) -> bool:
        return "deferrable" in self._parts and self._rng.random() < 0.7

    def _capture(self, night: str, at: float) -> None:
        rng, parts, theme = self._rng, self._parts, self._theme
        rows = []
        for number in range(rng.randint(1, 20 if "many" in parts else 6)):
            keyed = "unkeyed" not in parts or rng.random() < theme.keyed
            email = f"c{night}.{number}@example.org" if keyed and rng.random() < 0.8 else None
            if keyed and email is None:
                email = rng.choice(self._rows.emails)
            rows.append({"id": f"c{night}.{number}", "EmailAddress": email, "mx_City": f"c{night}.{number}"})
        facts = {
            "run": f"k{night}",
            "rows": rows,
            "later": self._later(rows) if "other rows later" in parts else rows,
            "parts": rng.choice((1, 2)) if "mapped captures" in parts else 1,
            "retries": rng.choice(theme.retries),
            "concurrency": rng.choice((1, 4)),
            "store": rng.choice(theme.stores),
            "on_clear": rng.choice(theme.on_clear),
            "deferrable": self._is_deferrable(),
        }
        self._events.append(Event(at, "capture", facts))
        if "cleared" in parts:
            for _ in range(rng.choice((0, 1, 2))):
                clear = Event(at + rng.random() * rng.choice(theme.clear_times), "clear", {"run": facts["run"]})
                self._events.append(clear)

    def _later(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a capture's rows as later tries find them: some gone, some with other values."""
        kept = [row for row in rows if self._rng.random() < 0.7]
        return [{**row, "mx_City": f"{row['mx_City']}~"} if self._rng.random() < 0.3 else row for row in kept]
