"""From a status response to a verdict: everything that decides what a request's outcome means."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_leadsquared.api.errors import ApiError, UnknownRequestError
from airflow_provider_leadsquared.api.responses import RequestState, RequestStatus
from airflow_provider_leadsquared.delivery.states import State

#: The reason class of a request that LeadSquared does not know.
UNKNOWN_REQUEST = "UnknownRequest"
#: The reason class of a refusal, and of a system error, for which LeadSquared gave no name.
UNNAMED_REFUSAL, UNNAMED_ERROR = "ApplicationError", "SystemError"
#: The reason class of a response that says neither a final state nor that the request waits.
UNCLEAR_STATUS = "UnclearStatus"
#: Seconds after acceptance in which LeadSquared may not know a RequestId yet.
UNKNOWN_GRACE = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What one poll of a request showed.

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
    outcome: RequestStatus | ApiError, *, age: float, ladder_ended: bool, unknown_before: bool = False
) -> Verdict:
    """
    Turn what LeadSquared says of a request into a verdict.

    ``ERROR`` without an ``MX…`` name is a system error. LeadSquared retries those, and its pages do not say what it
    shows meanwhile, so such a response is final only after the last retry. A RequestId that LeadSquared does not know
    is lost when two polls in a row say so, the second after :data:`UNKNOWN_GRACE`.

    :param outcome: The response, or the error that came instead.
    :param age: Seconds since LeadSquared accepted the request.
    :param ladder_ended: LeadSquared has no retry left for a request of this age.
    :param unknown_before: The last poll found the request unknown.
    """
    if isinstance(outcome, UnknownRequestError):
        lost = unknown_before and age >= UNKNOWN_GRACE
        return Verdict(State.FAILED if lost else State.OPEN, reason_class=UNKNOWN_REQUEST, reason=str(outcome))
    if isinstance(outcome, ApiError):
        return Verdict(State.OPEN, reason_class=type(outcome).__name__, reason=str(outcome))
    confirmation, error_name = outcome.confirmation, outcome.exception_type
    if confirmation is not None:
        return Verdict(State.CREATED if confirmation.is_created else State.UPDATED, confirmation.lead_id)
    if outcome.state in (RequestState.FAILED, RequestState.ERROR):
        has_failed = outcome.state is RequestState.FAILED
        if outcome.is_application_error or (has_failed and error_name is None):
            return Verdict(State.REJECTED, reason_class=error_name or UNNAMED_REFUSAL, reason=outcome.reason)
        state = State.FAILED if has_failed or ladder_ended else State.OPEN
        return Verdict(state, reason_class=error_name or UNNAMED_ERROR, reason=outcome.reason)
    if outcome.state is RequestState.UNKNOWN:
        return Verdict(State.OPEN, reason_class=UNCLEAR_STATUS, reason=outcome.reason or "an unknown status")
    return Verdict(State.OPEN)
