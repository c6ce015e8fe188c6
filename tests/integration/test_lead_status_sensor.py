"""The sensor, from RequestIds to verdicts, in virtual time against the sandbox."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_leadsquared.api.errors import AuthenticationError, NoSuchPathError
from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from tests.integration.tasks import Task, TaskInstance, capture, connect, leads, poke, wait_for


def test_each_request_ends_with_the_verdict_and_lead_id_that_the_crm_stores(sandbox, clock):
    receipts = capture(Task(), [*leads(3), {"id": "bad", "EmailAddress": "bad@example.org", "mx_Nope": "x"}])
    task = Task()
    with pytest.raises(LeadsNotDelivered):
        wait_for(task, clock, receipts)
    truth = {request["request_id"]: request for request in sandbox.requests()}
    for result in task.pushed["results"]:
        stored = truth[result["request_id"]]
        assert (result["verdict"], result["lead_id"]) == (
            ("created", stored["lead_id"]) if stored["state"] == "succeeded" else ("rejected", None)
        )


def test_a_lead_that_the_crm_knows_is_updated(sandbox, clock):
    wait_for(Task(), clock, capture(Task(), leads(1)))
    results = wait_for(Task(), clock, capture(Task(), leads(1, FirstName="Meera")))["results"]
    assert [result["verdict"] for result in results] == ["updated"]


@pytest.mark.parametrize("reading", ["gaps", "offsets"])
@pytest.mark.parametrize("failures", [0, 1, 3, 7, 10])
def test_a_request_is_seen_right_after_the_retry_at_which_it_passes(sandbox, clock, reading, failures):
    sandbox.switch(ladder=reading)
    sandbox.fault("system_errors", count=failures)
    receipts = capture(Task(), leads(1))
    accepted = clock.now
    wait_for(Task(), clock, receipts)
    ladder = RetryLadder()
    attempts = (0.0, *(ladder.as_gaps() if reading == "gaps" else ladder.as_offsets()))
    assert clock.now - accepted - attempts[failures] <= 15.0 + 0.01 * attempts[failures]


def test_a_request_that_outlives_all_retries_is_failed_with_its_reason(sandbox, clock):
    sandbox.fault("system_errors", count=11)
    task = Task()
    with pytest.raises(LeadsNotDelivered, match="failed: 1"):
        wait_for(task, clock, capture(Task(), leads(1)))
    assert task.pushed["results"][0]["reason_class"] is not None


def test_system_errors_shown_as_error_between_retries_are_no_verdict(sandbox, clock):
    sandbox.switch(status_between_retries="ERROR")
    sandbox.fault("system_errors", count=4)
    results = wait_for(Task(), clock, capture(Task(), leads(1)))["results"]
    assert results[0]["verdict"] == "created"


def test_polls_are_never_closer_than_ten_seconds_and_few(sandbox, clock):
    sandbox.fault("system_errors", count=10)
    wait_for(Task(), clock, capture(Task(), leads(1)))
    polls = [poll["at"] for poll in sandbox.polls()]
    assert min(later - earlier for earlier, later in pairwise(polls)) >= 10.0
    assert len(polls) <= 24


def test_a_settled_request_is_never_asked_again(sandbox, clock):
    sandbox.fault("system_errors", count=3, attribute="EmailAddress", value="lead0@example.org")
    receipts = capture(Task(), leads(2))
    task = Task()
    wait_for(task, clock, receipts)
    quick = receipts["receipts"][1]["request_id"]
    assert len([poll for poll in sandbox.polls() if poll["request_id"] == quick]) == 1


def test_a_cleared_sensor_keeps_what_it_learnt(sandbox, clock):
    receipts, task = capture(Task(), leads(2)), Task()
    first = wait_for(task, clock, receipts)
    polls = len(sandbox.polls())
    assert wait_for(task, clock, receipts) == first
    assert len(sandbox.polls()) == polls


def test_without_a_state_store_the_sensor_says_so_and_still_settles_all(sandbox, clock, task_log):
    receipts = capture(Task(), leads(3))
    output = wait_for(Task(has_store=False), clock, receipts)
    assert output["counts"] == {"read": 3, "created": 3}
    assert "Each poke asks for every request again" in task_log()


def test_the_deadline_counts_from_acceptance_across_retries(sandbox, clock):
    sandbox.fault("silent_loss")
    receipts = capture(Task(), leads(1))
    clock.advance(3_000)
    with pytest.raises(LeadsStillOpen):
        wait_for(Task(), clock, receipts, timeout=2_000)


def test_ids_that_cannot_be_request_ids_are_set_aside_and_the_rest_is_settled(sandbox, clock):
    good, task = capture(Task(), leads(1))["receipts"][0]["request_id"], Task()
    with pytest.raises(LeadsNotDelivered, match="not_a_request_id"):
        wait_for(task, clock, [good, "a\n"])
    assert [result["verdict"] for result in task.pushed["results"]] == ["created", "invalid"]


def test_a_request_id_given_twice_is_asked_and_counted_once(sandbox, clock):
    request_id = capture(Task(), leads(1))["receipts"][0]["request_id"]
    assert wait_for(Task(), clock, [request_id, request_id])["counts"]["read"] == 1


@pytest.mark.parametrize("parts", [[leads(2), []], [[], []]])
def test_parts_of_a_mapped_capture_that_had_no_leads_do_not_keep_it_from_the_others(sandbox, clock, parts, monkeypatch):
    monkeypatch.setattr(TaskInstance, "map_index", 0)
    outputs = [capture(Task(), part) for part in parts]
    assert wait_for(Task(), clock, outputs)["counts"]["read"] == sum(map(len, parts))


def test_the_outputs_of_a_mapped_capture_are_taken_together(sandbox, clock):
    outputs = [capture(Task(), leads(2)[:1]), capture(Task(), leads(2)[1:])]
    assert wait_for(Task(), clock, outputs)["counts"] == {"read": 2, "created": 2}


def test_the_crms_reason_is_kept_without_the_address_that_it_quotes(sandbox, clock, task_log):
    wait_for(Task(), clock, capture(Task(), [{"id": 1, "EmailAddress": "one@example.org", "Phone": "+91-9000000001"}]))
    clash = {"id": 2, "EmailAddress": "two@example.org", "Phone": "+91-9000000001"}
    receipts = capture(Task(), [clash], search_by="EmailAddress")
    task = Task()
    with pytest.raises(LeadsNotDelivered) as raised:
        wait_for(task, clock, receipts)
    shown = str(raised.value) + str(task.pushed) + task_log() + str(task.store.values)
    assert "MXDuplicateEntryException" in shown
    assert "9000000001" not in shown
    assert "example.org" not in shown


@pytest.mark.parametrize(("allowed", "green"), [(0, False), (1, True), (0.4, False), (0.5, True)])
def test_rejects_make_the_task_red_unless_allowed(sandbox, clock, allowed, green):
    receipts = capture(Task(), [*leads(1), {"id": "b", "EmailAddress": "b@example.org", "mx_Nope": "x"}])
    task = Task()
    if green:
        assert wait_for(task, clock, receipts, allowed_rejects=allowed)["counts"]["rejected"] == 1
    else:
        with pytest.raises(LeadsNotDelivered, match="MXUnknownAttributeException"):
            wait_for(task, clock, receipts, allowed_rejects=allowed)


def test_an_outage_during_a_poll_is_no_failure(sandbox, clock, no_waits):
    receipts = capture(Task(), leads(3))
    clock.advance(5)
    sandbox.fault("unavailable", endpoint="status", calls=400)
    task = Task()
    assert not poke(task, receipts)
    sandbox.clear_faults()
    assert wait_for(task, clock, receipts)["counts"] == {"read": 3, "created": 3}


def test_keys_revoked_during_a_poll_fail_the_try_and_keep_what_was_learnt(sandbox, clock):
    sandbox.fault("system_errors", count=1, attribute="EmailAddress", value="lead0@example.org")
    receipts, task = capture(Task(), leads(2)), Task()
    clock.advance(5)
    poke(task, receipts)
    clock.advance(60)
    sandbox.fault("keys_revoked", endpoint="status")
    with pytest.raises(AuthenticationError):
        poke(task, receipts)
    sandbox.clear_faults()
    assert wait_for(task, clock, receipts)["counts"] == {"read": 2, "created": 2}


@pytest.mark.parametrize("shape", ["html", "broken_json", "empty"])
def test_a_server_that_is_no_leadsquared_is_waited_for(sandbox, clock, no_waits, task_log, shape):
    receipts, task = capture(Task(), leads(2)), Task()
    clock.advance(5)
    sandbox.fault("garbage", endpoint="status", shape=shape)
    assert not poke(task, receipts)
    assert "check the connection's hosts" in task_log()
    sandbox.clear_faults()
    assert wait_for(task, clock, receipts)["counts"] == {"read": 2, "created": 2}


def test_a_status_path_that_leadsquareds_gateway_does_not_have_fails_the_first_poll(sandbox, clock, monkeypatch):
    receipts = capture(Task(), leads(2))
    connect(monkeypatch, sandbox, extra={"paths": {"lead_capture": {"status": "/no/such/path"}}})
    with pytest.raises(NoSuchPathError, match="extra 'paths'"):
        poke(Task(), receipts)


@pytest.mark.parametrize(
    "switches", [{"rejection_shape": "inner"}, {"status_message": "object"}, {"status_id_key": "RequestID"}]
)
def test_every_documented_shape_of_a_status_is_understood(sandbox, clock, switches):
    sandbox.switch(**switches)
    receipts = capture(Task(), [*leads(1), {"id": "b", "EmailAddress": "b@example.org", "mx_Nope": "x"}])
    counts = wait_for(Task(), clock, receipts, allowed_rejects=1)["counts"]
    assert counts == {"read": 2, "created": 1, "rejected": 1}


def test_a_faster_sandbox_is_polled_on_its_own_clock(sandbox, clock, monkeypatch):
    connect(monkeypatch, sandbox, extra={"sandbox_speed": 60})
    clock.sandbox_speed = 60
    sandbox.fault("system_errors", count=10)
    receipts, accepted = capture(Task(), leads(1)), clock.now
    wait_for(Task(), clock, receipts)
    assert clock.now - accepted - RetryLadder().longest / 60 <= 15


#: Retries that LeadSquared does not document: at 30, 3,630, 39,630 and 75,630 seconds.
LATE_RETRIES = [30, 3_600, 36_000, 36_000]


def account_with_late_retries(monkeypatch, sandbox):
    """Let the sandbox try requests again later than is documented, and say so in the connection."""
    sandbox.switch(retries=LATE_RETRIES)
    connect(monkeypatch, sandbox, extra={"retry_intervals": LATE_RETRIES})


@pytest.mark.parametrize(("failures", "retry"), [(3, 39_630), (4, 75_630)])
def test_a_request_that_is_settled_at_a_late_retry_of_the_connections_is_found(
    sandbox, clock, monkeypatch, failures, retry
):
    account_with_late_retries(monkeypatch, sandbox)
    sandbox.fault("system_errors", count=failures)
    receipts, accepted = capture(Task(), leads(1)), clock.now
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 1, "created": 1}
    assert 0 <= clock.now - accepted - retry <= 60


def test_the_default_timeout_follows_from_the_connections_retry_intervals(sandbox, clock, monkeypatch):
    account_with_late_retries(monkeypatch, sandbox)
    sandbox.fault("silent_loss")
    receipts, accepted = capture(Task(), leads(1)), clock.now
    with pytest.raises(LeadsStillOpen, match="still open after 79,230 s"):
        wait_for(Task(), clock, receipts)
    assert clock.now - accepted == pytest.approx(75_630 + BACKLOG)


def test_a_timeout_that_the_author_sets_outranks_the_connections_retry_intervals(sandbox, clock, monkeypatch):
    account_with_late_retries(monkeypatch, sandbox)
    sandbox.fault("silent_loss")
    receipts = capture(Task(), leads(1))
    with pytest.raises(LeadsStillOpen, match="still open after 600 s"):
        wait_for(Task(), clock, receipts, timeout=600)


def test_after_the_documented_retries_a_request_may_still_be_failed_by_a_late_one(sandbox, clock, monkeypatch):
    account_with_late_retries(monkeypatch, sandbox)
    sandbox.fault("system_errors", count=5)
    sandbox.switch(status_between_retries="ERROR")
    receipts, accepted = capture(Task(), leads(1)), clock.now
    with pytest.raises(LeadsNotDelivered, match="failed: 1"):
        wait_for(Task(), clock, receipts)
    assert clock.now - accepted >= 75_630


def test_a_capture_that_gave_nothing_is_named():
    with pytest.raises(LeadsNotDelivered, match="No receipts"):
        poke(Task(), None)


def test_a_capture_whose_leads_were_all_set_aside_leaves_nothing_to_wait_for(sandbox, clock):
    output = capture(Task(), [{"id": 1, "mx_City": "Pune"}], allowed_rejects=1)
    assert wait_for(Task(), clock, output)["counts"] == {"read": 0}


@pytest.mark.parametrize("given", [[], "", 17, {"foo": 1}])
def test_request_ids_of_another_kind_are_an_error_that_says_what_to_pass(sandbox, clock, given):
    with pytest.raises((ValueError, LeadsNotDelivered), match=r"pass a RequestId|not_a_request_id"):
        wait_for(Task(), clock, given)


REQUEST_ID = "9d0f4b52-0000-4000-8000-00000000000c"
#: What the version before returned: no "api" in a receipt, "books" in place of "counts".
OLD_RECEIPT = {"row": 1, "key": "k0", "request_id": REQUEST_ID, "accepted_at": "2027-01-15T08:00:00.000+00:00"}
OLD_OUTPUT = {"books": {"read": 1, "open": 1}, "receipts": [OLD_RECEIPT], "aside": []}
OLD_SYNC_OUTPUT = {"books": {"read": 1, "open": 1}, "ledger": {"ledger_conn_id": "warehouse", "sync": "customers"}}


@pytest.mark.parametrize("in_list", [False, True])
@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (OLD_OUTPUT, r"earlier version .* pass their RequestIds alone: .* clear the task that returned it"),
        (OLD_RECEIPT, r"earlier version .* pass their RequestIds alone: .* clear the task that returned it"),
        ({"receipts": [OLD_RECEIPT]}, r"earlier version .* pass their RequestIds alone: .* clear the task"),
        (OLD_SYNC_OUTPUT, r"earlier version .* Let that DAG run end .* clear the sync with a new ledger_table"),
    ],
)
def test_what_an_earlier_version_returned_is_refused_with_the_remedy(sandbox, clock, given, remedy, in_list):
    with pytest.raises(ValueError, match=remedy):
        poke(Task(), [given] if in_list else given)
    assert sandbox.polls() == []


def test_the_remedy_for_an_earlier_versions_output_works(sandbox, clock):
    receipts = capture(Task(), leads(2))["receipts"]
    output: dict[str, Any] = {"books": {"read": 2}, "receipts": [{"request_id": one["request_id"]} for one in receipts]}
    request_ids = [receipt["request_id"] for receipt in output["receipts"]]  # as the message says
    assert wait_for(Task(), clock, request_ids)["counts"] == {"read": 2, "created": 2}


def test_a_receipt_of_an_unknown_api_is_refused_before_anything_is_polled(sandbox, clock):
    good, other = capture(Task(), leads(2))["receipts"]
    clock.advance(10)
    with pytest.raises(ValueError, match="a receipt in request_ids: there is no .* API 'note'; there is lead_capture"):
        poke(Task(), [good, other | {"api": "note"}])
    assert sandbox.polls() == []


def test_the_sensor_reschedules_by_default_and_may_be_retried():
    sensor = LeadStatusSensor(task_id="wait", request_ids="x")
    assert (sensor.mode, sensor.retries, sensor.trigger_rule, sensor.timeout) == (
        "reschedule",
        2,
        "none_skipped",
        36_570,
    )


def test_the_dags_default_args_outrank_the_sensors_defaults():
    with DAG("d", schedule=None, default_args={"retries": 5, "mode": "poke"}):
        sensor = LeadStatusSensor(task_id="wait", request_ids="x")
    assert (sensor.retries, sensor.mode) == (5, "poke")


def test_poke_mode_keeps_its_slot_and_ends_alike(sandbox, clock, monkeypatch):
    sandbox.fault("system_errors", count=2)
    receipts = capture(Task(), leads(1))
    monkeypatch.setattr("airflow.sdk.bases.sensor.time.sleep", clock.advance)
    sensor = LeadStatusSensor(task_id="wait", request_ids=receipts, mode="poke")
    assert sensor.execute(Task().context())["counts"] == {"read": 1, "created": 1}


def test_a_capture_with_a_ledger_table_gets_each_verdict_in_its_row(sandbox, clock, ledger_database):
    rows = [*leads(2), {"id": "b", "EmailAddress": "b@example.org", "mx_Nope": "x"}]
    wait_for(Task(), clock, capture(Task(), rows, ledger_conn_id="ledger"), allowed_rejects=1)
    with closing(sqlite3.connect(ledger_database)) as database:
        found = database.execute(
            "SELECT row_key, state, reason_class, lead_id IS NOT NULL FROM leadsquared_ledger ORDER BY row_no"
        ).fetchall()
    assert found == [
        ("k0", "created", None, 1),
        ("k1", "created", None, 1),
        ("b", "rejected", "MXUnknownAttributeException", 0),
    ]


def test_a_capture_that_is_cleared_finds_the_verdicts_in_its_rows(sandbox, clock, ledger_database):
    task = Task()
    wait_for(Task(), clock, capture(task, leads(3), ledger_conn_id="ledger"))
    task.clears = 1
    assert capture(task, leads(3), ledger_conn_id="ledger")["counts"] == {"read": 3, "created": 3}
    assert len(sandbox.posts()) == 3


def test_a_connection_that_is_no_database_is_refused_for_a_ledger(sandbox, clock):
    with pytest.raises(ValueError, match=r"no common\.sql hook"):
        capture(Task(), leads(1), ledger_conn_id="leadsquared_default")


def after(states, **instance):
    """Return a sensor behind a task named capture, and a context in which Airflow gives it these states."""
    with DAG("sync"):
        sensor = LeadStatusSensor(task_id="wait", request_ids={"receipts": []})
        sensor.set_upstream(LeadCaptureOperator(task_id="capture", leads=[]))
    task = Task()
    context = task.context()
    context["ti"].get_task_states = lambda **_: {context["ti"].run_id: states}
    for name, value in instance.items():
        setattr(context["ti"], name, value)
    return sensor, context


@pytest.mark.parametrize("state", ["failed", "upstream_failed"])
def test_behind_a_capture_that_failed_it_fails_too_so_that_the_run_is_not_green(sandbox, state):
    sensor, context = after({"capture": state})
    with pytest.raises(LeadsNotDelivered, match="capture failed before"):
        sensor.execute(context)
    assert context["ti"].xcom["return_value"]["counts"] == {"read": 0}


def test_behind_a_mapped_capture_one_failed_instance_is_enough(sandbox):
    sensor, context = after({"capture_0": "success", "capture_1": "failed"})
    with pytest.raises(LeadsNotDelivered, match="capture_1 failed before"):
        sensor.execute(context)


@pytest.mark.parametrize(
    ("states", "instance"),
    [({"capture": "success"}, {}), ({"capture_0": "success", "capture_1": "failed"}, {"map_index": 0})],
)
def test_behind_a_capture_of_its_own_that_went_well_it_is_green(sandbox, states, instance):
    sensor, context = after(states, **instance)
    assert sensor.execute(context)["counts"] == {"read": 0}


def test_what_the_plan_knows_of_open_requests_is_in_the_ledger(sandbox, clock, ledger_database):
    sandbox.fault("system_errors", count=3)
    receipts, task = capture(Task(), leads(3), ledger_conn_id="ledger"), Task()
    poke(task, receipts)
    with closing(sqlite3.connect(ledger_database)) as database:
        asked = database.execute("SELECT COUNT(*) FROM leadsquared_ledger WHERE asked_at IS NOT NULL").fetchone()[0]
        (plan,) = database.execute(
            "SELECT content FROM leadsquared_ledger_metadata WHERE name = 'poll_plan'"
        ).fetchone()
    assert (asked >= 1, json.loads(plan)["polls"]) == (True, 1)


def test_behind_a_slow_queue_a_capture_costs_little_more_than_a_call_a_lead(sandbox, clock):
    sandbox.switch(rate=60)
    wait_for(Task(), clock, capture(Task(), leads(100)))
    assert len(sandbox.polls()) <= 2.0 * 100


def test_metrics_of_a_queue_that_is_full_of_others_leads_say_when_to_poll(sandbox, clock):
    sandbox.switch(rate=30)
    capture(Task(), leads(150))
    receipts = capture(Task(), [{"EmailAddress": "late@example.org"}], row_key=None)
    accepted = clock.now
    wait_for(Task(), clock, receipts)
    assert 300 <= clock.now - accepted <= 330
