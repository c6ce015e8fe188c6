"""What a poll plan has learnt from earlier polls, small enough to be kept with the ledger's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: Of so many requests asked for after a retry, half are forgotten.
_MEMORY = 200
#: Seconds after which what an account's answers say of the retry ladder is learnt anew, for LeadSquared may change it.
#: Our own figure: a month.
READING_LASTS = 30 * 86_400.0
#: The name of what a plan has learnt among the metadata of a run.
LEARNT = "poll_plan"
#: The name of what answers say of the retry ladder among a ledger's metadata; a SQL ledger keeps it for the account.
LADDER_READING = "ladder_reading"
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

    def reading(self, before: LadderReading | None, now: float) -> LadderReading:
        """
        Return what is known of the retry ladder, for the whole account.

        :param before: What was known of it before.
        """
        return LadderReading(self.gaps, self.offsets, now if before is None else before.since)

    def queue(self, name: str) -> QueueLearnt:
        """Return what is known of a queue."""
        return self.queues.setdefault(name, QueueLearnt())

    def count_retry(self, *, settled: bool) -> None:
        """Count a request that was asked for after a retry."""
        found, asked = self.retries[0] + settled, self.retries[1] + 1
        self.retries = (found // 2, asked // 2) if asked >= _MEMORY else (found, asked)


@dataclass(frozen=True, slots=True)
class LadderReading:
    """
    What the answers of an account say of the two readings of its retry ladder, whichever task has asked.

    :param gaps: As in :class:`Learnt`.
    :param offsets: As in :class:`Learnt`.
    :param since: When the first of the answers came, seconds since the epoch.
    """

    gaps: tuple[int, int]
    offsets: tuple[int, int]
    since: float

    @classmethod
    def from_json(cls, found: Any, now: float) -> LadderReading | None:
        """Read what :meth:`as_json` has returned; None if it is anything else, or too old."""
        if not isinstance(found, Mapping) or found.keys() != {"gaps", "offsets", "since"}:
            return None
        reading = cls(tuple(found["gaps"]), tuple(found["offsets"]), found["since"])
        return reading if abs(now - reading.since) < READING_LASTS else None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"gaps": list(self.gaps), "offsets": list(self.offsets), "since": self.since}

    @property
    def answers(self) -> int:
        """How many answers it rests on."""
        return self.gaps[1] + self.offsets[1]


def fuller_reading(found: Any, other: Any, now: float) -> Any:
    """Return of two readings as JSON the one that rests on more answers: several tasks of an account may poll."""
    first, second = LadderReading.from_json(found, now), LadderReading.from_json(other, now)
    if first is None or second is None:
        return other if first is None else found
    return found if first.answers > second.answers else other
