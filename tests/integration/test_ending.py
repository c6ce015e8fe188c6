"""How a capture and the sensor behind it end: what an error carries, and what the event of an asset holds."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_leadsquared.assets import leads_asset
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, LeadsUnsent
from tests.integration.tasks import Task, capture, facts_of, leads, wait_for


def test_leads_not_delivered_from_a_capture_has_counts_reasons_and_examples(sandbox, clock):
    rows = [*leads(2), {"id": "bad", "mx_City": "Pune"}, {"id": "worse", "EmailAddress": ["x"]}]
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), rows)
    assert facts_of(raised.value) == {
        "counts": {"read": 4, "invalid": 2, "open": 2},
        "reasons": {"invalid: no_match_key": 1, "invalid: value_type": 1},
        "examples": ["bad", "worse"],
    }


def test_rows_without_a_key_are_named_by_their_position(sandbox, clock):
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), [{"EmailAddress": "a@example.org"}, {"mx_City": "Pune"}], row_key=None)
    assert raised.value.examples == ["row 2"]


def test_leads_unsent_from_a_capture_has_counts_reasons_and_examples(sandbox, clock, no_waits):
    sandbox.fault("garbage", shape="broken_json", endpoint="capture", skip=1, calls=1)
    sandbox.fault("keys_revoked", endpoint="capture", skip=1)
    with pytest.raises(LeadsUnsent) as raised:
        capture(Task(), leads(4), concurrency=1)
    assert facts_of(raised.value) == {
        "counts": {"read": 4, "unsent": 2, "in_doubt": 1, "open": 1},
        "reasons": {"in_doubt: UnexpectedResponseError": 1},
        "examples": ["k1"],
    }


def test_leads_not_delivered_from_a_sensor_has_counts_reasons_and_examples(sandbox, clock):
    sandbox.fault("reject", attribute="EmailAddress", value="lead1@example.org", exception="MXDuplicateEntryException")
    receipts = capture(Task(), leads(3))
    with pytest.raises(LeadsNotDelivered) as raised:
        wait_for(Task(), clock, receipts)
    assert facts_of(raised.value) == {
        "counts": {"read": 3, "created": 2, "rejected": 1},
        "reasons": {"rejected: MXDuplicateEntryException": 1},
        "examples": ["k1"],
    }


def test_leads_still_open_has_counts_and_names_open_requests(sandbox, clock):
    sandbox.fault("silent_loss", attribute="EmailAddress", value="lead0@example.org")
    receipts = capture(Task(), leads(2))
    with pytest.raises(LeadsStillOpen) as raised:
        wait_for(Task(), clock, receipts)
    assert facts_of(raised.value) == {"counts": {"read": 2, "open": 1, "created": 1}, "reasons": {}, "examples": ["k0"]}


def test_the_counts_of_an_error_are_those_of_the_output(sandbox, clock):
    task = Task()
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(task, [*leads(1), {"id": "bad"}])
    assert raised.value.counts == task.pushed["counts"]


def test_an_error_names_twenty_rows_at_the_most(sandbox, clock):
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), [{"id": f"bad{n}"} for n in range(30)])
    assert raised.value.examples == [f"bad{n}" for n in range(20)]


@pytest.mark.parametrize("kind", [LeadsNotDelivered, LeadsUnsent, LeadsStillOpen])
def test_an_error_survives_pickling(kind):
    facts = {"counts": {"read": 1, "rejected": 1}, "reasons": {"rejected: X": 1}, "examples": ["k0"]}
    error = pickle.loads(pickle.dumps(kind("1 of 1 leads", **facts)))  # noqa: S301 - pickled right here
    assert (type(error), str(error), facts_of(error)) == (kind, "1 of 1 leads", facts)


def test_the_event_of_a_captures_asset_has_its_counts(sandbox, clock):
    task = Task()
    capture(task, leads(3), outlets=[leads_asset()])
    assert task.events[leads_asset()].extra == {"counts": {"read": 3, "open": 3}}


def test_the_event_of_a_sensors_asset_has_the_counts_by_verdict(sandbox, clock):
    sandbox.fault("reject", attribute="EmailAddress", value="lead1@example.org")
    receipts, task = capture(Task(), leads(3)), Task()
    wait_for(task, clock, receipts, allowed_rejects=1, outlets=[leads_asset()])
    assert task.events[leads_asset()].extra == {"counts": {"read": 3, "created": 2, "rejected": 1}}


def test_a_task_that_fails_writes_no_event(sandbox, clock):
    task = Task()
    with pytest.raises(LeadsNotDelivered):
        capture(task, [*leads(1), {"id": "bad"}], outlets=[leads_asset()])
    assert task.events == {}
