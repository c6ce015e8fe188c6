"""What stops a sync ends it as it ends a capture: receipts are written, counts are printed, the exception is itself."""

from __future__ import annotations

import signal

from airflow.sdk.exceptions import AirflowTaskTimeout

from tests.integration.sync.nights import MORNING, Night, sync
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
