"""When a request is attempted, retried and settled, in sandbox time."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.sandbox.clock import Clock

LEAD = {"EmailAddress": "meera@example.org"}
LISTED = [30, 120, 420, 900, 1800, 2700, 3600, 5400, 7200, 10800]
GAPS = [0, 30, 150, 570, 1470, 3270, 5970, 9570, 14970, 22170, 32970]
OFFSETS = [0, *LISTED]


def attempts(sandbox, request_id):
    """Return the times of all attempts, in seconds after the first one, which is a second after acceptance."""
    request = sandbox.request(request_id)
    return [attempt["at"] - request["accepted_at"] - 1 for attempt in request["attempts"]]


def test_an_accepted_lead_is_not_yet_captured(crm, sandbox):
    request_id = crm.submit(LEAD)
    assert crm.task(request_id)["Status"] == "In-Queue"
    assert sandbox.leads() == []


def test_a_lead_is_captured_once_its_wait_is_over(crm, sandbox):
    request_id = crm.submit(LEAD)
    sandbox.advance(0.999)
    assert crm.task(request_id)["Status"] == "In-Queue"
    sandbox.advance(0.001)
    assert crm.task(request_id)["Status"] == "Success"


def test_requests_are_attempted_in_order_at_the_accounts_rate(crm, sandbox):
    sandbox.switch(rate=6)
    ids = [crm.submit({"FirstName": str(number)}) for number in range(4)]
    sandbox.advance(3600)
    assert [attempts(sandbox, one) for one in ids] == [[0], [10], [20], [30]]


def test_retries_take_their_turn_among_other_requests(crm, sandbox):
    sandbox.switch(rate=2)
    sandbox.fault("system_errors", calls=1)
    ids = [crm.submit({"FirstName": str(number)}) for number in range(3)]
    sandbox.advance(3600)
    # The retry falls due at 30 s, behind the two that were due before.
    assert [attempts(sandbox, one) for one in ids] == [[0, 90], [30], [60]]


@pytest.mark.parametrize(("ladder", "moments"), [("gaps", GAPS), ("offsets", OFFSETS)])
def test_the_whole_ladder_in_both_readings(crm, sandbox, ladder, moments):
    sandbox.switch(ladder=ladder)
    sandbox.fault("system_errors", count=11)
    request_id = crm.submit(LEAD)
    sandbox.advance(40000)
    assert attempts(sandbox, request_id) == moments


@pytest.mark.parametrize(("ladder", "last"), [("gaps", 32970), ("offsets", 10800)])
def test_a_request_fails_at_its_tenth_retry_and_not_before(crm, sandbox, ladder, last):
    sandbox.switch(ladder=ladder)
    sandbox.fault("system_errors", count=11)
    request_id = crm.submit(LEAD)
    sandbox.advance(1 + last - 0.001)
    assert sandbox.request(request_id)["state"] == "retrying"
    sandbox.advance(0.001)
    assert sandbox.request(request_id)["state"] == "failed"


@pytest.mark.parametrize(("ladder", "settled"), [("gaps", 570), ("offsets", 420)])
def test_a_request_that_passes_at_its_third_retry(crm, sandbox, ladder, settled):
    sandbox.switch(ladder=ladder)
    sandbox.fault("system_errors", count=3)
    request_id = crm.submit(LEAD)
    sandbox.advance(3600)
    request = sandbox.request(request_id)
    assert request["settled_at"] - request["accepted_at"] == 1 + settled
    assert [attempt["outcome"] for attempt in request["attempts"]] == ["system error"] * 3 + ["success"]


def test_a_request_with_ten_system_errors_still_passes(crm, sandbox):
    sandbox.fault("system_errors", count=10)
    request_id = crm.submit(LEAD)
    sandbox.advance(40000)
    assert sandbox.request(request_id)["state"] == "succeeded"


def test_the_ladder_can_be_replaced(crm, sandbox):
    sandbox.switch(retries=[5, 7])
    sandbox.fault("system_errors", count=11)
    request_id = crm.submit(LEAD)
    sandbox.advance(3600)
    assert attempts(sandbox, request_id) == [0, 5, 12]


def test_application_errors_are_never_retried(crm, sandbox):
    request_id = crm.submit({"mx_Nope": "1"})
    sandbox.advance(40000)
    assert attempts(sandbox, request_id) == [0]
    assert sandbox.request(request_id)["state"] == "rejected"


def test_an_application_error_after_a_retry_ends_the_ladder(crm, sandbox):
    sandbox.fault("system_errors", count=1)
    request_id = crm.submit({"mx_Nope": "1"})
    sandbox.advance(40000)
    assert attempts(sandbox, request_id) == [0, 30]


def test_nothing_depends_on_how_often_a_client_polls(crm, sandbox):
    sandbox.fault("system_errors", count=3)
    watched = crm.submit({"FirstName": "A"})
    for _ in range(200):
        sandbox.advance(3.5)
        crm.poll(watched)
    assert attempts(sandbox, watched) == GAPS[:4]


def test_the_history_has_the_next_attempt(crm, sandbox):
    sandbox.fault("system_errors", count=1)
    request_id = crm.submit(LEAD)
    accepted_at = sandbox.request(request_id)["accepted_at"]
    assert sandbox.request(request_id)["next_attempt_at"] == accepted_at + 1
    sandbox.advance(1)
    assert sandbox.request(request_id)["next_attempt_at"] == accepted_at + 31
    sandbox.advance(30)
    assert sandbox.request(request_id)["next_attempt_at"] is None


@pytest.mark.parametrize("shown", ["In-Queue", "ERROR", "FAILURE", "In-Process-Queue"])
def test_the_status_between_retries_is_a_switch(crm, sandbox, shown):
    sandbox.switch(status_between_retries=shown)
    sandbox.fault("system_errors", count=1)
    request_id = crm.submit(LEAD)
    sandbox.advance(1)
    task = crm.task(request_id)
    assert (task["Status"], task["Message"]) == (shown, None)
    sandbox.advance(30)
    assert crm.task(request_id)["Status"] == "Success"


# The clock


class Ticks:
    """Real time for the clock's module, moved by the test."""

    def __init__(self):
        self.seconds = 1000.0

    def time(self):
        return self.seconds

    monotonic = time


@pytest.fixture
def real(monkeypatch):
    ticks = Ticks()
    monkeypatch.setattr("airflow_provider_leadsquared.sandbox.clock.time", ticks)
    return ticks


def test_sandbox_seconds_pass_faster_by_the_speed(real):
    clock = Clock(speed=6)
    real.seconds += 10
    assert clock.now() == 1060


def test_a_clock_of_speed_0_is_stopped(real):
    clock = Clock(speed=0)
    real.seconds += 10
    assert clock.now() == 1000


def test_a_running_clock_can_be_advanced(real):
    clock = Clock(speed=6)
    real.seconds += 1
    clock.advance(100)
    real.seconds += 1
    assert clock.now() == 1112


def test_a_change_of_speed_keeps_the_time(real):
    clock = Clock(speed=6)
    real.seconds += 10
    clock.set_speed(1)
    real.seconds += 5
    assert clock.now() == 1065


def test_the_real_time_of_a_sandbox_time(real):
    clock = Clock(speed=6)
    real.seconds += 10
    assert clock.real_time(1030) == 1005


def test_skipped_times_have_the_real_time_of_the_advance(real):
    clock = Clock(speed=6)
    real.seconds += 10
    clock.advance(600)
    assert clock.real_time(1300) == 1010


@pytest.mark.parametrize("seconds", [-1, 1e12, float("inf"), float("nan")])
def test_the_clock_goes_forward_only(seconds):
    with pytest.raises(ValueError, match="forward only"):
        Clock().advance(seconds)


def test_a_sandbox_can_be_set_running(crm, sandbox):
    sandbox.set_speed(1_000_000)
    request_id = crm.submit(LEAD)
    while sandbox.request(request_id)["state"] == "waiting":
        pass
    assert crm.task(request_id)["Status"] == "Success"


def test_a_sandbox_with_a_running_clock_settles_requests_by_itself(crm, leadsquared_sandbox_factory):
    crm.sandbox = leadsquared_sandbox_factory(speed=1, queue_delay=0)
    assert crm.task(crm.submit(LEAD))["Status"] == "Success"
