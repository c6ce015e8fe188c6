"""What happens in a simulation, at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HOUR, DAY = 3_600.0, 86_400.0


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
