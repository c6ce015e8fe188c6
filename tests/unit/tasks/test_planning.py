"""Between the ledger and the poll plan."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_leadsquared.api.errors import NoConnectionError, NoSuchPathError
from airflow_provider_leadsquared.api.responses import QueueMetrics
from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.open_request import OpenRequest
from airflow_provider_leadsquared.delivery.poll_learnt import LADDER_READING, Learnt
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.tasks import planning
from airflow_provider_leadsquared.tasks.known_requests import KnownRequests


def plan_of(accepted_at: float, learnt: Learnt | None = None) -> PollPlan:
    return PollPlan({"r": OpenRequest(accepted_at, "lead_capture")}, ladder=RetryLadder(), learnt=learnt)


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """Return a clock that goes on only while the code waits."""
    clock = SimpleNamespace(now=1_000.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(planning, "sleep", sleep)
    return clock


@pytest.mark.parametrize(("age", "waited"), [(0.0, 7.0), (5.0, 2.0), (60.0, 0.0), (-3_600.0, 7.0)])
def test_the_first_poll_waits_until_there_can_be_an_answer_and_fifteen_seconds_at_most(clock, age, waited):
    planning.wait_for_first(plan_of(1_000.0 - age), lambda: clock.now, lambda: False)
    assert clock.now - 1_000.0 == pytest.approx(waited, abs=1.0)


def test_later_polls_do_not_wait(clock):
    planning.wait_for_first(plan_of(1_000.0, Learnt(polled_at=990.0)), lambda: clock.now, lambda: False)
    assert clock.now == 1_000.0


def test_a_task_that_is_stopped_ends_its_wait_within_a_second(clock):
    planning.wait_for_first(plan_of(1_000.0), lambda: clock.now, lambda: clock.now > 1_000.0)
    assert clock.now <= 1_001.0


def standing_plan(metrics) -> PollPlan:
    """Return a plan whose queue stands still, after asking for metrics with this response."""

    def get_queue_metrics(*, api: str) -> QueueMetrics:
        assert api == "lead_capture"
        if isinstance(metrics, Exception):
            raise metrics
        return metrics

    plan = plan_of(1_000.0)
    for wave in plan.waves(1_100.0):
        plan.answer(*wave, settled=False)
    planning.ask_for_metrics(SimpleNamespace(get_queue_metrics=get_queue_metrics), plan)  # type: ignore[arg-type]  # has what is asked for
    return plan


def test_metrics_say_when_a_queue_comes_to_our_first_request():
    assert standing_plan(QueueMetrics(61, 61.0, 60.0)).learnt.queue("lead_capture").reached_at == 1_160.0


def test_an_account_without_metrics_is_not_asked_for_them_again():
    assert standing_plan(NoSuchPathError("no path")).standing() == []


def test_metrics_that_did_not_come_are_asked_for_again():
    assert standing_plan(NoConnectionError("no way")).standing() == ["lead_capture"]


def entry(number: int, **fields) -> Entry:
    return Entry(number, fields.pop("state", State.OPEN), request_id=f"r{number}", **fields)


def test_what_a_poll_could_not_ask_for_is_asked_for_first_in_the_next():
    requests = {"r0": entry(0), "r1": entry(1, reason_class="NoConnectionError"), "r2": entry(2)}
    assert planning.asked_first(requests) == ["r1"]


def test_what_was_called_lost_is_asked_for_first_if_nothing_else_is_open():
    lost = {"state": State.FAILED, "reason_class": UNKNOWN_REQUEST}
    requests = {"r0": entry(0, **lost), "r1": entry(1, **lost)}
    assert planning.asked_first(requests) == ["r0", "r1"]
    assert planning.asked_first({**requests, "r2": entry(2)}) == []


# --- what the account's answers have shown ----------------------------------------------------------------------------

ACCOUNT = SimpleNamespace(ladder=RetryLadder(), sandbox_speed=1.0)
READING = {"gaps": [10, 50], "offsets": [0, 50], "since": 500.0}


def plan_with(metadata: dict[str, object]) -> tuple[PollPlan, KnownRequests]:
    known = KnownRequests(Records(metadata=metadata), [entry(0, accepted_at=990.0)], lambda: 1_000.0)
    return planning.make_plan(ACCOUNT, known), known  # type: ignore[arg-type]  # has what is asked for


def test_a_plan_starts_from_what_the_account_has_learnt_of_its_retry_ladder():
    plan, _ = plan_with({LADDER_READING: READING})
    assert (plan.learnt.gaps, plan.learnt.offsets) == ((10, 50), (0, 50))


def test_what_a_poll_has_learnt_of_the_retry_ladder_is_kept_from_the_first_answer_on():
    assert LADDER_READING not in planning.learnt_metadata(*plan_with({}))
    plan, known = plan_with({LADDER_READING: READING})
    plan.learnt.gaps = (11, 51)
    assert planning.learnt_metadata(plan, known)[LADDER_READING] == {**READING, "gaps": [11, 51]}
