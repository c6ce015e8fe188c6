"""A verdict is LeadSquared's word: what servers on the way, odd responses and other clocks do to a poll."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.retry_gates import QUEUED_AT_MOST
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import LOST_AFTER
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, LeadsUnsent
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks import polling
from airflow_provider_leadsquared.tasks.polling import poll
from airflow_provider_leadsquared.tasks.receipts import receipts_by_ledger
from tests.integration.tasks import Task, TaskInstance, capture, leads, poke, wait_for

#: Status calls that fail as a whole, whoever sends the response.
FAILURES: list[dict[str, Any]] = [
    *[{"kind": "html_page", "http": code} for code in (200, 400, 401, 403, 404, 413)],
    *[{"kind": "gateway", "http": code} for code in (400, 404, 413, 502)],
    {"kind": "redirect"},
    {"kind": "error", "http": 500, "exception": "MXInvalidInputException"},
    {"kind": "error", "http": 200, "exception": "MXInvalidInputException"},
    {"kind": "error", "http": 500, "exception": "NullReferenceException"},
    {"kind": "error", "http": 400, "exception": ""},
    {"kind": "error", "http": 200, "exception": ""},
    {"kind": "unknown_request"},
    {"kind": "garbage", "shape": "broken_json"},
]


def name_of(fault: dict[str, Any]) -> str:
    return "-".join(str(value) for value in fault.values())


def entries_of(task):
    return list(TaskStateLedger(task.store).load().entries.values())


def verdicts(task):
    return [result["verdict"] for result in task.pushed["results"]]


# ---- trouble on the way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAILURES, ids=name_of)
def test_status_calls_that_fail_for_hours_decide_nothing(sandbox, clock, no_waits, fault):
    receipts, task = capture(Task(), leads(2)), Task()
    sandbox.fault(endpoint="status", **fault)
    for hours in range(9):
        clock.advance(3_600 if hours else 10)
        assert not poke(task, receipts)
    sandbox.clear_faults()
    clock.advance(600)
    assert wait_for(task, clock, receipts)["counts"] == {"read": 2, "created": 2}


@pytest.mark.parametrize("fault", FAILURES, ids=name_of)
def test_status_calls_that_fail_to_the_end_are_still_open_and_never_failed(sandbox, clock, no_waits, fault):
    receipts, task = capture(Task(), leads(2)), Task()
    sandbox.fault(endpoint="status", **fault)
    for _ in range(10):
        clock.advance(3_600)
        assert not poke(task, receipts)
    clock.advance(3_600)
    with pytest.raises(LeadsStillOpen):
        poke(task, receipts)
    assert verdicts(task) == ["open", "open"]


def test_what_could_not_be_asked_for_is_asked_for_again_soon_and_the_log_says_so(sandbox, clock, no_waits, task_log):
    sandbox.fault(
        "system_errors", count=7
    )  # passes at the retry after 9,570 seconds; the next times are 9,872 and 10,802
    receipts, task = capture(Task(), leads(1)), Task()
    clock.advance(9_900)
    sandbox.fault("html_page", endpoint="status", http=200)
    sensor = LeadStatusSensor(task_id="wait", request_ids=receipts)
    assert not sensor.poke(task.context())
    assert sensor.poke_interval <= 900.0
    assert "LeadSquared could not be asked" in task_log()
    polled = len(sandbox.polls())
    sandbox.clear_faults()
    clock.advance(870)
    assert poke(task, receipts)
    assert len(sandbox.polls()) == polled + 1


def test_while_no_poll_is_answered_polls_get_rarer_with_the_age_of_the_requests(sandbox, clock, no_waits):
    receipts = capture(Task(), leads(3))
    sandbox.fault("reset", endpoint="status")
    task = Task()
    for age, least in ((60, 30.0), (3_600, 350.0), (7_200, 700.0)):
        clock.advance(age)
        sensor = LeadStatusSensor(task_id="wait", request_ids=receipts)  # each poke is a process of its own
        assert not sensor.poke(task.context())
        assert sensor.poke_interval >= least


def test_while_no_poll_is_answered_no_retry_of_leadsquareds_brings_the_next_one_forward(sandbox, clock, no_waits):
    sandbox.fault("system_errors", count=10)
    receipts, task = capture(Task(), leads(3)), Task()
    clock.advance(60)
    poke(task, receipts)
    sandbox.fault("reset", endpoint="status")
    age = 60.0
    while age < 10_000:
        sensor = LeadStatusSensor(task_id="wait", request_ids=receipts)
        assert not sensor.poke(task.context())
        assert sensor.poke_interval >= max(age * 0.09, 29.0)
        clock.advance(sensor.poke_interval)
        age += sensor.poke_interval


def test_one_request_that_cannot_be_asked_for_does_not_make_all_others_due_again(sandbox, clock, no_waits):
    sandbox.fault("system_errors", count=5)
    receipts, task = capture(Task(), leads(60)), Task()
    clock.advance(60)
    sandbox.fault("html_page", endpoint="status", attribute="EmailAddress", value="lead0@example.org")
    poke(task, receipts)
    polled = len(sandbox.polls())
    clock.advance(30)
    poke(task, receipts)
    again = {poll["request_id"] for poll in sandbox.polls()[polled:]}
    assert receipts["receipts"][0]["request_id"] in again
    assert len(again) <= 15


# ---- lost --------------------------------------------------------------------------------------------------------

LOSE_THE_FIRST: dict[str, Any] = {
    "kind": "silent_loss",
    "status": "unknown",
    "attribute": "EmailAddress",
    "value": "lead0@example.org",
}


@pytest.mark.parametrize("shape", ["404", "200", "400"])
def test_a_request_is_lost_if_it_stays_unknown_for_hours_while_others_are_found(sandbox, clock, shape):
    sandbox.switch(unknown_request=shape)
    sandbox.fault(**LOSE_THE_FIRST)
    receipts, task, accepted = capture(Task(), leads(3)), Task(), clock.now
    with pytest.raises(LeadsNotDelivered, match="failed: 1 UnknownRequest"):
        wait_for(task, clock, receipts)
    assert verdicts(task) == ["failed", "created", "created"]
    assert LOST_AFTER <= clock.now - accepted <= 2 * LOST_AFTER


def test_a_request_that_is_unknown_alone_is_lost_at_the_ladders_end_by_leadsquareds_own_word(sandbox, clock):
    sandbox.switch(unknown_request="200")
    task, started = Task(), clock.now
    with pytest.raises(LeadsNotDelivered, match="failed: 1 UnknownRequest"):
        wait_for(task, clock, str(uuid.uuid4()))
    assert RetryLadder().longest + QUEUED_AT_MOST <= clock.now - started <= RetryLadder().longest + BACKLOG


def test_a_request_that_waited_in_the_queue_is_not_failed_before_its_last_retry(sandbox, clock):
    sandbox.switch(queue_delay=600, status_between_retries="ERROR")
    sandbox.fault("system_errors", count=10, endpoint="capture")
    output = capture(Task(), leads(1))
    assert wait_for(Task(), clock, output)["counts"] == {"read": 1, "created": 1}


@pytest.mark.parametrize("shape", ["404", "400"])
def test_a_request_that_is_unknown_alone_by_an_error_is_still_open_at_the_deadline(sandbox, clock, shape):
    sandbox.switch(unknown_request=shape)
    with pytest.raises(LeadsStillOpen, match="StatusPathNotProved"):
        wait_for(Task(), clock, str(uuid.uuid4()))
    assert len(sandbox.polls()) < 120


def test_a_request_that_is_unknown_for_a_while_is_not_lost(sandbox, clock):
    sandbox.fault("hidden", polls=12, attribute="EmailAddress", value="lead0@example.org")
    assert wait_for(Task(), clock, capture(Task(), leads(3)))["counts"] == {"read": 3, "created": 3}


def test_hours_of_being_unknown_count_only_without_a_status_between_them(sandbox, clock):
    sandbox.fault("system_errors", count=10, attribute="EmailAddress", value="lead0@example.org")
    receipts, task = capture(Task(), leads(2)), Task()
    for known in (False, True, False):
        clock.advance(2 * 3_600)
        if not known:
            sandbox.fault("unknown_request", endpoint="status", attribute="EmailAddress", value="lead0@example.org")
        assert not poke(task, receipts)
        sandbox.clear_faults()
        clock.advance(1_800)
        if known:
            assert not poke(task, receipts)
    assert wait_for(task, clock, receipts)["counts"] == {"read": 2, "created": 2}


def test_what_was_called_lost_and_is_found_later_is_corrected(sandbox, clock):
    sandbox.fault("system_errors", count=10, attribute="EmailAddress", value="lead2@example.org")
    receipts, task = capture(Task(), leads(3)), Task()
    sandbox.fault("unknown_request", endpoint="status", attribute="EmailAddress", value="lead0@example.org")
    for _ in range(12):
        clock.advance(1_800)
        poke(task, receipts)
    sandbox.clear_faults()
    assert [entry.state for entry in entries_of(task) if entry.row_key == "k0"] == [State.FAILED]
    assert wait_for(task, clock, receipts)["counts"] == {"read": 3, "created": 3}


def test_a_sensor_that_is_cleared_asks_again_for_what_it_called_lost(sandbox, clock):
    sandbox.fault("unknown_request", endpoint="status", attribute="EmailAddress", value="lead0@example.org")
    receipts, task = capture(Task(), leads(2)), Task()
    for _ in range(2):
        with pytest.raises(LeadsNotDelivered):
            wait_for(task, clock, receipts)
        assert verdicts(task) == ["failed", "created"]
    sandbox.clear_faults()
    assert wait_for(task, clock, receipts)["counts"] == {"read": 2, "created": 2}


# ---- clocks ------------------------------------------------------------------------------------------------------

DAY = 86_400.0


@pytest.mark.parametrize("offset", [-DAY, -3_600.0, 3_600.0, DAY])
@pytest.mark.parametrize("failures", [0, 10])
def test_ages_are_measured_on_leadsquareds_clock(sandbox, clock, offset, failures):
    """The worker that captures has LeadSquared's time; that of the sensor is wrong by hours."""
    sandbox.switch(status_between_retries="ERROR")
    sandbox.fault("system_errors", count=failures)
    receipts, task, accepted = capture(Task(), leads(2)), Task(), sandbox.now()
    clock.now += offset
    sandbox.switch(date_offset=-offset)
    assert wait_for(task, clock, receipts)["counts"] == {"read": 2, "created": 2}
    assert sandbox.now() - accepted <= (RetryLadder().longest if failures else 0) + 900


@pytest.mark.parametrize("offset", [-DAY, -3_600.0, 3_600.0, DAY])
def test_the_time_of_acceptance_is_leadsquareds(sandbox, clock, offset):
    sandbox.switch(date_offset=offset)
    task = Task()
    capture(task, leads(1))
    assert [entry.accepted_at for entry in entries_of(task)] == [clock.now + offset]


@pytest.mark.parametrize("offset", [-3_600.0, 3_600.0])
def test_a_wrong_clock_costs_no_more_polls_than_a_right_one(sandbox, clock, offset):
    sandbox.switch(date_offset=offset)
    sandbox.fault("system_errors", count=10)
    wait_for(Task(), clock, capture(Task(), leads(1)))
    assert len(sandbox.polls()) <= 42


def test_the_deadline_is_leadsquareds_time_too(sandbox, clock):
    sandbox.fault("silent_loss")
    receipts, accepted = capture(Task(), leads(1)), clock.now
    clock.now += 7_200
    sandbox.switch(date_offset=-7_200.0)
    with pytest.raises(LeadsStillOpen):
        wait_for(Task(), clock, receipts)
    assert clock.now - 7_200 - accepted == pytest.approx(36_570, abs=1)


@pytest.mark.parametrize("offset", [-DAY, DAY])
def test_a_request_without_a_time_of_acceptance_is_as_old_as_its_first_poll_on_any_clock(sandbox, clock, offset):
    sandbox.switch(status_between_retries="ERROR", date_offset=offset)
    sandbox.fault("system_errors", count=3)
    request_id = capture(Task(), leads(1))["receipts"][0]["request_id"]
    assert wait_for(Task(), clock, request_id)["counts"] == {"read": 1, "created": 1}


def test_without_a_date_the_workers_clock_counts(sandbox, clock):
    sandbox.switch(date_header="missing", status_between_retries="ERROR")
    sandbox.fault("system_errors", count=10)
    assert wait_for(Task(), clock, capture(Task(), leads(2)))["counts"] == {"read": 2, "created": 2}


def test_a_response_from_before_the_request_was_accepted_tells_no_time(sandbox, clock):
    """A copy that a server on the way has kept: its date would make requests younger than they are."""
    sandbox.fault("silent_loss")
    receipts, accepted = capture(Task(), leads(1)), clock.now
    sandbox.switch(date_offset=-50_000.0)
    with pytest.raises(LeadsStillOpen):
        wait_for(Task(), clock, receipts)
    assert clock.now - accepted <= 36_570 + 50_000
    assert clock.now - accepted == pytest.approx(36_570)


# ---- submissions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        *[{"kind": "html_page", "http": code} for code in (200, 400, 401, 403, 404, 413)],
        *[{"kind": "gateway", "http": code} for code in (400, 413)],
        {"kind": "redirect"},
    ],
    ids=name_of,
)
def test_a_submission_that_something_else_refuses_is_no_reject_and_is_sent_again(sandbox, clock, no_waits, fault):
    sandbox.fault(endpoint="capture", skip=2, calls=1, **fault)
    task = Task()
    try:
        counts = capture(task, leads(5), concurrency=1)["counts"]
    except LeadsUnsent:
        counts = capture(task, leads(5))["counts"]
    assert counts == {"read": 5, "open": 5}
    assert wait_for(Task(), clock, task.pushed or task.returned)["counts"]["created"] == 5


def test_the_error_of_a_capture_keeps_rows_in_doubt_apart_from_rows_to_send_again(sandbox, clock, no_waits):
    sandbox.fault("lost_response", endpoint="capture", calls=1)
    rows = [{"id": "u0", "FirstName": "Asha"}, {"id": "bad", "EmailAddress": ["x"]}]
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), rows, require_match_key=False)
    message = str(raised.value)
    assert "1 of 2 leads were set aside or refused and 1 of 2 leads are in doubt" in message
    assert "Correct the rows that were set aside or refused, and send those again." in message
    assert "are not repeated: u0. Look these up in the CRM" in message


def test_the_error_of_a_capture_with_rows_in_doubt_only_does_not_ask_to_send_them_again(sandbox, clock, no_waits):
    sandbox.fault("lost_response", endpoint="capture", calls=1)
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), [{"id": "u0", "FirstName": "Asha"}], require_match_key=False)
    assert "again" not in str(raised.value)


def test_the_error_about_rows_in_doubt_does_not_say_that_leadsquared_has_not_accepted_them(sandbox, clock, no_waits):
    sandbox.fault("repeated_request_id", endpoint="capture", skip=1)
    with pytest.raises(LeadsUnsent, match="LeadSquared has not confirmed that it accepted them"):
        capture(Task(), leads(2))


# ---- reading a yes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        "is_created_text",
        "is_created_capital",
        "is_created_digit",
        "is_created_number",
        "number_ids",
        "encoded_twice",
        "message_bom",
        "bom",
    ],
)
@pytest.mark.parametrize("message", ["string", "object"])
def test_a_yes_in_an_odd_form_is_a_yes(sandbox, clock, shape, message):
    sandbox.switch(status_message=message)
    wait_for(Task(), clock, capture(Task(), leads(1)))
    sandbox.fault("odd_status", shapes=[shape])
    results = wait_for(Task(), clock, capture(Task(), leads(2)))["results"]
    assert [result["verdict"] for result in results] == ["updated", "created"]
    assert all(result["lead_id"] for result in results)


@pytest.mark.parametrize("shape", ["inner_failure", "reason_in_message", "reason_as_text"])
def test_a_no_in_an_odd_form_is_a_no_with_its_reason(sandbox, clock, shape):
    sandbox.fault("odd_status", shapes=[shape])
    task = Task()
    with pytest.raises(LeadsNotDelivered, match="MXUnknownAttributeException"):
        wait_for(task, clock, capture(Task(), [*leads(1), {"id": "b", "EmailAddress": "b@example.org", "mx_No": "x"}]))
    assert [result["verdict"] for result in task.pushed["results"]] == ["created", "rejected"]
    assert "mx_No" in task.pushed["results"][1]["reason"]


@pytest.mark.parametrize("form", ["upper", "number", "text"])
def test_request_ids_that_are_no_uuids_are_asked_for(sandbox, clock, form):
    sandbox.switch(request_id_form=form)
    assert wait_for(Task(), clock, capture(Task(), leads(3)))["counts"] == {"read": 3, "created": 3}


@pytest.mark.parametrize("shape", ["bom", "other_id_key", "no_status"])
def test_a_receipt_in_an_odd_form_is_a_receipt(sandbox, clock, shape):
    sandbox.fault("odd_receipt", shapes=[shape])
    assert capture(Task(), leads(3))["counts"] == {"read": 3, "open": 3}


def test_an_acceptance_with_the_code_202_is_one(sandbox, clock):
    sandbox.fault("other_code", http=202, endpoint="capture")
    receipts = capture(Task(), leads(3))
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 3, "created": 3}
    assert len(sandbox.posts()) == 3


# ---- one RequestId, one row --------------------------------------------------------------------------------------


def test_a_receipt_with_the_request_id_of_another_row_leaves_the_row_in_doubt(sandbox, clock):
    sandbox.fault("repeated_request_id", accepted=False, endpoint="capture", skip=1, calls=1)
    task = Task()
    with pytest.raises(LeadsUnsent):
        capture(task, leads(3), concurrency=1)
    assert task.pushed["counts"] == {"read": 3, "in_doubt": 1, "open": 2}
    ids = [receipt["request_id"] for receipt in task.pushed["receipts"]]
    assert len(set(ids)) == 2
    receipts = capture(task, leads(3))
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 3, "created": 3}
    assert len(sandbox.leads()) == 3


def test_a_receipt_with_the_request_id_of_an_earlier_run_leaves_the_row_in_doubt(
    sandbox, clock, ledger_database, monkeypatch
):
    capture(Task(), leads(1), ledger_conn_id="ledger")
    sandbox.fault("repeated_request_id", accepted=False, endpoint="capture", calls=1)
    monkeypatch.setattr(TaskInstance, "run_id", "2026-01-02")
    task = Task()
    with pytest.raises(LeadsUnsent):
        capture(task, leads(3), concurrency=1, ledger_conn_id="ledger")
    assert task.pushed["counts"] == {"read": 3, "in_doubt": 1, "open": 2}


def test_a_receipt_with_the_request_id_that_an_earlier_try_got_leaves_the_row_in_doubt(sandbox, clock):
    task = Task()
    capture(task, leads(1))
    sandbox.fault("repeated_request_id", accepted=False, endpoint="capture", calls=1)
    with pytest.raises(LeadsUnsent):
        capture(task, leads(2))
    assert task.pushed["counts"] == {"read": 2, "in_doubt": 1, "open": 1}


def test_two_receipts_with_one_request_id_are_not_two_verdicts(sandbox, clock):
    (receipt,) = capture(Task(), leads(1))["receipts"]
    task = Task()
    with pytest.raises(LeadsNotDelivered, match="RepeatedRequestId"):
        wait_for(task, clock, [receipt, receipt | {"row": 2, "row_key": "other"}])
    assert verdicts(task) == ["created", "invalid"]


@pytest.mark.parametrize("is_decided", [False, True])
def test_a_request_id_that_stands_at_two_rows_of_a_ledger_gives_one_verdict(sandbox, clock, is_decided):
    (receipt,) = capture(Task(), leads(1))["receipts"]
    first = Entry(0, State.OPEN, "k0", "f0", request_id=receipt["request_id"], accepted_at=clock.now, attempts=1)
    second = replace(first, row=1, row_key="k1", fingerprint="f1", accepted_at=clock.now + 1)
    ledger = InProcessLedger()
    clock.advance(10)
    if is_decided:
        poll(LeadSquaredHook(), ledger, [first], clock=lambda: clock.now, is_stopping=lambda: False)
        clock.advance(10)
    for _ in range(2):
        result = poll(LeadSquaredHook(), ledger, [first, second], clock=lambda: clock.now, is_stopping=lambda: False)
        clock.advance(10)
        assert [(entry.state, entry.reason_class) for entry in result.entries] == [
            (State.CREATED, None),
            (State.FAILED, "RepeatedRequestId"),
        ]


def test_a_poll_writes_many_verdicts_in_few_writes_and_none_in_the_event_loop(sandbox, clock, no_waits, monkeypatch):
    class CountingLedger(InProcessLedger):
        writes = 0

        def write(self, *arguments, **more):
            self.writes += 1
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            super().write(*arguments, **more)

    monkeypatch.setattr(polling, "GROUP_ROWS", 200)  # so that groups are full while calls go on
    monkeypatch.setattr(polling, "_GROUP_SECONDS", float("inf"))  # on a busy machine there would be more
    receipts = capture(Task(), leads(600))["receipts"]
    clock.advance(60)
    ledger = CountingLedger()
    result = poll(
        LeadSquaredHook(),
        ledger,
        receipts_by_ledger(receipts)[None],
        clock=lambda: clock.now,
        is_stopping=lambda: False,
    )
    assert result.open == []
    assert ledger.writes <= 4
