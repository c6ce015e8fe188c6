"""Whether a row is sent: a table of what the memory says of its lead, what an earlier try left, and what follows."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import Finding
from airflow_provider_leadsquared.ledgers.memory_lines import Refusal
from airflow_provider_leadsquared.sync.decision import EARLIER_SENDING, OTHER_INSTANCE, decide
from airflow_provider_leadsquared.sync.replay import Replay

ROW = Entry(4, State.UNSENT, "k", "new")
REFUSAL = Refusal(7, "new", 5.0, "MXInvalidInputException", "why")


def found(state: State, **more: object) -> Finding:
    return Finding("person", state, **more)  # type: ignore[arg-type]  # values of many types by name


def earlier(state: State) -> Entry:
    return Entry(0, state, "k", "new", attempts=2)


TO_SEND, UNCHANGED, WAITING = found(State.UNSENT), found(State.UNCHANGED), found(State.WAITING)
SUPERSEDED = found(State.SUPERSEDED, owner="other")
REFUSED = found(State.UNSENT, refusal=REFUSAL)


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (TO_SEND, "unsent"),
        (UNCHANGED, "unchanged"),
        (WAITING, "waiting"),
        (SUPERSEDED, "superseded"),
        (REFUSED, "rejected"),
        (found(State.WAITING, refusal=REFUSAL), "rejected"),
        (found(State.UNCHANGED, refusal=REFUSAL), "rejected"),
    ],
)
def test_what_is_known_of_a_lead_decides(known, state):
    assert decide(ROW, known, None).state == state


@pytest.mark.parametrize("known", [TO_SEND, UNCHANGED, WAITING, SUPERSEDED, REFUSED])
@pytest.mark.parametrize("state", ["open", "created", "updated", "rejected", "failed"])
def test_what_this_run_has_sent_stays_what_it_is(known, state):
    assert decide(ROW, known, earlier(State(state)), full_refresh=True, replay=Replay()).state == state


@pytest.mark.parametrize(
    ("known", "state"),
    [(TO_SEND, "in_doubt"), (WAITING, "waiting"), (UNCHANGED, "unchanged"), (REFUSED, "rejected")],
)
def test_a_row_that_an_earlier_try_left_in_doubt_goes_again_unless_the_memory_says_no(known, state):
    assert decide(ROW, known, earlier(State.IN_DOUBT)).state == state


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (UNCHANGED, "unsent"),
        (REFUSED, "unsent"),
        (SUPERSEDED, "unsent"),
        (WAITING, "waiting"),
    ],
)
def test_a_full_refresh_sends_all_but_what_waits(known, state):
    assert decide(ROW, known, None, full_refresh=True).state == state


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (REFUSED, "unsent"),
        (found(State.WAITING, refusal=REFUSAL), "waiting"),
        (UNCHANGED, "unchanged"),
        (WAITING, "waiting"),
    ],
)
def test_a_replay_sends_refused_rows_only(known, state):
    assert decide(ROW, known, None, replay=Replay()).state == state


def test_a_replay_leaves_refused_rows_of_other_classes_refused():
    assert decide(ROW, REFUSED, None, replay=Replay("MXOther")).state is State.REJECTED


def test_a_refused_row_says_why_and_since_when():
    row = decide(ROW, REFUSED, None)
    assert (row.reason_class, row.reason, row.settled_at) == ("MXInvalidInputException", "why", 5.0)


def test_a_waiting_row_says_what_it_waits_for():
    row = decide(ROW, WAITING, None)
    assert (row.reason_class, "a later run sends the newest value" in str(row.reason)) == (EARLIER_SENDING, True)


def test_a_row_that_another_instance_writes_says_so():
    row = decide(ROW, SUPERSEDED, None)
    assert (row.reason_class, "another task instance" in str(row.reason)) == (OTHER_INSTANCE, True)


def test_a_row_taken_over_from_an_earlier_try_keeps_its_own_position():
    assert decide(ROW, WAITING, earlier(State.OPEN)).row == ROW.row


def test_the_next_try_goes_on_counting_attempts():
    assert decide(ROW, TO_SEND, earlier(State.IN_DOUBT)).attempts == 2
