"""What tasks send to Airflow's statistics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.tasks import metrics
from tests.integration.tasks import Task, capture, leads, wait_for


class Recorder:
    """Takes figures as Airflow's statistics do."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str | None], int] = {}
        self.times: dict[tuple[str, str | None], list[float]] = {}
        self.tags: list[dict[str, str]] = []

    def incr(self, name: str, count: int = 1, *, tags: dict[str, str] | None = None) -> None:
        key = name, (tags or {}).get("state")
        self.sums[key] = self.sums.get(key, 0) + count
        self.tags.append(tags or {})

    def timing(self, name: str, duration: timedelta, *, tags: dict[str, str] | None = None) -> None:
        self.times.setdefault((name, (tags or {}).get("kind")), []).append(duration.total_seconds())
        self.tags.append(tags or {})


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(metrics, "_stats", lambda: recorder)
    return recorder


def test_rows_are_counted_by_state_when_a_task_ends(sandbox, clock, sent):
    with pytest.raises(LeadsNotDelivered):
        capture(Task(), [*leads(2), {"id": "bad", "mx_City": "Pune"}])
    assert sent.sums == {("leadsquared.rows", "open"): 2, ("leadsquared.rows", "invalid"): 1}


def test_rows_are_tagged_with_dag_and_task_and_nothing_of_a_row(sandbox, clock, sent):
    capture(Task(), leads(1))
    assert sent.tags == [{"state": "open", "dag_id": "sync", "task_id": "task"}]


def test_each_poll_counts_its_calls(sandbox, clock, sent):
    receipts = capture(Task(), leads(3))
    wait_for(Task(), clock, receipts)
    assert sent.sums["leadsquared.poll_calls", None] == len(sandbox.polls())
    assert sent.sums["leadsquared.rows", "created"] == 3


def test_the_time_to_a_verdict_is_told_once_for_each_poll_that_showed_one(sandbox, clock, sent):
    sandbox.fault("system_errors", count=1, attribute="EmailAddress", value="lead0@example.org")
    receipts = capture(Task(), leads(3))
    wait_for(Task(), clock, receipts)
    longest = sent.times["leadsquared.seconds_to_verdict.longest", None]
    medians = sent.times["leadsquared.seconds_to_verdict.median", None]
    assert len(longest) == len(medians) == 2  # the two leads at once, the third after a retry
    assert medians[0] <= longest[0] < 30 <= longest[1] < 60


def test_transactions_on_a_sql_ledger_are_timed(sandbox, clock, ledger_database, sent):
    capture(Task(), leads(2), ledger_conn_id="ledger")
    assert sent.times["leadsquared.ledger_seconds", "write"]
    assert sent.times["leadsquared.ledger_seconds", "read"]


def test_a_transaction_that_fails_is_timed_too(sent):
    with pytest.raises(ZeroDivisionError), metrics.timed_ledger("write"):
        raise ZeroDivisionError
    assert len(sent.times["leadsquared.ledger_seconds", "write"]) == 1


def test_the_statistics_are_airflows_own():
    stats: Any = metrics._stats()
    stats.incr("leadsquared.test", 1, tags={"state": "open"})
    stats.timing("leadsquared.test", timedelta(seconds=1), tags={})
