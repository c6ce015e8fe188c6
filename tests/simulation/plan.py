"""
What happens in a simulation, drawn from its seed before it begins: the world's events and the faults.

A plan is a list of events, each of which can be left out: so a failing plan is shortened. What is drawn while the
simulation runs (latencies, order of steps, which call a fault meets) depends on the seed and on the worker alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.themes import DAY, EVERYTHING, HOUR, THEMES

#: Nights without faults and changes that follow at most: until in so many of them in a row nothing is sent.
CALM_NIGHTS, STILL_NIGHTS = 14, 3

#: How a warehouse spells one phone.
SPELLINGS = ("+91-{}", "{}", "+91{}", "+91 {}")


@dataclass(slots=True)
class Event:
    """
    Something that happens.

    :param at: When, in seconds since the beginning.
    :param kind: What.
    :param facts: How.
    """

    at: float
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        day, rest = divmod(self.at, DAY)
        moment = f"day {day:.0f} {rest // HOUR:02.0f}:{rest % HOUR // 60:02.0f}:{rest % 60:04.1f}"
        return f"{moment} {self.kind} {', '.join(f'{name} {value}' for name, value in self.facts.items())}"


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


def draw(seed: int) -> Plan:
    """Draw the plan of a seed."""
    return _Drawing(seed).plan()


class _Drawing:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = rng = random.Random(f"{seed}/plan")  # noqa: S311 - draws a simulation, protects nothing
        self._name = rng.choice(list(THEMES)) if rng.random() < 0.5 else "everything"
        self._theme = theme = THEMES.get(self._name, EVERYTHING)
        self._parts = {name for name, share in theme.parts.items() if rng.random() < share}
        self._events: list[Event] = []
        many = "many" in self._parts
        self._customers = rng.randint(20, 60) if many else rng.choice(theme.customers)
        size = max(1, int(self._customers * rng.choice(theme.emails)))
        self._emails = [f"p{n}@example.org" for n in range(size)]
        self._phones = [f"+91-90000{n:05d}" for n in range(max(2, size * 2 // 3))]
        self._versions: dict[int, int] = {}
        self._former: dict[int, list[tuple[str | None, str | None, int]]] = {}
        self._rows: dict[int, tuple[str | None, str | None, int]] = {}

    def plan(self) -> Plan:
        rng = self._rng
        settings = self._settings()
        nights = rng.randint(*self._theme.nights)
        for customer in range(self._customers):
            if rng.random() < 0.8:
                self._put(0.0, customer, is_new=True)
        at = HOUR
        for night in range(nights):
            self._night(night, at)
            at += rng.choice(self._theme.gaps) if "quarters" not in self._parts else rng.choice((900.0, 1_800.0, DAY))
        self._faults(at + 12 * HOUR)
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

    # --- the warehouse

    def _put(self, at: float, customer: int, *, is_new: bool = False) -> None:
        rng = self._rng
        email, phone, version = self._rows.get(customer, (None, None, 0))
        top = self._versions.get(customer, 0)
        x = rng.random()
        if "swaps" in self._parts and rng.random() < self._theme.match_keys:
            x = 0.65 + 0.35 * x
        former = [row for row in self._former.get(customer, ()) if row != self._rows.get(customer)]
        if former and rng.random() < self._theme.back:
            email, phone, version = rng.choice(former[-2:])
        elif is_new or customer not in self._rows:
            email = (
                self._emails[customer % len(self._emails)] if "swaps" not in self._parts else rng.choice(self._emails)
            )
            phone = self._phones[customer % len(self._phones)] if rng.random() < 0.7 else None
            if rng.random() < 0.15 and phone:
                email = None
            version = top = top + 1
        elif x < 0.58 or "swaps" not in self._parts:
            version = top = top + 1
        elif x < 0.65:
            version = max(1, version - 1)
        elif x < 0.8:
            email = rng.choice([*self._emails, None])
        elif x < 0.95:
            phone = rng.choice([*self._phones, None])
        else:
            email, phone = None, None
        if "split keys" in self._parts:
            email, phone = self._split(customer)
        self._versions[customer] = top
        self._rows[customer] = email, phone, version
        self._add_put(at, customer)

    def _split(self, customer: int) -> tuple[str | None, str | None]:
        """Return match keys of one lead of which each of two rows has one, after the first had both."""
        email, phone = (keys[customer // 2 % len(keys)] for keys in (self._emails, self._phones))
        if customer % 2:
            return None, phone
        return email, None if customer in self._former else phone

    def _add_put(self, at: float, customer: int) -> None:
        email, phone, version = row = self._rows[customer]
        self._former.setdefault(customer, []).append(row)
        if phone and "spellings" in self._parts:
            phone = self._rng.choice(SPELLINGS).format(phone[-10:])
        facts = {"customer": customer, "email": email, "phone": phone, "city": f"{customer}.{version}"}
        self._events.append(Event(at, "put", facts))

    def _change(self, at: float) -> None:
        rng = self._rng
        customer = rng.randrange(self._customers)
        x = rng.random()
        others = [one for one in self._rows if one != customer]
        if x < 0.12 and customer in self._rows:
            del self._rows[customer]
            self._events.append(Event(at, "drop", {"customer": customer}))
        elif x < 0.25 and "swaps" in self._parts and customer in self._rows and others:
            self._swap(at, customer, rng.choice(others))
        else:
            self._put(at, customer)

    def _swap(self, at: float, one: int, other: int) -> None:
        rng = self._rng
        a, b = self._rows[one], self._rows[other]
        if rng.random() < 0.5:
            self._rows[one], self._rows[other] = (b[0], a[1], a[2]), (a[0], b[1], b[2])
        else:
            self._rows[one], self._rows[other] = (a[0], b[1], a[2]), (b[0], a[1], b[2])
        for customer in (one, other):
            self._add_put(at, customer)

    # --- nights

    def _night(self, night: int, at: float) -> None:
        rng, parts = self._rng, self._parts
        number = rng.choice((1, 2, 3)) if "partitions" in parts else 1
        times = 2 if rng.random() < 0.4 else 1
        for again in range(times):
            facts: dict[str, Any] = {
                "run": f"n{night}{'ab'[again]}",
                "parts": number,
                "sensor": rng.choice(self._theme.sensors),
                "close_after": rng.choice((None, None, 600.0)),
                "retries": rng.choice(self._theme.retries),
                "concurrency": rng.choice((1, 2, 8)),
                "deferrable": self._is_deferrable(),
            }
            if "refresh" in parts and rng.random() < 0.4:
                facts["full_refresh"] = True
            if "replay" in parts and rng.random() < 0.4:
                facts["replay"] = True
            self._events.append(Event(at + rng.random() * rng.choice((5.0, 60.0, 6 * HOUR)), "run", facts))
            if "cleared" in parts and rng.random() < 0.4:
                self._events.append(Event(at + rng.random() * 2 * DAY, "clear", {"run": facts["run"]}))
        if "second sync" in parts and rng.random() < 0.6:
            facts = {
                "run": f"s{night}",
                "parts": 1,
                "sensor": 0.0,
                "close_after": None,
                "retries": 1,
                "concurrency": rng.choice((1, 4)),
                "deferrable": self._is_deferrable(),
            }
            self._events.append(Event(at + rng.random() * rng.choice((5.0, 60.0, 12 * HOUR)), "run", facts))
        for _ in range(rng.randint(*(self._theme.changes if self._customers < 15 else (0, 20)))):
            self._change(at + rng.choice((-600.0, 0.5, 5.0, HOUR, 12 * HOUR)) * rng.random())
        if "foreign" in parts:
            for _ in range(rng.randint(0, 2)):
                self._events.append(Event(at + DAY * rng.random(), "edit", {"draw": rng.random()}))
        if "captures" in parts and rng.random() < 0.6:
            self._capture(night, at + rng.random() * rng.choice((60.0, 6 * HOUR)))
        if "lost ledger" in parts and rng.random() < 0.3:
            self._events.append(Event(at + DAY * rng.random(), "ledger lost"))
        if "pruned" in parts and rng.random() < 0.5:
            self._events.append(Event(at + DAY * rng.random(), "prune"))

    def _is_deferrable(self) -> bool:
        return "deferrable" in self._parts and self._rng.random() < 0.7

    def _capture(self, night: int, at: float) -> None:
        rng = self._rng
        rows = []
        for number in range(rng.randint(1, 20 if "many" in self._parts else 6)):
            keyed = "unkeyed" not in self._parts or rng.random() < 0.6
            email = f"c{night}.{number}@example.org" if keyed and rng.random() < 0.8 else None
            if keyed and email is None:
                email = rng.choice(self._emails)
            rows.append({"id": f"c{night}.{number}", "EmailAddress": email, "mx_City": f"c{night}.{number}"})
        facts = {
            "run": f"k{night}",
            "rows": rows,
            "retries": rng.choice((0, 1, 2)),
            "concurrency": rng.choice((1, 4)),
            "store": rng.choice(("sql", "sql", "task state")),
            "on_clear": rng.choice(("resume", "resend")),
            "deferrable": self._is_deferrable(),
        }
        self._events.append(Event(at, "capture", facts))
        if "cleared" in self._parts and rng.random() < 0.5:
            self._events.append(Event(at + rng.random() * DAY, "clear", {"run": facts["run"]}))

    # --- faults

    def _faults(self, end: float) -> None:
        rng, parts, theme = self._rng, self._parts, self._theme
        if "calls" in parts:
            for _ in range(rng.randint(1, 3)):
                self._window(
                    end, "call", {"what": rng.choice(theme.call_faults), "share": rng.choice((0.1, 0.3, 0.7, 1.0))}
                )
        if "queue" in parts:
            for _ in range(rng.randint(1, 3)):
                self._window(
                    end,
                    "queue",
                    {"what": rng.choice(self._theme.queue_faults), "share": rng.choice(self._theme.shares)},
                )
        if "rejects" in parts:
            self._window(end, "queue", {"what": "reject", "share": rng.choice((0.1, 0.3))})
        if "ledger" in parts:
            self._window(end, "ledger", {"what": rng.choice(("away", "slow", "lost_commit")), "share": 1.0})
        runs = [event.facts["run"] for event in self._events if event.kind in ("run", "capture")]
        if "crashes" in parts:
            for _ in range(rng.randint(1, 3)):
                self._events.append(Event(0.0, "crash", self._place(runs)))
        if "pauses" in parts:
            for _ in range(rng.randint(1, 3)):
                seconds = rng.choice(theme.pauses) * (0.5 + rng.random())
                facts = {
                    **self._place(runs),
                    "seconds": round(seconds),
                    "given_up": rng.random() < self._theme.given_up,
                    "suspended": rng.random() < 0.3,
                }
                self._events.append(Event(0.0, "pause", facts))
        if "clocks" in parts:
            for run in rng.sample(runs, min(len(runs), 2)):
                facts = {
                    "run": run,
                    "offset": rng.choice((-3_700, -600, 60, 3_600)),
                    "jump": rng.choice((0, 0, -3_600, 3_600)),
                }
                self._events.append(Event(0.0, "clock", facts))

    def _place(self, runs: list[str]) -> dict[str, Any]:
        rng = self._rng
        task, number = rng.choice(self._theme.tasks)
        return {
            "run": rng.choice(runs),
            "task": task,
            "part": rng.choice((0, 0, 0, 1, 2)) if "partitions" in self._parts else 0,
            "try": number,
            **self._step(),
        }

    def _step(self) -> dict[str, Any]:
        """Draw a step of a worker: the n-th of one kind, or of all."""
        rng = self._rng
        kind, most = rng.choice(self._theme.steps)
        return {"kind": kind, "step": 1 + int(rng.random() ** 1.5 * most)}

    def _window(self, end: float, kind: str, facts: dict[str, Any]) -> None:
        rng = self._rng
        start = HOUR + rng.random() * (end - HOUR)
        runs = [event.at for event in self._events if event.kind in ("run", "capture")]
        if rng.random() < self._theme.aimed and runs:
            start = rng.choice(runs) + rng.choice(self._theme.fault_starts) * rng.random()
        seconds = rng.choice(self._theme.fault_seconds) * (0.5 + rng.random())
        self._events.append(Event(start, kind, {**facts, "until": round(start + seconds, 1)}))
