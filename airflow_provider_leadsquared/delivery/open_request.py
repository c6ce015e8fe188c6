"""A request as the poll plan sees it."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds of delay that are worth one call.
CALL_WORTH = 30.0


@dataclass(slots=True)
class OpenRequest:
    """
    One request as the plan sees it; all times in seconds since the epoch, on LeadSquared's clock.

    :param accepted_at: When LeadSquared accepted it.
    :param queue: The queue that it is in: the name of its API.
    :param asked_at: When it was last asked for, and found open; None if it never was.
    :param attempted_by: When LeadSquared had made its first attempt, at the latest; None if it may be queued.
    """

    accepted_at: float
    queue: str = ""
    asked_at: float | None = None
    attempted_by: float | None = None


def is_worth_a_call(share: float, later: float) -> bool:
    """
    Tell whether it is worth a call to ask for a request now and not only at its next time.

    A call that finds a verdict is made anyway; one that finds none is lost.

    :param share: How likely it has its verdict.
    :param later: Seconds until its next time.
    """
    return share * later / CALL_WORTH >= 1.0 - share
