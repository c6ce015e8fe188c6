"""Entries: what names a row, by what it is recognised, and how its state changes."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import TABLE, State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST, Verdict

ID, LEAD_ID = "9d0f4b52-0000-4000-8000-00000000000c", "2c8e1f77-0000-4000-8000-00000000000b"


def test_an_entry_holds_no_lead_data():
    assert set(Entry.__dataclass_fields__) == {
        "attempts",
        "doubted_at",
        "row",
        "state",
        "row_key",
        "api",
        "fingerprint",
        "copy",
        "request_id",
        "accepted_at",
        "settled_at",
        "lead_id",
        "reason_class",
        "reason",
        "unknown_since",
        "asked_at",
        "attempted_by",
    }


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (Entry(0, State.OPEN), "row 1"),
        (Entry(9, State.OPEN, row_key="A-1"), "A-1"),
        (Entry(9, State.OPEN, row_key=""), ""),
    ],
)
def test_a_row_is_named_by_its_key_or_by_its_position_counted_from_one(entry, name):
    assert entry.name == name


@pytest.mark.parametrize(
    ("entry", "identity"),
    [
        (Entry(3, State.OPEN, "A-1", "f", 1, "r"), ("A-1", "f", 1)),
        (Entry(3, State.OPEN, None, "", 0, "r"), (None, "r", 0)),
        (Entry(3, State.INVALID, "A-1", copy=3), ("A-1", "", 3)),
    ],
    ids=["by_fingerprint", "by_receipt", "never_sent"],
)
def test_a_row_is_recognised_by_what_it_is_and_not_by_its_position(entry, identity):
    assert entry.identity == identity


def test_a_move_changes_only_what_it_says():
    entry = Entry(0, State.IN_DOUBT, "A-1", "f")
    assert entry.moved(State.OPEN, request_id="r") == Entry(0, State.OPEN, "A-1", "f", request_id="r")


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


def test_a_verdict_is_written_with_its_time():
    entry = Entry(0, State.OPEN, request_id=ID).judged(Verdict(State.CREATED, LEAD_ID), 7.5)
    assert (entry.state, entry.lead_id, entry.settled_at, entry.request_id) == (State.CREATED, LEAD_ID, 7.5, ID)


def test_an_entry_that_stays_open_has_no_time_of_verdict():
    assert Entry(0, State.OPEN).judged(Verdict(State.OPEN), 7.5).settled_at is None


def test_a_verdict_replaces_the_reason_of_an_earlier_poll():
    troubled = Entry(0, State.OPEN, reason_class=UNKNOWN_REQUEST, reason="x")
    entry = troubled.judged(Verdict(State.UPDATED, LEAD_ID), 7.5)
    assert (entry.reason_class, entry.reason) == (None, None)


LOST = Entry(0, State.OPEN, "A-1", request_id=ID, accepted_at=1.0).judged(
    Verdict(State.FAILED, reason_class=UNKNOWN_REQUEST, reason="x"), 9.0, unknown_since=5.0
)


@pytest.mark.parametrize("state", [State.CREATED, State.UPDATED, State.REJECTED, State.OPEN])
def test_what_was_called_lost_and_is_found_later_is_corrected(state):
    found = LOST.judged(Verdict(state, LEAD_ID), 20.0)
    assert (found.state, found.lead_id, found.reason_class, found.unknown_since) == (state, LEAD_ID, None, None)
    assert found.settled_at == (20.0 if state.is_final else None)


@pytest.mark.parametrize("state", [State.CREATED, State.UPDATED, State.REJECTED, State.FAILED])
def test_any_other_verdict_stays(state):
    settled = Entry(0, State.OPEN, "A-1", request_id=ID).judged(Verdict(state, reason_class="SqlException"), 9.0)
    assert not settled.is_lost
    with pytest.raises(ValueError, match="cannot become"):
        settled.judged(Verdict(State.CREATED, LEAD_ID), 20.0)
