"""What a poll plan has learnt from earlier polls, small enough to be kept with the ledger's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class QueueLearnt:
    """
    How fast one queue moves.

    :param rate: Requests a second that it worked off between two polls; None as long as no two polls have shown it.
    :param moved_at: When a poll last found that it moves, seconds since the epoch.
    """

    rate: float | None = None
    moved_at: float | None = None


@dataclass(slots=True)
class Learnt:
    """
    What earlier polls have shown.

    :param polled_at: When the last poll was made, seconds since the epoch; None before the first.
    :param polls: How many polls were made.
    :param gaps: Answers that speak for the first reading of the retry ladder.
    :param offsets: Answers that speak for the second.
    :param queues: How fast each queue moves, by API.
    """

    polled_at: float | None = None
    polls: int = 0
    gaps: int = 0
    offsets: int = 0
    queues: dict[str, QueueLearnt] = field(default_factory=dict)

    @classmethod
    def from_json(cls, found: Any) -> Learnt:
        """Read what :meth:`as_json` has returned; anything else means that nothing is known."""
        if not isinstance(found, Mapping) or found.keys() - {one.name for one in fields(cls)}:
            return cls()
        queues = {name: QueueLearnt(**queue) for name, queue in found.get("queues", {}).items()}
        return cls(**{**found, "queues": queues})

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    def queue(self, name: str) -> QueueLearnt:
        """Return what is known of a queue."""
        return self.queues.setdefault(name, QueueLearnt())
