"""The states of a row: one table, and the properties that follow from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_leadsquared.delivery.states import TABLE, Description, Group, State, names_of

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


#: The states by what they mean for a run, written down once more beside the table.
GROUPS = {
    Group.TO_SEND: {"unsent", "in_doubt"},
    Group.SET_ASIDE: {"invalid", "superseded"},
    Group.HELD: {"waiting"},
    Group.UNCHANGED: {"unchanged"},
    Group.OPEN: {"open"},
    Group.CONFIRMED: {"created", "updated"},
    Group.REFUSED: {"rejected", "failed"},
}


# --- the table ----------------------------------------------------------------------------------------------------


def test_every_state_has_a_line_in_the_table():
    assert list(TABLE) == list(State)


def test_no_line_is_of_something_that_is_no_state():
    assert {type(state) for state in TABLE} == {State}


@pytest.mark.parametrize("state", State)
def test_a_line_leads_to_states_only_and_to_each_once(state):
    following = TABLE[state].next
    assert [type(one) for one in following] == [State] * len(set(following))


@pytest.mark.parametrize("state", State)
def test_a_state_is_explained_in_words_of_its_own(state):
    assert [other for other in State if TABLE[other].meaning == TABLE[state].meaning] == [state]
    assert TABLE[state].meaning.strip()


@pytest.mark.parametrize("state", State)
def test_a_state_is_in_exactly_one_group(state):
    assert [group for group, members in GROUPS.items() if state in members] == [TABLE[state].group]


@pytest.mark.parametrize("group", Group)
def test_a_group_has_its_states_and_no_other(group):
    assert {state for state in State if TABLE[state].group is group} == GROUPS[group]


@pytest.mark.parametrize("state", State)
def test_whether_a_row_was_sent_agrees_with_its_group(state):
    if TABLE[state].group in (Group.OPEN, Group.CONFIRMED, Group.REFUSED):
        assert TABLE[state].sent == "yes"
    else:
        assert TABLE[state].sent == ("maybe" if state is State.IN_DOUBT else "no")


# --- the properties -----------------------------------------------------------------------------------------------

PROPERTIES: dict[str, Callable[[Description], bool]] = {
    "is_final": lambda line: line.next == (),
    "is_reject": lambda line: line.is_reject,
    "is_to_send": lambda line: line.group is Group.TO_SEND,
    "is_set_aside": lambda line: line.group is Group.SET_ASIDE,
    "is_not_sent": lambda line: line.group in (Group.SET_ASIDE, Group.HELD),
    "is_confirmed": lambda line: line.group is Group.CONFIRMED,
    "is_refused": lambda line: line.group is Group.REFUSED,
    "is_open": lambda line: line.group is Group.OPEN,
    "can_be_refused": lambda line: line.group not in (Group.SET_ASIDE, Group.CONFIRMED, Group.OPEN),
    "was_sent": lambda line: line.sent in ("maybe", "yes"),
    "is_replaceable": lambda line: (
        line.group in (Group.TO_SEND, Group.UNCHANGED, Group.HELD)
        or (line.group is Group.SET_ASIDE and not line.is_reject)
    ),
    "competes": lambda line: not (line.is_reject and line.next == ()) or line is TABLE[State.FAILED],
    "needs_reason": lambda line: line.is_reject or line.group in (Group.SET_ASIDE, Group.HELD),
}


def test_every_property_is_tested():
    found = {name for name, member in vars(State).items() if isinstance(member, property)}
    assert found == {*PROPERTIES, "description"}


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("state", State)
def test_a_property_agrees_with_the_table(state, name):
    assert getattr(state, name) is PROPERTIES[name](TABLE[state])


@pytest.mark.parametrize("state", State)
def test_a_state_knows_its_line(state):
    assert state.description is TABLE[state]


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("is_to_send", {"unsent", "in_doubt"}),
        ("is_set_aside", {"invalid", "superseded"}),
        ("is_not_sent", {"invalid", "superseded", "waiting"}),
        ("is_confirmed", {"created", "updated"}),
        ("is_refused", {"rejected", "failed"}),
        ("was_sent", {"in_doubt", "open", "created", "updated", "rejected", "failed"}),
        ("is_replaceable", {"unsent", "in_doubt", "unchanged", "waiting", "superseded"}),
        ("competes", set(State) - {"invalid", "rejected"}),
        ("needs_reason", {"invalid", "superseded", "waiting", "in_doubt", "rejected", "failed"}),
    ],
)
def test_these_states_have_the_property(name, members):
    assert {state for state in State if getattr(state, name)} == members


# --- names --------------------------------------------------------------------------------------------------------


def test_names_are_listed_in_the_order_of_the_table():
    assert names_of(lambda _: True) == tuple(state.value for state in TABLE)


def test_only_names_of_states_that_meet_the_condition_are_listed():
    assert names_of(lambda state: state.is_refused) == ("rejected", "failed")


def test_where_no_state_meets_the_condition_no_name_is_listed():
    assert names_of(lambda _: False) == ()


def test_names_are_plain_text():
    assert {type(name) for name in names_of(lambda _: True)} == {str}


# --- what can follow ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_a_state_is_final_exactly_if_it_is_a_verdict(state):
    assert state.is_final is (state in FINAL)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_verdict_leads_nowhere(state):
    assert TABLE[state].next == ()


def test_every_state_of_a_row_that_is_sent_is_reachable():
    reached, found = {State.UNSENT}, {State.UNSENT}
    while found:
        found = set().union(*(set(TABLE[state].next) for state in found)) - reached
        reached |= found
    # A sending in doubt that the next try does not repeat leaves the row waiting, or superseded by its other values.
    assert reached == set(State) - (NEVER_SENT - {State.WAITING, State.SUPERSEDED})


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_from_every_other_state_a_verdict_can_be_reached(state):
    reached, found = {state}, {state}
    while found:
        found = set().union(*(set(TABLE[one].next) for one in found)) - reached
        reached |= found
    assert reached & FINAL


def test_no_row_is_accepted_or_judged_before_its_sending_was_written_down():
    assert set(TABLE[State.UNSENT].next) == {State.IN_DOUBT}


def test_an_accepted_row_never_becomes_one_that_would_be_sent_again():
    assert set(TABLE[State.OPEN].next) & {State.UNSENT, State.IN_DOUBT} == set()


@pytest.mark.parametrize("state", State)
def test_these_states_make_a_task_fail(state):
    assert state.is_reject is (state in {State.INVALID, State.IN_DOUBT, State.REJECTED, State.FAILED})
