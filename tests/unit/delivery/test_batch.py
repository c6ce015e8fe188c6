"""Batches: which rows are fit to be sent, and what an earlier try did with them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import (
    AuthenticationError,
    NoConnectionError,
    NoResponseError,
    RateLimitError,
    RejectedError,
    ServerError,
    UnexpectedResponseError,
)
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.delivery.counts import Counts
from airflow_provider_leadsquared.delivery.row_keys import DOUBLED_KEY
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger

NOW = 1_700_000_000.5
TAKEN = Receipt("9d0f4b52-0000-4000-8000-00000000000c")
NOT_TAKEN = [RateLimitError("x", 5.0), NoConnectionError("x"), AuthenticationError("x")]
PERHAPS_TAKEN = [NoResponseError("x"), ServerError("x"), UnexpectedResponseError("x")]


def _mail(number: int, **more: Any) -> dict[str, Any]:
    return {"EmailAddress": f"lead{number}@example.org", **more}


def _states(batch: Batch) -> list[str]:
    return [entry.state.value for entry in batch.entries]


def _body(batch: Batch, row: int) -> dict[str, Any]:
    return {pair["Attribute"]: pair["Value"] for pair in json.loads(batch.payloads[row].body)}


def _class_name(error: Any) -> str:
    return type(error).__name__


# --- reading ------------------------------------------------------------------------------------------------------


def test_every_row_that_was_read_has_an_entry_in_its_place():
    batch = Batch.read([_mail(1), {}, _mail(2)], api=LEAD_CAPTURE)
    assert [(entry.row, entry.state.value) for entry in batch.entries] == [(0, "unsent"), (1, "invalid"), (2, "unsent")]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ({}, "empty"),
        (None, "shape"),
        (5, "shape"),
        ("lead", "shape"),
        ([5], "shape"),
        ({"EmailAddress": "x@example.org", "mx_A": float("inf")}, "not_finite"),
        ({"EmailAddress": "x@example.org", "mx_A": object()}, "value_type"),
        ({"emailaddress": "x@example.org"}, "attribute_name"),
        ([{"Attribute": ["Phone"], "Value": 1}], "attribute_name"),
        ({"FirstName": "Meera"}, "no_match_key"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_rule_and_the_rest_goes(bad, rule):
    batch = Batch.read([_mail(1), bad, _mail(2)], api=LEAD_CAPTURE)
    assert (batch.to_send(), batch.entries[1].reason_class) == ([0, 2], rule)


def test_the_reason_of_a_bad_row_names_the_attribute():
    batch = Batch.read([_mail(1, mx_A=[1])], api=LEAD_CAPTURE)
    assert str(batch.entries[0].reason).startswith("mx_A: cannot send a list")


def test_rows_may_come_from_a_generator():
    assert Batch.read((_mail(number) for number in range(3)), api=LEAD_CAPTURE).to_send() == [0, 1, 2]


def test_no_rows_are_no_rows():
    assert Batch.read([], api=LEAD_CAPTURE).entries == []


@pytest.mark.parametrize("leads", ["leads", b"leads", _mail(1), None, 5])
def test_what_is_no_list_is_refused_whole(leads):
    with pytest.raises(ValueError, match="pass a list of leads"):
        Batch.read(leads, api=LEAD_CAPTURE)


def test_a_row_that_cannot_be_matched_may_be_allowed():
    assert Batch.read([{"FirstName": "Meera"}], require_match_key=False, api=LEAD_CAPTURE).to_send() == [0]


def test_the_authors_choices_reach_every_row():
    batch = Batch.read([{"mx_Id": 1, "LastName": None}], search_by="mx_Id", null_handling="clear", api=LEAD_CAPTURE)
    assert _body(batch, 0) == {"mx_Id": "1", "LastName": "", "SearchBy": "mx_Id"}


def test_a_batch_shows_no_lead():
    assert "lead1@" not in repr(Batch.read([_mail(1), _mail(1, mx_A=[1])], api=LEAD_CAPTURE))


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_row_is_known_by_its_key():
    assert [
        entry.name for entry in Batch.read([_mail(1, id=17), _mail(2, id="B")], row_key="id", api=LEAD_CAPTURE).entries
    ] == ["17", "B"]


def test_a_bad_row_keeps_its_key():
    assert Batch.read([{"id": 17, "mx_A": [1]}], row_key="id", api=LEAD_CAPTURE).entries[0].name == "17"


@pytest.mark.parametrize(("key", "sent"), [("id", False), ("Company", False), ("mx_Id", True), ("ProspectID", True)])
@pytest.mark.parametrize("pairs", [False, True], ids=["dict", "pairs"])
def test_the_key_column_is_sent_only_if_it_is_a_field_of_an_id(key, sent, pairs):
    lead: Any = _mail(1, **{key: "A-1"})
    if pairs:
        lead = [{"Attribute": name, "Value": value} for name, value in lead.items()]
    batch = Batch.read([lead], row_key=key, api=LEAD_CAPTURE)
    assert (batch.entries[0].row_key, key in _body(batch, 0)) == ("A-1", sent)


def test_pairs_may_come_as_a_tuple_too():
    lead = ({"Attribute": "EmailAddress", "Value": "lead1@example.org"}, {"Attribute": "id", "Value": 7})
    assert Batch.read([lead], row_key="id", api=LEAD_CAPTURE).entries[0].row_key == "7"


def test_taking_the_key_out_does_not_change_the_authors_row():
    row = _mail(1, id=17)
    Batch.read([row], row_key="id", api=LEAD_CAPTURE)
    assert row == _mail(1, id=17)


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_a_row_without_a_key_is_set_aside(value):
    batch = Batch.read([_mail(1, id=value), _mail(2, id=2)], row_key="id", api=LEAD_CAPTURE)
    assert (batch.to_send(), batch.entries[0].reason_class) == ([1], "no_key")


def test_a_row_without_the_key_column_is_set_aside():
    assert Batch.read([_mail(1)], row_key="id", api=LEAD_CAPTURE).entries[0].reason_class == "no_key"


@pytest.mark.parametrize(
    ("value", "rule"), [("x" * 251, "key_too_long"), ({"a": "b"}, "key_type"), (["a"], "key_type")]
)
def test_a_key_that_is_no_id_is_set_aside_unseen(value, rule):
    entry = Batch.read([_mail(1, id=value)], row_key="id", api=LEAD_CAPTURE).entries[0]
    assert (entry.reason_class, entry.row_key) == (rule, None)


def test_every_row_whose_key_another_row_has_too_is_refused():
    batch = Batch.read([_mail(1, id=7), _mail(2, id=7), _mail(3, id="7")], row_key="id", api=LEAD_CAPTURE)
    assert (_states(batch), batch.entries[2].reason) == (["invalid"] * 3, f"3 {DOUBLED_KEY}")


@pytest.mark.parametrize("key", ["EmailAddress", "emailaddress", "Phone", "MOBILE", "FirstName", "LastName"])
def test_a_personal_column_is_refused_as_a_key(key):
    with pytest.raises(ValueError, match="would show personal data"):
        Batch.read([_mail(1)], row_key=key, api=LEAD_CAPTURE)


# --- rows for one lead --------------------------------------------------------------------------------------------


def test_a_later_row_for_the_same_lead_supersedes_the_earlier_ones():
    batch = Batch.read([_mail(1), _mail(2), _mail(1, FirstName="A"), _mail(1, FirstName="B")], api=LEAD_CAPTURE)
    assert (_states(batch), batch.to_send()) == (["superseded", "unsent", "superseded", "unsent"], [1, 3])


def test_a_superseded_row_names_the_one_that_won():
    entry = Batch.read([_mail(1), _mail(1)], api=LEAD_CAPTURE).entries[0]
    assert (entry.reason_class, entry.reason) == ("same_match_key", "row 2 has the same EmailAddress")


def test_an_invalid_row_supersedes_nothing():
    assert _states(Batch.read([_mail(1), _mail(1, mx_A=[1])], api=LEAD_CAPTURE)) == ["unsent", "invalid"]


def test_rows_that_cannot_be_matched_do_not_supersede_each_other():
    batch = Batch.read([{"FirstName": "A"}, {"FirstName": "A"}], require_match_key=False, api=LEAD_CAPTURE)
    assert batch.to_send() == [0, 1]


def test_rows_with_a_blank_match_value_do_not_supersede_each_other():
    rows = [{"EmailAddress": " ", "FirstName": "A"}, {"EmailAddress": " ", "FirstName": "B"}]
    assert Batch.read(rows, require_match_key=False, api=LEAD_CAPTURE).to_send() == [0, 1]


ROWS = st.lists(
    st.sampled_from([_mail(1), _mail(2), _mail(1, FirstName="A"), {"FirstName": "A"}, {}, {"Phone": "1"}]), max_size=8
)


@settings(deadline=None)
@given(ROWS)
def test_no_two_rows_of_a_batch_pass_for_each_other(rows):
    batch = Batch.read(rows, require_match_key=False, api=LEAD_CAPTURE)
    assert len({entry.identity for entry in batch.entries}) == len(rows)


@settings(deadline=None)
@given(ROWS)
def test_the_counts_of_a_batch_balance(rows):
    Counts.of(Batch.read(rows, api=LEAD_CAPTURE).entries, read=len(rows))


@settings(deadline=None)
@given(ROWS)
def test_to_each_lead_one_row_at_most_is_sent(rows):
    batch = Batch.read(rows, api=LEAD_CAPTURE)
    keys = [batch.payloads[row].match_key for row in batch.to_send()]
    assert len(set(keys)) == len(keys)


# --- what becomes of a sending ------------------------------------------------------------------------------------


def test_a_row_about_to_be_sent_is_in_doubt():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    assert (batch.intend(0).state, batch.entries[0].state) == (State.IN_DOUBT, State.IN_DOUBT)


def test_an_accepted_row_is_open_with_its_receipt():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    entry = batch.record(0, TAKEN, NOW)
    assert (entry.state, entry.request_id, entry.accepted_at, entry.reason_class) == (
        State.OPEN,
        TAKEN.request_id,
        NOW,
        None,
    )


def test_a_row_is_accepted_at_the_time_that_leadsquared_tells():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    assert batch.record(0, Receipt("r", server_time=3_600.0), 7.0).accepted_at == 3_600.0


@pytest.mark.parametrize("sendings", [1, 2, 5])
@pytest.mark.parametrize("kind", ["receipt", "refusal", "doubt", "not taken"])
def test_attempts_count_every_sending(sendings, kind):
    outcomes: dict[str, Any] = {
        "receipt": Receipt("r"),
        "refusal": RejectedError("x", None, "x"),
        "doubt": NoResponseError("x"),
        "not taken": RateLimitError("x", 5.0),
    }
    outcome = outcomes[kind]
    if isinstance(outcome, Receipt):
        outcome = replace(outcome, sendings=sendings)
    else:
        outcome.sendings = sendings
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    assert batch.record(0, outcome, 7.0).attempts == sendings


def test_a_row_that_did_not_reach_a_server_was_not_sent():
    error = NoConnectionError("x")
    error.sendings = 0
    batch = Batch.read([_mail(1), _mail(2)], api=LEAD_CAPTURE)
    batch.intend(0)
    batch.intend(1)
    assert (batch.record(0, error, 7.0).attempts, batch.withdraw(1).attempts) == (0, 0)


def test_an_accepted_row_is_not_sent_again():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    batch.record(0, TAKEN, NOW)
    assert batch.to_send() == []


@pytest.mark.parametrize(("kind", "shown"), [("MXFooException", "MXFooException"), (None, "RefusedAtSubmission")])
def test_a_refused_row_is_rejected_with_its_class(kind, shown):
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    entry = batch.record(0, RejectedError("call", kind, "reason"), NOW)
    assert (entry.state, entry.reason_class, entry.reason, entry.settled_at) == (State.REJECTED, shown, "reason", NOW)


@pytest.mark.parametrize("error", NOT_TAKEN, ids=_class_name)
def test_a_row_that_was_not_taken_is_unsent_and_sendable(error):
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    assert (batch.record(0, error, NOW).state, batch.to_send()) == (State.UNSENT, [0])


@pytest.mark.parametrize("error", PERHAPS_TAKEN, ids=_class_name)
def test_a_row_that_may_have_been_taken_is_in_doubt(error):
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    entry = batch.record(0, error, NOW)
    assert (entry.state, entry.reason_class) == (State.IN_DOUBT, type(error).__name__)


@pytest.mark.parametrize(
    ("lead", "rows"), [(_mail(1), [0]), ({"FirstName": "Meera"}, [])], ids=["matched", "unmatched"]
)
def test_a_row_in_doubt_is_sent_again_only_if_it_can_be_matched(lead, rows):
    batch = Batch.read([lead], require_match_key=False, api=LEAD_CAPTURE)
    batch.intend(0)
    batch.record(0, NoResponseError("x"), NOW)
    assert batch.to_send() == rows


def test_a_row_that_was_withdrawn_is_unsent():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    entry = batch.withdraw(0)
    assert (entry.state, entry.reason_class, batch.to_send()) == (State.UNSENT, "Stopped", [0])


@pytest.mark.parametrize("error", NOT_TAKEN, ids=_class_name)
def test_a_doubt_of_the_same_try_outlives_a_later_sending_that_was_not_taken(error):
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.intend(0)
    batch.record(0, NoResponseError("x"), NOW)
    batch.intend(0)
    assert batch.record(0, error, NOW).state is State.IN_DOUBT


def _doubted() -> Batch:
    """Return a batch whose row was in doubt at the end of the last try and is about to be sent again."""
    first = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    ledger = InProcessLedger()
    ledger.write([first.intend(0)])
    second = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    second.resume(ledger.load())
    second.intend(0)
    return second


@pytest.mark.parametrize("error", NOT_TAKEN + PERHAPS_TAKEN, ids=_class_name)
def test_a_doubt_of_an_earlier_try_outlives_a_sending_without_a_receipt(error):
    assert _doubted().record(0, error, NOW).state is State.IN_DOUBT


def test_a_doubt_of_an_earlier_try_outlives_a_withdrawal():
    assert _doubted().withdraw(0).state is State.IN_DOUBT


def test_a_doubt_ends_with_a_receipt():
    assert _doubted().record(0, TAKEN, NOW).state is State.OPEN


def test_a_doubt_ends_with_a_refusal():
    assert _doubted().record(0, RejectedError("x", None, "x"), NOW).state is State.REJECTED


# --- the next try -------------------------------------------------------------------------------------------------


def _accepted(*rows: Any, **options: Any) -> Records:
    """Return the ledger of a try in which every row was accepted, each under the RequestId ``r<row>``."""
    batch = Batch.read(rows, **options, api=LEAD_CAPTURE)
    ledger = InProcessLedger()
    for row in batch.to_send():
        batch.intend(row)
        ledger.write([batch.record(row, Receipt(f"r{row}"), NOW)])
    return ledger.load()


def _resumed(earlier: Records, *rows: Any, **options: Any) -> list[str | None]:
    """Return the receipt of each row that the next try finds; None where it will send."""
    batch = Batch.read(rows, **options, api=LEAD_CAPTURE)
    batch.resume(earlier)
    return [None if row in batch.to_send() else batch.entries[row].request_id for row in range(len(rows))]


A, B, C = _mail(1, id="A"), _mail(2, id="B"), _mail(3, id="C")


@pytest.mark.parametrize("key", ["id", None])
def test_the_next_try_finds_every_receipt(key):
    rows = [A, B] if key else [_mail(1), _mail(2)]
    assert _resumed(_accepted(*rows, row_key=key), *rows, row_key=key) == ["r0", "r1"]


def test_a_list_in_another_order_keeps_its_receipts():
    assert _resumed(_accepted(A, B, row_key="id"), B, C, A, row_key="id") == ["r1", None, "r0"]


def test_a_row_with_its_columns_in_another_order_keeps_its_receipt():
    assert _resumed(_accepted(A, row_key="id"), dict(reversed(A.items())), row_key="id") == ["r0"]


def test_a_row_that_was_changed_is_sent():
    assert _resumed(_accepted(A, B, row_key="id"), {**A, "FirstName": "New"}, B, row_key="id") == [None, "r1"]


def test_a_row_under_another_key_is_sent():
    assert _resumed(_accepted(A, row_key="id"), {**A, "id": "Z"}, row_key="id") == [None]


def _resumed_batch(earlier: Records, *rows: Any, **options: Any) -> Batch:
    batch = Batch.read(rows, **{"row_key": "id", "require_match_key": False, **options}, api=LEAD_CAPTURE)
    batch.resume(earlier)
    return batch


def _in_doubt(row: Any) -> Records:
    """Return the ledger of a try that died while a row's call was under way."""
    entry = Batch.read([row], row_key="id", require_match_key=False, api=LEAD_CAPTURE).intend(0)
    return Records({entry.identity: entry})


def test_a_receipt_whose_row_is_gone_is_part_of_the_run():
    batch = _resumed_batch(_accepted(A, B, row_key="id"), B)
    assert [(entry.row, entry.request_id) for entry in batch.all_entries] == [(0, "r1"), (1, "r0")]
    assert batch.to_send() == []


def test_a_receipt_of_a_row_that_has_other_values_now_is_part_of_the_run():
    batch = _resumed_batch(_accepted(A, row_key="id"), {**A, "FirstName": "New"})
    assert [entry.request_id for entry in batch.all_entries] == [None, "r0"]


def test_a_refused_row_that_is_gone_is_part_of_the_run():
    first = Batch.read([A], row_key="id", api=LEAD_CAPTURE)
    first.intend(0)
    entry = first.record(0, RejectedError("x", "MXFooException", "x"), NOW)
    batch = _resumed_batch(Records({entry.identity: entry}), B)
    assert [entry.state for entry in batch.sent_before] == [State.REJECTED]


def test_a_row_that_was_set_aside_and_is_gone_is_not_part_of_the_run():
    invalid = Batch.read([{"id": "A", "mx_A": [1]}], row_key="id", api=LEAD_CAPTURE).entries[0]
    assert _resumed_batch(Records({invalid.identity: invalid}), B).sent_before == []


def test_a_further_receipt_of_a_row_is_part_of_the_run():
    earlier = _accepted(A, row_key="id")
    (entry,) = earlier.entries.values()
    further = replace(entry, request_id="r9")
    batch = _resumed_batch(Records(earlier.entries, {}, [further]), A)
    assert [entry.request_id for entry in batch.all_entries] == ["r0", "r9"]


def test_a_row_in_doubt_that_is_gone_stays_in_doubt():
    assert [entry.state for entry in _resumed_batch(_in_doubt(A), B).sent_before] == [State.IN_DOUBT]


def test_a_doubt_about_other_values_of_a_row_that_is_sent_now_is_superseded():
    batch = _resumed_batch(_in_doubt(A), {**A, "FirstName": "New"})
    assert [(entry.state, entry.reason_class) for entry in batch.sent_before] == [(State.SUPERSEDED, "same_row_key")]


def test_a_doubt_about_other_values_stays_if_the_row_is_invalid_now():
    batch = _resumed_batch(_in_doubt(A), {"id": "A", "mx_A": [1]})
    assert [entry.state for entry in batch.all_entries] == [State.INVALID, State.IN_DOUBT]


def test_a_doubt_about_other_values_stays_if_the_row_cannot_be_matched():
    """The new values do not replace those: LeadSquared may make a lead of each."""
    batch = _resumed_batch(_in_doubt({"id": "A", "FirstName": "Old"}), {"id": "A", "FirstName": "New"})
    assert [entry.state for entry in batch.sent_before] == [State.IN_DOUBT]


@pytest.mark.parametrize(
    ("lead", "rows"), [(_mail(1), [0]), ({"FirstName": "Meera"}, [])], ids=["matched", "unmatched"]
)
def test_after_a_lost_ledger_all_rows_are_in_doubt_for_the_tries_that_follow(lead, rows):
    ledger = InProcessLedger()
    first = Batch.read([lead], require_match_key=False, api=LEAD_CAPTURE)
    ledger.write(first.doubt_all())
    assert (_states(first), first.to_send()) == (["in_doubt"], rows)
    second = Batch.read([lead], require_match_key=False, api=LEAD_CAPTURE)
    second.resume(ledger.load())
    assert (_states(second), second.to_send()) == (["in_doubt"], rows)


def test_the_doubt_of_a_lost_ledger_outlives_a_sending_that_was_not_taken():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    batch.doubt_all()
    batch.intend(0)
    assert batch.record(0, RateLimitError("x", 5.0), NOW).state is State.IN_DOUBT


def test_a_row_that_the_ledger_holds_back_is_not_sent():
    batch = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    entry = batch.intend(0)
    batch.correct(0, entry.moved(State.WAITING))
    assert (_states(batch), batch.to_send()) == (["waiting"], [])


def test_a_found_entry_takes_the_place_of_its_row_now():
    batch = Batch.read([C, A], row_key="id", api=LEAD_CAPTURE)
    batch.resume(_accepted(A, row_key="id"))
    assert [entry.row for entry in batch.entries] == [0, 1]


def test_rows_that_are_alike_are_counted():
    same = {"FirstName": "Meera"}
    earlier = _accepted(same, same, require_match_key=False)
    assert _resumed(earlier, same, same, same, require_match_key=False) == ["r0", "r1", None]


def test_rows_that_are_alike_may_become_fewer():
    same = {"FirstName": "Meera"}
    earlier = _accepted(same, same, require_match_key=False)
    assert _resumed(earlier, same, require_match_key=False) == ["r0"]


def test_a_superseded_equal_row_in_the_ledger_does_not_hide_the_row_that_won():
    batch = Batch.read([_mail(1), _mail(1)], api=LEAD_CAPTURE)
    ledger = InProcessLedger()
    batch.intend(1)
    ledger.write([batch.record(1, TAKEN, NOW), *batch.entries[:1]])
    again = Batch.read([_mail(1), _mail(1)], api=LEAD_CAPTURE)
    again.resume(ledger.load())
    assert _states(again) == ["superseded", "open"]


@pytest.mark.parametrize(
    ("lead", "rows"), [(_mail(1), [0]), ({"FirstName": "Meera"}, [])], ids=["matched", "unmatched"]
)
def test_after_a_kill_between_intent_and_response_only_a_matched_row_is_sent_again(lead, rows):
    first = Batch.read([lead], require_match_key=False, api=LEAD_CAPTURE)
    entry = first.intend(0)
    second = Batch.read([lead], require_match_key=False, api=LEAD_CAPTURE)
    second.resume(Records({entry.identity: entry}))
    assert second.to_send() == rows


def test_a_rejected_row_is_not_sent_again():
    first = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    first.intend(0)
    entry = first.record(0, RejectedError("x", "MXFooException", "x"), NOW)
    second = Batch.read([_mail(1)], api=LEAD_CAPTURE)
    second.resume(Records({entry.identity: entry}))
    assert (second.to_send(), second.entries[0].reason_class) == ([], "MXFooException")


def test_a_row_that_is_invalid_now_stays_invalid():
    batch = Batch.read([{"id": "A", "mx_A": [1]}], row_key="id", api=LEAD_CAPTURE)
    batch.resume(_accepted(A, row_key="id"))
    assert _states(batch) == ["invalid"]


def test_a_row_that_was_accepted_keeps_its_receipt_although_its_key_is_doubled_now():
    first = Batch.read([_mail(1, id="k")], row_key="id", api=LEAD_CAPTURE)
    first.intend(0)
    accepted = first.record(0, Receipt("r0"), NOW)
    again = Batch.read([_mail(1, id="k"), _mail(2, id="k")], row_key="id", api=LEAD_CAPTURE)
    again.resume(Records({accepted.identity: accepted}))
    assert [(entry.state.value, entry.request_id) for entry in again.entries] == [("open", "r0"), ("invalid", None)]
    assert again.to_send() == []


def test_one_receipt_is_not_given_to_two_equal_rows_with_a_doubled_key():
    first = Batch.read([_mail(1, id="k")], row_key="id", api=LEAD_CAPTURE)
    first.intend(0)
    accepted = first.record(0, Receipt("r0"), NOW)
    again = Batch.read([_mail(1, id="k"), _mail(1, id="k")], row_key="id", api=LEAD_CAPTURE)
    again.resume(Records({accepted.identity: accepted}))
    assert _states(again) == ["open", "invalid"]
