"""
LeadSquared's retry ladder: when it tries a request again after a system error.

The Async API page lists ten "intervals" without saying whether each counts from the attempt before it (gaps) or from
the submission (offsets). Both readings are kept; whoever waits polls at the times of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from pendulum import Duration, duration

#: The list as LeadSquared's Async API page gives it, shortest first.
DOCUMENTED_INTERVALS: tuple[Duration, ...] = (
    duration(seconds=30),
    duration(minutes=2),
    duration(minutes=7),
    duration(minutes=15),
    duration(minutes=30),
    duration(minutes=45),
    duration(minutes=60),
    duration(hours=1, minutes=30),
    duration(hours=2),
    duration(hours=3),
)

#: Seconds of LeadSquared's clock that its queue may add to the ladder before a request counts as never settled. Our
#: own figure: LeadSquared documents none.
BACKLOG = 3600.0


@dataclass(frozen=True)
class RetryLadder:
    """
    When LeadSquared tries a request again, as seconds after its first attempt.

    :param intervals: The documented list, in order. Each must be longer than zero.
    :raises ValueError: The list is empty or holds an interval that is not positive.
    """

    intervals: tuple[Duration, ...] = DOCUMENTED_INTERVALS

    def __post_init__(self) -> None:
        """Raise ValueError if the list is empty or an interval is not positive."""
        if not self.intervals or any(step.total_seconds() <= 0 for step in self.intervals):
            raise ValueError("retry intervals must be a non-empty list of positive numbers of seconds")

    @classmethod
    def of_seconds(cls, seconds: Iterable[float]) -> RetryLadder:
        """
        Build a ladder from plain numbers.

        :param seconds: The intervals in seconds.
        :raises ValueError: As for the class.
        """
        try:
            intervals = tuple(duration(seconds=value) for value in seconds)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("retry intervals must be a non-empty list of positive numbers of seconds") from None
        return cls(intervals)

    def as_gaps(self) -> tuple[float, ...]:
        """Read each interval as the gap to the attempt before it: 30 s, 150 s, … 32,970 s."""
        return tuple(accumulate(step.total_seconds() for step in self.intervals))

    def as_offsets(self) -> tuple[float, ...]:
        """Read each interval as counted from the submission: 30 s, 120 s, … 10,800 s."""
        return tuple(step.total_seconds() for step in self.intervals)

    def times(self) -> tuple[float, ...]:
        """Return the times of both readings, each once, in order."""
        return tuple(sorted({*self.as_gaps(), *self.as_offsets()}))

    @cached_property
    def longest(self) -> float:
        """The last retry of the longer reading, in seconds: 32,970 for the documented list."""
        return self.times()[-1]

    def faster(self, speed: float) -> RetryLadder:
        """
        Return this ladder as it is on a clock that runs ``speed`` times faster.

        :param speed: How many of LeadSquared's seconds pass in one of ours; 1 against the real service.
        """
        return RetryLadder.of_seconds([step.total_seconds() / speed for step in self.intervals])
