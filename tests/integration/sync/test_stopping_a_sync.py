"""What stops a sync ends it as it ends a capture: receipts are written, counts are printed, the exception is itself."""

from __future__ import annotations

import signal

from airflow.sdk.exceptions import AirflowTaskTimeout

from tests.integration.sync.nights import MORNING, Night, customer, leave_in_doubt, sync
from tests.integration.tasks import error_of

TIMEOUT = AirflowTaskTimeout("Timeout")


def test_an_execution_timeout_leaves_a_sync_after_receipts_and_counts(sandbox, clock, warehouse, task_log, stop_with):
    warehouse.fill(300)
    stop_with(signal.SIGALRM, 20, TIMEOUT)
    night = Night("1")
    assert error_of(lambda: sync(night, warehouse)) is TIMEOUT
    accepted = {post["request_id"] for post in sandbox.posts()}
    assert 19 <= len(accepted) <= 19 + 32
    assert {request_id for (request_id,) in warehouse.lines("request_id")} - {None} == accepted
    assert night.pushed["counts"] == {"read": 300, "unsent": 300 - len(accepted), "open": len(accepted)}
    assert f"Counts: read 300 = unsent {300 - len(accepted)} + open {len(accepted)}" in task_log()
    assert sync(night, warehouse)["counts"]["read"] == 300
    assert len(sandbox.posts()) == 300


def test_an_execution_timeout_leaves_the_poll_before_a_sync_after_the_verdicts(sandbox, clock, warehouse, stop_with):
    warehouse.fill(100)
    sync(Night("1"), warehouse)
    clock.advance(MORNING)
    stop_with(signal.SIGALRM, 20, TIMEOUT)
    assert error_of(lambda: sync(Night("2"), warehouse)) is TIMEOUT
    decided = [state for (state,) in warehouse.lines("state") if state == "created"]
    assert 19 <= len(decided) <= 19 + 8


def test_the_log_of_a_retry_counts_each_row_once_and_names_none_that_is_sent(
    sandbox, clock, on_sqlite, task_log, stop_with
):
    on_sqlite.fill(100)
    on_sqlite.put(customer(200), customer(201, email="customer200@example.org"))
    stop_with(signal.SIGALRM, 20, TIMEOUT)
    night = Night("1")
    error_of(lambda: sync(night, on_sqlite))
    accepted = len(sandbox.posts())
    for number in range(90, 95):
        city, plan = "Pune", "Gold"
        email = f"customer{number}@example.org"
        leave_in_doubt(night, on_sqlite, str(number), EmailAddress=email, mx_City=city, mx_Plan=plan)
    before = len(task_log())
    sync(night, on_sqlite)
    logged = task_log()[before:]
    assert (
        f"Read 102 rows: {101 - accepted} to send, 0 unchanged, 0 wait for an earlier request, 0 refused before, "
        f"1 set aside, {accepted} known from an earlier try"
    ) in logged
    assert "in_doubt" not in logged.partition("Submitted")[0]
