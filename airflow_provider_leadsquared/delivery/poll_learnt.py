"""What a poll plan has learnt from earlier polls, small enough to be kept with the ledger's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: Of so many requests asked for after a retry, half are forgotten.
_MEMORY = 200
#: Those of the fields that are two numbers.
_COUNTS = ("gaps", "offsets", "retries")


@dataclass(slots=True)
class QueueLearnt:
    """
    How fast one queue moves.

    :param rate: Requests a second that it worked off between two polls; None as long as no two polls have shown it.
    :param moved_at: When a poll last found that it moves, seconds since the epoch.
    :param has_metrics: Whether LeadSquared tells how busy it is, as far as is known.
    :param reached_at: When it will have come to the first of our requests, by LeadSquared's metrics; None if unknown.
    """

    rate: float | None = None
    moved_at: float | None = None
    has_metrics: bool = True
    reached_at: float | None = None


@dataclass(slots=True)
class Learnt:
    """
    What earlier polls have shown.

    :param polled_at: When the last poll was made, seconds since the epoch; None before the first.
    :param polls: How many polls were made.
    :param gaps: What answers say of the first reading of the retry ladder, see :class:`Readings`.
    :param offsets: What they say of the second.
    :param retries: Of the last requests that were asked for after a retry: how many had a verdict, how many there were.
    :param queues: How fast each queue moves, by API.
    """

    polled_at: float | None = None
    polls: int = 0
    gaps: tuple[int, int] = (0, 0)
    offsets: tuple[int, int] = (0, 0)
    retries: tuple[int, int] = (0, 0)
    queues: dict[str, QueueLearnt] = field(default_factory=dict)

    @classmethod
    def from_json(cls, found: Any) -> Learnt:
        """Read what :meth:`as_json` has returned; anything else means that nothing is known."""
        if not isinstance(found, Mapping) or found.keys() - {one.name for one in fields(cls)}:
            return cls()
        queues = {name: QueueLearnt(**queue) for name, queue in found.get("queues", {}).items()}
        counts = {name: tuple(found[name]) for name in _COUNTS if name in found}
        return cls(**{**found, **counts, "queues": queues})

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        counts = {name: list(getattr(self, name)) for name in _COUNTS}
        return {**asdict(self), **counts}

    def queue(self, name: str) -> QueueLearnt:
        """Return what is known of a queue."""
        return self.queues.setdefault(name, QueueLearnt())

    def count_retry(self, *, settled: bool) -> None:
        """Count a request that was asked for after a retry."""
        found, asked = self.retries[0] + settled, self.retries[1] + 1
        self.retries = (found // 2, asked // 2) if asked >= _MEMORY else (found, asked)
