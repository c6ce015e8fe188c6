"""How a capture and the sensor behind it end: what an error carries, and what the event of an asset holds."""

from __future__ import annotations

import pickle
import signal

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_leadsquared.assets import leads_asset
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, LeadsUnsent
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from tests.integration.tasks import Task, capture, error_of, facts_of, leads, wait_for


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


def run_with_assets(sensor_or_capture, outlets):
    """Run an operator and return which outlets it leaves to Airflow, which updates them when the task succeeds."""
    task = Task()
    sensor_or_capture.outlets = outlets
    sensor_or_capture.execute(task.context())
    return sensor_or_capture.outlets, task.events


@pytest.fixture
def rejected_receipts(sandbox, clock):
    """Return the receipts of leads that the CRM refuses."""
    sandbox.fault("reject")
    receipts = capture(Task(), leads(3))
    clock.advance(10)
    return receipts


OUTLETS = [leads_asset(), Asset.ref(name="leads"), AssetAlias("named in the task")]


def test_a_sensor_of_a_night_without_a_change_updates_no_asset_and_says_so(rejected_receipts, task_log):
    sensor = LeadStatusSensor(task_id="wait", request_ids=rejected_receipts, allowed_rejects=3)
    outlets, events = run_with_assets(sensor, OUTLETS)
    assert (outlets, events) == ([AssetAlias("named in the task")], {})
    assert "No asset is updated: no lead was changed" in task_log()


def test_a_capture_without_a_lead_to_send_updates_no_asset_and_says_so(sandbox, task_log):
    rows = [{"id": "bad", "mx_City": "Pune"}]
    operator = LeadCaptureOperator(task_id="capture", leads=rows, row_key="id", allowed_rejects=1)
    assert run_with_assets(operator, OUTLETS)[0] == [AssetAlias("named in the task")]
    assert "No asset is updated: no lead was changed" in task_log()


def test_a_capture_of_an_empty_list_says_that_no_asset_is_updated(sandbox, task_log):
    operator = LeadCaptureOperator(task_id="capture", leads=[], outlets=OUTLETS)
    with pytest.raises(AirflowSkipException):
        operator.execute(Task().context())
    assert "No asset is updated: there is nothing to send" in task_log()


@pytest.mark.parametrize("fault", [None, "lost_response"])
def test_a_task_that_may_have_changed_a_lead_updates_its_assets(sandbox, no_waits, task_log, fault):
    if fault is not None:
        sandbox.fault(fault, endpoint="capture")
    operator = LeadCaptureOperator(
        task_id="capture", leads=[{"FirstName": "Asha"}], require_match_key=False, allowed_rejects=1
    )
    assert run_with_assets(operator, OUTLETS)[0] == OUTLETS
    assert "No asset" not in task_log()


def test_a_night_without_a_change_says_nothing_of_assets_where_there_are_none(rejected_receipts, task_log):
    LeadStatusSensor(task_id="wait", request_ids=rejected_receipts, allowed_rejects=3).execute(Task().context())
    assert "asset" not in task_log()


def test_a_task_that_fails_writes_no_event(sandbox, clock):
    task = Task()
    with pytest.raises(LeadsNotDelivered):
        capture(task, [*leads(1), {"id": "bad"}], outlets=[leads_asset()])
    assert task.events == {}


def test_the_log_of_a_captures_retry_counts_each_row_once(sandbox, clock, stop_with, task_log):
    error, task, rows = AirflowTaskTimeout("Timeout"), Task(), [*leads(400), {"id": "bad"}]
    stop_with(signal.SIGALRM, 20, error)
    assert error_of(lambda: capture(task, rows, allowed_rejects=1)) is error
    before, accepted = len(task_log()), len(sandbox.posts())
    capture(task, rows, allowed_rejects=1)
    logged = task_log()[before:]
    assert f"Read 401 leads: {400 - accepted} to send, 1 set aside, {accepted} known from an earlier try" in logged
    assert logged.count("Set aside") == 1
