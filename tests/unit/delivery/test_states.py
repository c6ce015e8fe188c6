"""The states of a row: one table, and the properties that follow from it."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import TABLE, Group, State, names_of

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


def test_the_table_has_every_state():
    assert set(TABLE) == set(State)


@pytest.mark.parametrize("state", State)
def test_a_state_is_final_exactly_if_it_is_a_verdict(state):
    assert state.is_final is (state in FINAL)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_verdict_leads_nowhere(state):
    assert set(TABLE[state].next) == set()


def test_every_state_of_a_row_that_is_sent_is_reachable():
    reached, fresh = {State.UNSENT}, {State.UNSENT}
    while fresh:
        fresh = set().union(*(set(TABLE[state].next) for state in fresh)) - reached
        reached |= fresh
    assert reached == set(State) - NEVER_SENT


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_from_every_open_end_a_verdict_can_be_reached(state):
    reached, fresh = {state}, {state}
    while fresh:
        fresh = set().union(*(set(TABLE[one].next) for one in fresh)) - reached
        reached |= fresh
    assert reached & FINAL


def test_no_row_is_accepted_or_judged_before_its_sending_was_written_down():
    assert set(TABLE[State.UNSENT].next) == {State.IN_DOUBT}


def test_an_accepted_row_never_becomes_one_that_would_be_sent_again():
    assert set(TABLE[State.OPEN].next) & {State.UNSENT, State.IN_DOUBT} == set()


@pytest.mark.parametrize("state", State)
def test_the_states_that_make_a_task_red(state):
    assert state.is_reject is (state in {State.INVALID, State.IN_DOUBT, State.REJECTED, State.FAILED})


@pytest.mark.parametrize(
    ("state", "following"),
    [(state, following) for state in State for following in State if following in set(TABLE[state].next)],
)
def test_a_legal_move_is_made(state, following):
    assert Entry(0, state).moved(following).state is following


@pytest.mark.parametrize(
    ("state", "following"),
    [(state, following) for state in State for following in State if following not in set(TABLE[state].next)],
)
def test_an_illegal_move_raises(state, following):
    with pytest.raises(ValueError, match=f"row 0 is {state.value} and cannot become {following.value}"):
        Entry(0, state).moved(following)


def test_every_state_is_explained():
    assert [state for state in State if not TABLE[state].meaning] == []


def test_the_table_says_of_every_state_whether_the_row_was_sent():
    assert {description.sent for description in TABLE.values()} == {"no", "maybe", "yes"}


@pytest.mark.parametrize("group", Group)
def test_every_group_has_a_state(group):
    assert [state for state in State if TABLE[state].group is group]


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("is_to_send", {"unsent", "in_doubt"}),
        ("is_set_aside", {"invalid", "superseded"}),
        ("is_not_sent", {"invalid", "superseded", "waiting"}),
        ("is_confirmed", {"created", "updated"}),
        ("is_refused", {"rejected", "failed"}),
        ("needs_reason", {"invalid", "superseded", "waiting", "in_doubt", "rejected", "failed"}),
    ],
)
def test_a_class_of_states_has_its_members(name, members):
    assert set(names_of(lambda state: getattr(state, name))) == members


def test_names_are_in_the_order_of_the_table():
    assert names_of(lambda _: True) == tuple(state.value for state in TABLE)
