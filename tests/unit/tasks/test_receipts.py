"""Receipts that an author hands to a sensor: odd ones are refused with the field that is wrong."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.tasks.receipts import receipts_by_ledger

RECEIPT = {"row": 1, "row_key": "k", "api": "lead_capture", "request_id": "9d0f4b52-0000-4000-8000-00000000000c"}


def parse_receipts(given: object) -> list[Entry]:
    """Return the receipts that no ledger is named for."""
    return receipts_by_ledger(given)[None]


def test_a_receipt_is_read():
    (entry,) = parse_receipts([RECEIPT])
    assert (entry.row, entry.row_key, entry.api, entry.request_id) == (0, "k", "lead_capture", RECEIPT["request_id"])


@pytest.mark.parametrize("request_id", ["12345", "two words", "AB/12#é?&", "x" * 100])
def test_any_printable_text_is_a_request_id(request_id):
    (entry,) = parse_receipts([RECEIPT | {"request_id": request_id}])
    assert (entry.state, entry.request_id) == (State.OPEN, request_id)


@pytest.mark.parametrize("request_id", ["", " ", "a\x00", "a\n", "x" * 101])
def test_what_is_no_request_id_is_set_aside(request_id):
    (entry,) = parse_receipts([RECEIPT | {"request_id": request_id}])
    assert (entry.state, entry.reason_class) == (State.INVALID, "not_a_request_id")


def test_a_request_id_of_another_row_is_an_error_and_no_second_verdict():
    entries = parse_receipts([RECEIPT, RECEIPT | {"row": 2, "row_key": "l"}, RECEIPT | {"row": 3, "row_key": "m"}])
    assert [(entry.state, entry.reason_class) for entry in entries] == [
        (State.OPEN, None),
        (State.INVALID, "RepeatedRequestId"),
        (State.INVALID, "RepeatedRequestId"),
    ]
    assert entries[1].reason == "has the RequestId of k, so that nobody can tell its outcome"


def test_a_receipt_that_is_given_twice_is_one():
    assert len(parse_receipts([RECEIPT, dict(RECEIPT)])) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("row", odd) for odd in ("abc", [1], float("inf"), 1.7, -5, 0, True)],
        ("row_key", ["a"]),
        ("row_key", {}),
        *[("request_id", odd) for odd in (None, ["x"], 7)],
        *[("api", odd) for odd in (None, ["x"], "note")],
    ],
)
def test_a_receipt_with_an_odd_field_is_refused_and_the_field_named(name: str, value: object):
    with pytest.raises(ValueError, match=f"{name} of a receipt|asynchronous API"):
        parse_receipts([RECEIPT | {name: value}])


@pytest.mark.parametrize("time", ["soon", "P1D", "10:00/11:00", 5, ["2026-01-01"]])
def test_a_receipt_whose_time_is_no_date_and_time_is_refused(time):
    with pytest.raises(ValueError, match="accepted_at of a receipt must be an ISO 8601 date and time"):
        parse_receipts([RECEIPT | {"accepted_at": time}])


def test_the_remedy_for_an_old_output_of_a_sync_speaks_of_the_sync():
    with pytest.raises(ValueError, match="clear the sync with a new ledger_table"):
        parse_receipts({"books": {"read": 1}, "ledger": {"sync": "customers"}})
