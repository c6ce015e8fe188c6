"""
The states of a row and how it moves between them.

Every row that is read is in exactly one state at any time. A state says two things: was the row sent, and is this
its verdict? All that moves a row stands here; this file does not know how answers travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_leadsquared.api.answers import RequestState, RequestStatus
from airflow_provider_leadsquared.api.errors import LeadSquaredError, UnknownRequestError

#: The reason class of a request that LeadSquared does not know.
UNKNOWN_REQUEST = "UnknownRequest"
#: The reason class of a refusal, and of a system error, for which LeadSquared gave no name.
UNNAMED_REFUSAL, UNNAMED_ERROR = "ApplicationError", "SystemError"
#: The reason class of an answer that cannot be read as an end nor as waiting.
UNCLEAR_STATUS = "UnclearStatus"
#: Seconds after acceptance in which LeadSquared may not know a RequestId yet.
UNKNOWN_GRACE = 30.0


class State(StrEnum):
    """What became of a row."""

    #: Refused by our own check: schema, no match key, key given twice. Never sent.
    INVALID = "invalid"
    #: A later row of the same run has the same match key. Never sent.
    SUPERSEDED = "superseded"
    #: The CRM has confirmed these very values before. Not sent.
    UNCHANGED = "unchanged"
    #: An earlier request for the same lead is open; the sync's next run sends the newest value. Not sent.
    WAITING = "waiting"
    #: Not taken by LeadSquared so far; the task's next try sends it.
    UNSENT = "unsent"
    #: About to be sent, or sent without an answer.
    IN_DOUBT = "in_doubt"
    #: Accepted under a RequestId, not judged.
    OPEN = "open"
    #: In the CRM as a new lead.
    CREATED = "created"
    #: In the CRM as a change to an existing lead.
    UPDATED = "updated"
    #: An application error: the CRM refused it and will not try again.
    REJECTED = "rejected"
    #: A system error outlasted LeadSquared's own retries, or LeadSquared lost the request.
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Tell whether this is a verdict: nothing that happens later changes it."""
        return not NEXT[self]

    @property
    def is_reject(self) -> bool:
        """Tell whether such a row makes a task red unless the author allowed it."""
        return self in (State.INVALID, State.IN_DOUBT, State.REJECTED, State.FAILED)


#: Where a row may go from each state; a state that leads nowhere is final.
NEXT: dict[State, frozenset[State]] = {
    State.INVALID: frozenset(),
    State.SUPERSEDED: frozenset(),
    State.UNCHANGED: frozenset(),
    State.WAITING: frozenset(),
    State.UNSENT: frozenset({State.IN_DOUBT}),
    State.IN_DOUBT: frozenset({State.IN_DOUBT, State.UNSENT, State.OPEN, State.REJECTED}),
    State.OPEN: frozenset({State.OPEN, State.CREATED, State.UPDATED, State.REJECTED, State.FAILED}),
    State.CREATED: frozenset(),
    State.UPDATED: frozenset(),
    State.REJECTED: frozenset(),
    State.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What one look at a request told.

    :param state: ``OPEN`` as long as there is no verdict.
    :param lead_id: The lead, where the CRM said yes.
    :param reason_class: LeadSquared's name of the error, or one word of ours.
    :param reason: The text that goes with it, masked.
    """

    state: State
    lead_id: str | None = None
    reason_class: str | None = None
    reason: str | None = None


def judge(
    told: RequestStatus | LeadSquaredError, *, age: float, ladder_ended: bool, unknown_before: bool = False
) -> Verdict:
    """
    Turn what LeadSquared told about a request into a verdict.

    ``ERROR`` without an ``MX…`` name is a system error. LeadSquared retries those, and its pages do not say what it
    shows meanwhile, so such an answer is final only after the last retry. A RequestId that LeadSquared does not know
    is lost when two looks in a row say so, the second after :data:`UNKNOWN_GRACE`.

    :param told: The answer, or the error that came instead.
    :param age: Seconds since LeadSquared accepted the request.
    :param ladder_ended: LeadSquared has no retry left for a request of this age.
    :param unknown_before: The last look found the request unknown.
    """
    if isinstance(told, UnknownRequestError):
        lost = unknown_before and age >= UNKNOWN_GRACE
        return Verdict(State.FAILED if lost else State.OPEN, reason_class=UNKNOWN_REQUEST, reason=str(told))
    if isinstance(told, LeadSquaredError):
        return Verdict(State.OPEN, reason_class=type(told).__name__, reason=str(told))
    if told.capture is not None:
        return Verdict(State.CREATED if told.capture.is_created else State.UPDATED, told.capture.lead_id)
    if told.state in (RequestState.FAILED, RequestState.ERROR):
        refused = told.is_application_error or (told.state is RequestState.FAILED and told.exception_type is None)
        if refused:
            return Verdict(State.REJECTED, reason_class=told.exception_type or UNNAMED_REFUSAL, reason=told.reason)
        state = State.FAILED if told.state is RequestState.FAILED or ladder_ended else State.OPEN
        return Verdict(state, reason_class=told.exception_type or UNNAMED_ERROR, reason=told.reason)
    if told.state is RequestState.UNKNOWN:
        return Verdict(State.OPEN, reason_class=UNCLEAR_STATUS, reason=told.reason or "a status word that is not known")
    return Verdict(State.OPEN)
