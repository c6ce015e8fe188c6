"""
From a status response to a verdict: everything that decides what a request's outcome means.

A verdict is LeadSquared's word. A status call that fails (no connection, a page, 404, 400, an error) is trouble on the
way and decides nothing, however often. Only a request that LeadSquared does not know can be called lost without its
word, and only as :func:`judge` says.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    NoConnectionError,
    NoResponseError,
    NoSuchPathError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.api.responses import RequestState, RequestStatus
from airflow_provider_leadsquared.delivery.states import State

#: The reason class of a request that LeadSquared does not know.
UNKNOWN_REQUEST = "UnknownRequest"
#: The reason class of a request whose RequestId another row has.
REPEATED_REQUEST_ID = "RepeatedRequestId"
#: The reason class of a refusal, and of a system error, for which LeadSquared gave no name.
UNNAMED_REFUSAL, UNNAMED_ERROR = "ApplicationError", "SystemError"
#: The reason class of a response that says neither a final state nor that the request waits.
UNCLEAR_STATUS = "UnclearStatus"
#: The reason class of a status call that did not find the request, where no other call shows that the path works.
PATH_NOT_PROVED = "StatusPathNotProved"
#: Seconds of LeadSquared's clock for which a request must be unknown, while others are found, before it counts as lost.
#: Our own figure: LeadSquared does not document how soon or for how long it knows a RequestId.
LOST_AFTER = 3 * 3600.0

_TROUBLE = frozenset(
    {
        PATH_NOT_PROVED,
        *(
            kind.__name__
            for kind in (
                AuthenticationError,
                NoConnectionError,
                NoResponseError,
                NoSuchPathError,
                RateLimitError,
                ServerError,
                UnexpectedResponseError,
            )
        ),
    }
)


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


def is_trouble(reason_class: str | None) -> bool:
    """Tell whether a reason class means that a request could not be asked for, so that it is asked for again soon."""
    return reason_class in _TROUBLE


def is_failed_attempt(verdict: Verdict) -> bool:
    """Tell whether a status without a verdict shows that an attempt was made, and met a system error."""
    return verdict.state is State.OPEN and verdict.reason_class not in (None, UNCLEAR_STATUS, UNKNOWN_REQUEST)


def says_unknown(outcome: object, *, path_works: bool) -> bool:
    """
    Tell whether an outcome means that LeadSquared does not know the request.

    Its status API may say so itself. An error such as 404 means it only if the same poll found other requests: then
    neither the path nor a server on the way is the cause.
    """
    return isinstance(outcome, UnknownRequestError) and (outcome.is_certain or path_works)


def judge(
    outcome: RequestStatus | ApiError, *, ladder_ended: bool, unknown_for: float = 0.0, path_works: bool = False
) -> Verdict:
    """
    Turn what LeadSquared says of a request into a verdict.

    A system error (one without an ``MX…`` name) is tried again by LeadSquared, and its pages do not say what it shows
    meanwhile, so such a response is final only after the last retry; so is a failure with neither name nor text, of
    which nobody can tell what it was. A request counts as lost if LeadSquared itself
    says after the last retry that it does not know it, or if it has been unknown for :data:`LOST_AFTER` and the present
    poll found other requests.

    :param outcome: The response, or the error that came instead.
    :param ladder_ended: LeadSquared has no retry left for the request.
    :param unknown_for: Seconds of LeadSquared's clock for which no poll has found it.
    :param path_works: The same poll found other requests.
    """
    if isinstance(outcome, UnknownRequestError):
        if not says_unknown(outcome, path_works=path_works):
            return Verdict(State.OPEN, reason_class=PATH_NOT_PROVED, reason=str(outcome))
        lost = (outcome.is_certain and ladder_ended) or (path_works and unknown_for >= LOST_AFTER)
        return Verdict(State.FAILED if lost else State.OPEN, reason_class=UNKNOWN_REQUEST, reason=str(outcome))
    if isinstance(outcome, ApiError):
        return Verdict(State.OPEN, reason_class=type(outcome).__name__, reason=str(outcome))
    confirmation, error_name = outcome.confirmation, outcome.exception_type
    if confirmation is not None:
        return Verdict(State.CREATED if confirmation.is_created else State.UPDATED, confirmation.lead_id)
    if outcome.state in (RequestState.FAILED, RequestState.ERROR):
        # Without a name a refusal is known by its word and its text; the word alone may be shown between two retries.
        is_worded = outcome.state is RequestState.FAILED and error_name is None and outcome.reason
        if outcome.is_application_error or is_worded:
            return Verdict(State.REJECTED, reason_class=error_name or UNNAMED_REFUSAL, reason=outcome.reason)
        state = State.FAILED if ladder_ended else State.OPEN
        return Verdict(state, reason_class=error_name or UNNAMED_ERROR, reason=outcome.reason)
    if outcome.state is RequestState.UNKNOWN:
        return Verdict(State.OPEN, reason_class=UNCLEAR_STATUS, reason=outcome.reason or "an unknown status")
    return Verdict(State.OPEN)
