"""Verdicts: the states of a row, the ways between them, and what one look makes of an answer."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api import errors
from airflow_provider_leadsquared.api.responses import RequestState, RequestStatus
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.verdicts import (
    UNCLEAR_STATUS,
    UNKNOWN_GRACE,
    UNKNOWN_REQUEST,
    Verdict,
    judge,
)

ID, LEAD_ID = "9d0f4b52-0000-4000-8000-00000000000c", "2c8e1f77-0000-4000-8000-00000000000b"
FINAL = {
    State.INVALID,
    State.SUPERSEDED,
    State.UNCHANGED,
    State.WAITING,
    State.CREATED,
    State.UPDATED,
    State.REJECTED,
    State.FAILED,
}
NEVER_SENT = {State.INVALID, State.SUPERSEDED, State.UNCHANGED, State.WAITING}


def _told(state: RequestState, kind: str | None = None, reason: str = "") -> RequestStatus:
    return RequestStatus(ID, state, exception_type=kind, reason=reason)


def _captured(*, created: bool) -> RequestStatus:
    return RequestStatus(ID, RequestState.SUCCEEDED, Capture(LEAD_ID, None, created))


# --- the table ----------------------------------------------------------------------------------------------------


def test_the_table_has_every_state():
    assert set(NEXT) == set(State)


@pytest.mark.parametrize("state", State)
def test_a_state_is_final_exactly_if_it_is_a_verdict(state):
    assert state.is_final is (state in FINAL)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_verdict_leads_nowhere(state):
    assert NEXT[state] == frozenset()


def test_every_state_of_a_row_that_is_sent_is_reachable():
    reached, fresh = {State.UNSENT}, {State.UNSENT}
    while fresh:
        fresh = set().union(*(NEXT[state] for state in fresh)) - reached
        reached |= fresh
    assert reached == set(State) - NEVER_SENT


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_from_every_open_end_a_verdict_can_be_reached(state):
    reached, fresh = {state}, {state}
    while fresh:
        fresh = set().union(*(NEXT[one] for one in fresh)) - reached
        reached |= fresh
    assert reached & FINAL


def test_no_row_is_accepted_or_judged_before_its_sending_was_written_down():
    assert NEXT[State.UNSENT] == {State.IN_DOUBT}


def test_an_accepted_row_never_becomes_one_that_would_be_sent_again():
    assert NEXT[State.OPEN] & {State.UNSENT, State.IN_DOUBT} == set()


@pytest.mark.parametrize("state", State)
def test_the_states_that_make_a_task_red(state):
    assert state.is_reject is (state in {State.INVALID, State.IN_DOUBT, State.REJECTED, State.FAILED})


@pytest.mark.parametrize(
    ("state", "following"), [(state, following) for state in State for following in State if following in NEXT[state]]
)
def test_a_legal_move_is_made(state, following):
    assert Entry(0, state).moved(following).state is following


@pytest.mark.parametrize(
    ("state", "following"),
    [(state, following) for state in State for following in State if following not in NEXT[state]],
)
def test_an_illegal_move_raises(state, following):
    with pytest.raises(ValueError, match=f"row 0 is {state.value} and cannot become {following.value}"):
        Entry(0, state).moved(following)


# --- judging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("created", "state"), [(True, State.CREATED), (False, State.UPDATED)])
@pytest.mark.parametrize("ended", [True, False])
def test_a_capture_is_a_yes(created, state, ended):
    assert judge(_captured(created=created), age=5, ladder_ended=ended) == Verdict(state, LEAD_ID)


@pytest.mark.parametrize("ended", [True, False])
def test_a_request_in_the_queue_is_open_however_old(ended):
    assert judge(_told(RequestState.QUEUED), age=1e6, ladder_ended=ended) == Verdict(State.OPEN)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.ERROR])
def test_an_application_error_is_a_rejection_at_once(state, ended):
    told = _told(state, "MXDuplicateEntryException", "Duplicate entry '***'")
    expected = Verdict(State.REJECTED, None, "MXDuplicateEntryException", "Duplicate entry '***'")
    assert judge(told, age=5, ladder_ended=ended) == expected


@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_without_a_name_is_a_rejection(ended):
    assert judge(_told(RequestState.FAILED), age=5, ladder_ended=ended).state is State.REJECTED


@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_by_a_system_error_is_final(ended):
    verdict = judge(_told(RequestState.FAILED, "NullReferenceException"), age=5, ladder_ended=ended)
    assert (verdict.state, verdict.reason_class) == (State.FAILED, "NullReferenceException")


@pytest.mark.parametrize("kind", [None, "NullReferenceException"])
@pytest.mark.parametrize(("ended", "state"), [(False, State.OPEN), (True, State.FAILED)])
def test_a_system_error_is_final_only_after_the_last_retry(kind, ended, state):
    assert judge(_told(RequestState.ERROR, kind), age=5, ladder_ended=ended).state is state


@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.ERROR])
def test_every_no_has_a_reason_class(state):
    assert judge(_told(state), age=5, ladder_ended=True).reason_class


@pytest.mark.parametrize("ended", [True, False])
def test_a_status_that_is_unclear_is_never_an_end(ended):
    verdict = judge(_told(RequestState.UNKNOWN), age=1e6, ladder_ended=ended)
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
def test_a_request_is_lost_if_two_looks_do_not_find_it_the_second_after_the_grace(age, before, state):
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
def test_a_look_that_failed_is_no_verdict(error):
    verdict = judge(error, age=1e6, ladder_ended=True, unknown_before=True)
    assert verdict == Verdict(State.OPEN, None, type(error).__name__, "x")


def test_a_verdict_is_written_with_its_time():
    entry = Entry(0, State.OPEN, request_id=ID).judged(judge(_captured(created=True), age=5, ladder_ended=False), 7.5)
    assert (entry.state, entry.lead_id, entry.settled_at, entry.request_id) == (State.CREATED, LEAD_ID, 7.5, ID)


def test_an_entry_that_stays_open_has_no_time_of_verdict():
    told = judge(_told(RequestState.QUEUED), age=5, ladder_ended=False)
    assert Entry(0, State.OPEN).judged(told, 7.5).settled_at is None


def test_a_verdict_takes_back_an_earlier_trouble():
    troubled = Entry(0, State.OPEN, reason_class=UNKNOWN_REQUEST, reason="x")
    entry = troubled.judged(judge(_captured(created=False), age=5, ladder_ended=False), 7.5)
    assert (entry.reason_class, entry.reason) == (None, None)
