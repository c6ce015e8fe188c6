"""What a person meets who opens a red task: the error's beginning, the end of its log, its links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, LeadsUnsent, TaskError
from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink, LeadLink
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks.ending import some_of
from airflow_provider_leadsquared.tasks.link_targets import ERROR_NAME
from tests.integration.tasks import Task, capture, leads, wait_for

#: Characters of a line that Airflow's log page shows on a common screen without wrapping, the error's name among them.
SEEN = 120


def seen_of(error: TaskError) -> str:
    return f"{type(error).__name__}: {error}"[:SEEN]


def duplicates(sandbox: Any, *numbers: int) -> None:
    for number in numbers:
        sandbox.fault(
            "reject",
            attribute="EmailAddress",
            value=f"lead{number}@example.org",
            exception="MXDuplicateEntryException",
        )


def end_of(task_log: Callable[[], str]) -> list[str]:
    """Return the short list at the end of a task's log."""
    lines = task_log().splitlines()
    first = max(n for n, line in enumerate(lines) if line.startswith("Failed: "))
    return lines[first:]


def test_the_error_of_a_capture_begins_with_how_many_rows_and_why(sandbox, clock):
    rows = [*leads(2), {"id": "bad", "mx_City": "Pune"}]
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), rows)
    assert "1 of 3 leads" in seen_of(raised.value)
    assert "invalid: 1 no_match_key" in seen_of(raised.value)


def test_the_error_of_a_sensor_begins_with_how_many_rows_and_why(sandbox, clock):
    duplicates(sandbox, 1)
    receipts = capture(Task(), leads(1_000))
    with pytest.raises(LeadsNotDelivered) as raised:
        wait_for(Task(), clock, receipts)
    assert "1 of 1,000 requests" in seen_of(raised.value)
    assert "rejected: 1 MXDuplicateEntryException" in seen_of(raised.value)


def test_the_error_of_an_outage_begins_with_how_many_rows_and_which_host(sandbox, clock, no_waits):
    sandbox.stop()
    with pytest.raises(LeadsUnsent) as raised:
        capture(Task(), leads(5))
    assert "5 leads are not sent" in seen_of(raised.value)
    assert f"no connection to 127.0.0.1:{sandbox.port}" in seen_of(raised.value)


def test_an_error_names_three_reasons_and_counts_the_rest(sandbox, clock):
    rows = [
        *({"id": f"a{n}", "mx_City": "Pune"} for n in range(4)),
        *({"id": f"b{n}", "EmailAddress": ["x"]} for n in range(3)),
        *({"id": "same", "EmailAddress": f"c{n}@example.org"} for n in range(2)),
        {"EmailAddress": "d@example.org"},
    ]
    with pytest.raises(LeadsNotDelivered) as raised:
        capture(Task(), rows)
    assert "(invalid: 4 no_match_key; invalid: 3 value_type; invalid: 2 doubled_key; 1 for other reasons)" in str(
        raised.value
    )


def test_the_log_of_a_capture_ends_with_what_failed_examples_and_the_next_step(sandbox, clock, task_log):
    bad = [{"id": f"bad{n}", "mx_City": "Pune"} for n in range(7)]
    rows = [*leads(1), *bad, {"id": "worse", "EmailAddress": ["x"]}]
    with pytest.raises(LeadsNotDelivered):
        capture(Task(), rows)
    assert end_of(task_log) == [
        "Failed: 8 of 9 leads were set aside or refused (invalid: 7 no_match_key; invalid: 1 value_type); the rest was "
        "accepted",
        "- 7 invalid, no_match_key: bad0, bad1, bad2, bad3, bad4, 2 more",
        "- 1 invalid, value_type: worse",
        "Next: Correct these rows and send them again, or set allowed_rejects",
    ]


def test_the_log_of_a_sensor_ends_with_what_failed_examples_and_the_next_step(sandbox, clock, task_log):
    duplicates(sandbox, 0, 2)
    receipts = capture(Task(), leads(3))
    with pytest.raises(LeadsNotDelivered):
        wait_for(Task(), clock, receipts)
    assert end_of(task_log) == [
        "Failed: The CRM did not confirm 2 of 3 requests (rejected: 2 MXDuplicateEntryException)",
        "- 2 rejected, MXDuplicateEntryException: k0, k2",
        "Next: Correct these rows and send them again, or set allowed_rejects: each row's reason is in this task's "
        "XCom",
    ]


def test_the_log_of_a_sensor_whose_time_ran_out_names_what_is_open(sandbox, clock, task_log):
    sandbox.fault("silent_loss", attribute="EmailAddress", value="lead0@example.org")
    receipts = capture(Task(), leads(2))
    with pytest.raises(LeadsStillOpen):
        wait_for(Task(), clock, receipts)
    failed, examples, following = end_of(task_log)
    assert failed.startswith("Failed: 1 of 2 requests are still open after ")
    assert examples == "- k0"
    assert following.endswith("do not send them again")


@pytest.mark.parametrize(
    ("names", "count", "shown"),
    [
        (["a", "b"], 2, "a, b"),
        (["a", "b"], 1_002, "a, b, 1,000 more"),
        ([], 3, "not named here"),
        (list("abcdefg"), 7, "a, b, c, d, e, 2 more"),
    ],
)
def test_some_rows_are_named_and_the_others_counted(names, count, shown):
    assert some_of(names, count) == shown


def test_the_list_ends_with_the_next_step_where_nothing_was_refused(sandbox, clock, task_log, no_waits):
    sandbox.fault("keys_revoked", endpoint="capture")
    with pytest.raises(LeadsUnsent):
        capture(Task(), leads(3))
    assert end_of(task_log)[-1] == "Next: A retry sends just these"


def test_a_sensor_links_to_a_lead_that_the_crm_has(sandbox, clock):
    duplicates(sandbox, 1)
    receipts = capture(Task(), leads(2))
    clock.advance(60)
    sensor = LeadStatusSensor(task_id="wait", request_ids=receipts)
    with pytest.raises(LeadsNotDelivered):
        sensor.execute(Task().context())
    (known,) = sandbox.leads()
    link = LeadLink().get_link(sensor, ti_key=None)  # type: ignore[arg-type]  # it reads no key
    assert link == f"{sandbox.url}/LeadManagement/LeadDetails?LeadID={known['id']}"


def test_a_capture_knows_no_lead_and_links_to_none(sandbox, clock):
    operator = LeadCaptureOperator(task_id="capture", leads=leads(1))
    operator.execute(Task().context())
    assert LeadLink().get_link(operator, ti_key=None) == ""  # type: ignore[arg-type]  # it reads no key


@pytest.mark.parametrize(
    ("kept_in", "shown_at"), [("ledger", "/leadsquared/run?ledger=ledger&dag_id={dag}&"), (None, "/dags/{dag}/runs/")]
)
def test_capture_and_sensor_link_to_their_rows_wherever_these_are_kept(
    sandbox, clock, ledger_database, kept_in, shown_at
):
    operator = LeadCaptureOperator(task_id="capture", leads=leads(1), row_key="id", ledger_conn_id=kept_in)
    sensor = LeadStatusSensor(task_id="wait", request_ids=operator.execute(Task().context()))
    clock.advance(60)
    context = Task().context()
    sensor.execute(context)
    for task in (operator, sensor):
        link = DeliveriesLink().get_link(task, ti_key=None)  # type: ignore[arg-type]  # it reads no key
        assert link.startswith(shown_at.format(dag=context["ti"].dag_id)), link


@pytest.mark.parametrize(
    "build",
    [
        lambda: LeadCaptureOperator(task_id="capture", leads=leads(1)),
        lambda: LeadStatusSensor(task_id="wait", request_ids=["9d0f4b52-0000-4000-8000-00000000000c"]),
    ],
    ids=["capture", "sensor"],
)
def test_a_task_notes_the_error_that_ended_it(sandbox, clock, no_waits, build):
    sandbox.fault("keys_revoked")
    task = build()
    with pytest.raises(Exception, match="refuse") as raised:
        task.execute(Task().context())
    assert getattr(task, ERROR_NAME) == type(raised.value).__name__
