"""Verdicts: what one poll makes of a response."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api import errors
from airflow_provider_leadsquared.api.confirmations import Confirmation
from airflow_provider_leadsquared.api.responses import RequestState, RequestStatus
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import (
    UNCLEAR_STATUS,
    UNKNOWN_GRACE,
    UNKNOWN_REQUEST,
    Verdict,
    judge,
)

ID, LEAD_ID = "9d0f4b52-0000-4000-8000-00000000000c", "2c8e1f77-0000-4000-8000-00000000000b"


def _status(state: RequestState, kind: str | None = None, reason: str = "") -> RequestStatus:
    return RequestStatus(ID, state, exception_type=kind, reason=reason)


def _confirmed(*, created: bool) -> RequestStatus:
    return RequestStatus(ID, RequestState.SUCCEEDED, Confirmation(LEAD_ID, None, created))


@pytest.mark.parametrize(("created", "state"), [(True, State.CREATED), (False, State.UPDATED)])
@pytest.mark.parametrize("ended", [True, False])
def test_a_confirmed_request_is_created_or_updated(created, state, ended):
    assert judge(_confirmed(created=created), age=5, ladder_ended=ended) == Verdict(state, LEAD_ID)


@pytest.mark.parametrize("ended", [True, False])
def test_a_request_in_the_queue_is_open_however_old(ended):
    assert judge(_status(RequestState.QUEUED), age=1e6, ladder_ended=ended) == Verdict(State.OPEN)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.ERROR])
def test_an_application_error_is_a_rejection_at_once(state, ended):
    outcome = _status(state, "MXDuplicateEntryException", "Duplicate entry '***'")
    expected = Verdict(State.REJECTED, None, "MXDuplicateEntryException", "Duplicate entry '***'")
    assert judge(outcome, age=5, ladder_ended=ended) == expected


@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_without_a_name_is_a_rejection(ended):
    assert judge(_status(RequestState.FAILED), age=5, ladder_ended=ended).state is State.REJECTED


@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_by_a_system_error_is_final(ended):
    verdict = judge(_status(RequestState.FAILED, "NullReferenceException"), age=5, ladder_ended=ended)
    assert (verdict.state, verdict.reason_class) == (State.FAILED, "NullReferenceException")


@pytest.mark.parametrize("kind", [None, "NullReferenceException"])
@pytest.mark.parametrize(("ended", "state"), [(False, State.OPEN), (True, State.FAILED)])
def test_a_system_error_is_final_only_after_the_last_retry(kind, ended, state):
    assert judge(_status(RequestState.ERROR, kind), age=5, ladder_ended=ended).state is state


@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.ERROR])
def test_every_refusal_has_a_reason_class(state):
    assert judge(_status(state), age=5, ladder_ended=True).reason_class


@pytest.mark.parametrize("ended", [True, False])
def test_a_status_that_is_unclear_is_never_an_end(ended):
    verdict = judge(_status(RequestState.UNKNOWN), age=1e6, ladder_ended=ended)
    assert (verdict.state, verdict.reason_class, bool(verdict.reason)) == (State.OPEN, UNCLEAR_STATUS, True)


@pytest.mark.parametrize(
    ("age", "before", "state"),
    [
        (1, False, State.OPEN),
        (1, True, State.OPEN),
        (UNKNOWN_GRACE - 0.1, True, State.OPEN),
        (UNKNOWN_GRACE, False, State.OPEN),
        (1e6, False, State.OPEN),
        (UNKNOWN_GRACE, True, State.FAILED),
        (1e6, True, State.FAILED),
    ],
)
def test_a_request_is_lost_if_two_polls_do_not_find_it_the_second_after_the_grace(age, before, state):
    verdict = judge(errors.UnknownRequestError("x"), age=age, ladder_ended=False, unknown_before=before)
    assert (verdict.state, verdict.reason_class) == (state, UNKNOWN_REQUEST)


@pytest.mark.parametrize(
    "error",
    [
        errors.AuthenticationError("x"),
        errors.NoResponseError("x"),
        errors.NoConnectionError("x"),
        errors.NoSuchPathError("x"),
        errors.RateLimitError("x", 5.0),
        errors.ServerError("x"),
        errors.UnexpectedResponseError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_poll_that_failed_is_no_verdict(error):
    verdict = judge(error, age=1e6, ladder_ended=True, unknown_before=True)
    assert verdict == Verdict(State.OPEN, None, type(error).__name__, "x")
