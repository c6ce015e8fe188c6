"""Receipts that an author hands to a sensor: odd ones are refused with the field that is wrong."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.tasks.receipts import parse_receipts

RECEIPT = {"row": 1, "row_key": "k", "api": "lead_capture", "request_id": "9d0f4b52-0000-4000-8000-00000000000c"}


def test_a_receipt_is_read():
    (entry,) = parse_receipts([RECEIPT])
    assert (entry.row, entry.row_key, entry.api, entry.request_id) == (0, "k", "lead_capture", RECEIPT["request_id"])


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


def test_the_remedy_for_an_old_output_of_a_sync_speaks_of_the_sync():
    with pytest.raises(ValueError, match="clear the sync with a new ledger_table"):
        parse_receipts({"books": {"read": 1}, "ledger": {"sync": "customers"}})
