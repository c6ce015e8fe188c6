"""Verdicts: what one poll makes of a response."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api import errors
from airflow_provider_leadsquared.api.confirmations import Confirmation
from airflow_provider_leadsquared.api.responses import RequestState, RequestStatus
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import (
    LOST_AFTER,
    PATH_NOT_PROVED,
    UNCLEAR_STATUS,
    UNKNOWN_REQUEST,
    Verdict,
    is_trouble,
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
    assert judge(_confirmed(created=created), ladder_ended=ended) == Verdict(state, LEAD_ID)


@pytest.mark.parametrize("ended", [True, False])
def test_a_request_in_the_queue_is_open_however_old(ended):
    assert judge(_status(RequestState.QUEUED), ladder_ended=ended) == Verdict(State.OPEN)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.ERROR])
def test_an_application_error_is_a_rejection_at_once(state, ended):
    outcome = _status(state, "MXDuplicateEntryException", "Duplicate entry '***'")
    expected = Verdict(State.REJECTED, None, "MXDuplicateEntryException", "Duplicate entry '***'")
    assert judge(outcome, ladder_ended=ended) == expected


@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_with_a_text_and_no_name_is_a_rejection(ended):
    assert judge(_status(RequestState.FAILED, reason="refused"), ladder_ended=ended).state is State.REJECTED


@pytest.mark.parametrize(("ended", "state"), [(False, State.OPEN), (True, State.FAILED)])
def test_a_failure_with_neither_name_nor_text_is_final_only_after_the_last_retry(ended, state):
    verdict = judge(_status(RequestState.FAILED), ladder_ended=ended)
    assert (verdict.state, verdict.reason_class) == (state, "SystemError")


@pytest.mark.parametrize(("ended", "state"), [(False, State.OPEN), (True, State.FAILED)])
def test_a_failure_by_a_named_system_error_is_final_only_after_the_last_retry(ended, state):
    verdict = judge(_status(RequestState.FAILED, "NullReferenceException"), ladder_ended=ended)
    assert (verdict.state, verdict.reason_class) == (state, "NullReferenceException")


@pytest.mark.parametrize("kind", [None, "NullReferenceException"])
@pytest.mark.parametrize(("ended", "state"), [(False, State.OPEN), (True, State.FAILED)])
def test_a_system_error_is_final_only_after_the_last_retry(kind, ended, state):
    assert judge(_status(RequestState.ERROR, kind), ladder_ended=ended).state is state


@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.ERROR])
def test_every_refusal_has_a_reason_class(state):
    assert judge(_status(state), ladder_ended=True).reason_class


@pytest.mark.parametrize("ended", [True, False])
def test_a_status_that_is_unclear_is_never_an_end(ended):
    verdict = judge(_status(RequestState.UNKNOWN), ladder_ended=ended)
    assert (verdict.state, verdict.reason_class, bool(verdict.reason)) == (State.OPEN, UNCLEAR_STATUS, True)


CERTAIN, UNCERTAIN = errors.UnknownRequestError("x", is_certain=True), errors.UnknownRequestError("x")


@pytest.mark.parametrize(
    ("outcome", "ended", "unknown_for", "path_works", "state"),
    [
        (CERTAIN, False, 0, True, State.OPEN),
        (CERTAIN, False, LOST_AFTER - 1, True, State.OPEN),
        (CERTAIN, False, 1e6, False, State.OPEN),
        (CERTAIN, False, LOST_AFTER, True, State.FAILED),
        (CERTAIN, True, 0, False, State.FAILED),
        (UNCERTAIN, False, LOST_AFTER - 1, True, State.OPEN),
        (UNCERTAIN, False, LOST_AFTER, True, State.FAILED),
        (UNCERTAIN, True, 0, True, State.OPEN),
        (UNCERTAIN, True, 1e6, False, State.OPEN),
    ],
)
def test_a_request_is_lost_by_leadsquareds_word_after_the_ladder_or_if_unknown_for_hours_while_others_are_found(
    outcome, ended, unknown_for, path_works, state
):
    verdict = judge(outcome, ladder_ended=ended, unknown_for=unknown_for, path_works=path_works)
    assert verdict.state is state


@pytest.mark.parametrize(("path_works", "reason_class"), [(False, PATH_NOT_PROVED), (True, UNKNOWN_REQUEST)])
def test_a_status_call_that_fails_is_named_by_whether_the_path_works(path_works, reason_class):
    assert judge(UNCERTAIN, ladder_ended=False, path_works=path_works).reason_class == reason_class


def test_hours_is_what_a_lost_request_must_be_unknown_for():
    assert LOST_AFTER >= 2 * 3_600


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
    verdict = judge(error, ladder_ended=True, unknown_for=1e6, path_works=True)
    assert verdict == Verdict(State.OPEN, None, type(error).__name__, "x")
    assert is_trouble(verdict.reason_class)
