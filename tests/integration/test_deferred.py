"""The deferred sensor: the same verdicts, ledger and result as in the other modes, from few starts of the task."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
import time
from contextlib import aclosing, closing, suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.api.errors import AuthenticationError
from airflow_provider_leadsquared.exceptions import LeadsStillOpen, TaskError, TriggerEventError
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks import polling, trigger_messages, triggered
from airflow_provider_leadsquared.triggers.lead_status import LeadStatusTrigger
from tests.integration.deferred import DeferredWait, rows_of, wait_deferred, wait_in
from tests.integration.tasks import (
    START,
    Task,
    capture,
    connect,
    connect_sqlite,
    error_of,
    facts_of,
    leads,
    share_time,
    wait_for,
)

IN_SQL = {"ledger_conn_id": "ledger"}
BAD = {"id": "bad", "EmailAddress": "bad@example.org", "mx_Nope": "x"}


# --- the same in every mode ----------------------------------------------------------------------------------------


@pytest.fixture
def outcome_in(leadsquared_sandbox_factory, tmp_path, monkeypatch):
    """Return a function that runs the same capture and sensor in a mode, and returns all that may be compared."""

    def run(mode, *, ledger, timeout):
        sandbox = leadsquared_sandbox_factory(speed=0)
        connect(monkeypatch, sandbox)
        clock = share_time(monkeypatch, sandbox)
        monkeypatch.setattr(
            "airflow.sdk.bases.sensor.time", SimpleNamespace(monotonic=lambda: clock.now, sleep=clock.advance)
        )
        path = tmp_path / f"{mode}.db"
        connect_sqlite(monkeypatch, "ledger", path)
        for number in range(3):
            sandbox.fault(
                "system_errors", count=1 + 3 * number, attribute="EmailAddress", value=f"lead{number}@example.org"
            )
        sandbox.fault("silent_loss", attribute="EmailAddress", value="lead3@example.org")
        receipts = capture(Task(), [*leads(12), BAD], **(IN_SQL if ledger == "capture" else {}))
        task = Task()
        error = error_of(
            lambda: wait_in(mode, task, clock, receipts, timeout=timeout, **(IN_SQL if ledger == "sensor" else {}))
        )
        assert isinstance(error, TaskError)
        results = [
            {name: value for name, value in result.items() if name not in ("request_id", "lead_id")}
            for result in task.pushed["results"]
        ]
        truth = {request["request_id"]: request["lead_id"] for request in sandbox.requests()}
        assert all(result["lead_id"] == truth[result["request_id"]] for result in task.pushed["results"])
        return type(error), facts_of(error), task.pushed["counts"], results, rows_of(path) if ledger else None

    return run


@pytest.mark.parametrize("ledger", ["capture", "sensor", None])
@pytest.mark.parametrize("timeout", [2_000, 40_000])
def test_ledger_and_result_are_the_same_in_every_mode(outcome_in, ledger, timeout):
    poked, rescheduled, deferred = (
        outcome_in(mode, ledger=ledger, timeout=timeout) for mode in ("poke", "reschedule", "deferred")
    )
    assert rescheduled == poked
    assert deferred == rescheduled


@pytest.mark.parametrize(("argument", "value"), [("soft_fail", True), ("never_fail", True)])
def test_a_deferred_sensor_that_may_not_fail_is_skipped_as_in_the_other_modes(sandbox, clock, argument, value):
    sandbox.fault("silent_loss")
    receipts = capture(Task(), leads(1))
    for wait in (wait_for, lambda task, _, receipts, **arguments: wait_deferred(task, receipts, **arguments)):
        with pytest.raises(AirflowSkipException):
            wait(Task(), clock, receipts, timeout=600, **{argument: value})


def test_a_deferred_sensor_times_out_when_the_others_do_and_says_what_is_open(sandbox, clock):
    sandbox.fault("silent_loss", attribute="EmailAddress", value="lead0@example.org")
    receipts, accepted = capture(Task(), leads(2)), clock.now
    task = Task()
    with pytest.raises(LeadsStillOpen, match="1 of 2 requests are still open after 1,000 s"):
        wait_deferred(task, receipts, timeout=1_000)
    assert clock.now - accepted == pytest.approx(1_000, abs=2)
    assert task.pushed["counts"] == {"read": 2, "created": 1, "open": 1}


def test_a_worker_whose_clock_is_behind_the_triggerers_does_not_defer_again_at_the_end(sandbox, clock):
    sandbox.fault("silent_loss")
    wait = DeferredWait(Task(), capture(Task(), leads(1)), timeout=1_000)
    wait.start()
    event = wait.fire()
    clock.now -= 30
    with pytest.raises(LeadsStillOpen):
        wait.resume(event)


def test_what_was_not_asked_for_before_the_timeout_is_asked_for_once_as_in_the_other_modes(sandbox, clock):
    receipts = capture(Task(), leads(2))
    clock.advance(5_000)
    assert wait_deferred(Task(), receipts, timeout=1_000)["counts"] == {"read": 2, "created": 2}


def test_a_cleared_sensor_asks_for_nothing_that_has_its_verdict(sandbox, clock):
    receipts, task = capture(Task(), leads(2)), Task()
    first = wait_deferred(task, receipts)
    polls, again = len(sandbox.polls()), DeferredWait(task, receipts)
    assert again.run() == first
    assert (again.starts, len(sandbox.polls())) == (1, polls)


def test_a_receipt_that_comes_while_the_trigger_polls_is_waited_for(sandbox, clock, ledger_database):
    sandbox.fault("system_errors", count=1, attribute="EmailAddress", value="lead0@example.org")
    first = capture(Task(), leads(2), **IN_SQL)
    wait = DeferredWait(Task(), first)
    wait.start()
    event = wait.fire()
    add_late_receipt(ledger_database, of="k1", request_id=submit_another(sandbox))
    output = wait.resume(event)
    while output is None:
        output = wait.resume(wait.fire())
    assert output["counts"] == {"read": 3, "created": 3}


def submit_another(sandbox):
    """Submit another lead, and return its RequestId."""
    return capture(Task(), [{"id": "late", "EmailAddress": "late@example.org"}])["receipts"][0]["request_id"]


def add_late_receipt(path, *, of, request_id):
    """Write a receipt into the ledger as a try does that was given up."""
    with closing(sqlite3.connect(path)) as database, database:
        database.row_factory = sqlite3.Row
        row = dict(database.execute("SELECT * FROM leadsquared_ledger WHERE row_key = ?", [of]).fetchone())
        row |= {"entry_id": "late", "row_key": "late", "fingerprint": "", "request_id": request_id}
        signs = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO leadsquared_ledger ({', '.join(row)}) VALUES ({signs})", [*row.values()])


# --- how often a worker starts, and what is stored -----------------------------------------------------------------


def test_a_wait_through_all_retries_has_two_starts(sandbox, clock):
    sandbox.fault("system_errors", count=10, attribute="EmailAddress", value="lead0@example.org")
    wait = DeferredWait(Task(), capture(Task(), leads(3)))
    assert wait.run()["counts"] == {"read": 3, "created": 3}
    assert wait.starts == 2


def test_verdicts_are_reported_in_groups_and_not_more_often_than_every_five_minutes(
    sandbox, clock, ledger_database, monkeypatch
):
    monkeypatch.setattr(triggered, "GROUP_VERDICTS", 20)
    sandbox.switch(rate=10)
    receipts = capture(Task(), leads(150), **IN_SQL)
    wait = DeferredWait(Task(), receipts)
    output, written = wait.start(), []
    while output is None:
        event = wait.fire()
        output = wait.resume(event)
        written.append((clock.now, len(event["requests"])))
    assert output["counts"] == {"read": 150, "created": 150}
    assert len(written) > 2
    assert min(later - earlier for (earlier, _), (later, _) in pairwise(written[:-1])) >= 300
    assert min(count for _, count in written[:-1]) >= 20


def test_verdicts_that_are_reported_are_never_asked_for_again(sandbox, clock, ledger_database, monkeypatch):
    monkeypatch.setattr(triggered, "GROUP_VERDICTS", 20)
    sandbox.switch(rate=10)
    wait, settled, asked_again = DeferredWait(Task(), capture(Task(), leads(60), **IN_SQL)), set(), []
    output = wait.start()
    while output is None:
        asked = len(sandbox.polls())
        event = wait.fire()
        asked_again += [poll for poll in sandbox.polls()[asked:] if poll["request_id"] in settled]
        settled |= {request_id for request_id, _, state, *_ in event["requests"] if state == "created"}
        output = wait.resume(event)
    assert len(settled) == 60
    assert asked_again == []


def test_a_trigger_goes_on_with_what_the_one_before_has_learnt(sandbox, clock, ledger_database, monkeypatch):
    monkeypatch.setattr(triggered, "GROUP_VERDICTS", 20)
    sandbox.switch(rate=10)
    wait = DeferredWait(Task(), capture(Task(), leads(60), **IN_SQL))
    wait.run()
    assert [trigger["metadata"].get("poll_plan", {}).get("polls", 0) > 0 for trigger in wait.triggers] == [False, True]


def test_an_event_that_gets_too_large_is_sent_at_once(sandbox, clock, ledger_database, monkeypatch):
    monkeypatch.setattr(triggered, "LARGEST_EVENT", 10)
    sandbox.switch(rate=60)
    wait = DeferredWait(Task(), capture(Task(), leads(40), **IN_SQL))
    assert wait.run()["counts"] == {"read": 40, "created": 40}
    assert len(wait.events) > 1


def test_without_a_ledger_that_lasts_all_verdicts_come_at_the_end(sandbox, clock, monkeypatch):
    monkeypatch.setattr(triggered, "GROUP_VERDICTS", 5)
    sandbox.switch(rate=2)
    wait = DeferredWait(Task(has_store=False), capture(Task(), leads(20)))
    assert wait.run()["counts"] == {"read": 20, "created": 20}
    assert wait.starts == 2


def test_requests_in_a_sql_ledger_are_named_by_its_address_alone(sandbox, clock, ledger_database, monkeypatch):
    monkeypatch.setattr(trigger_messages, "MOST_REQUESTS", 5)
    wait = DeferredWait(Task(), capture(Task(), leads(30), **IN_SQL))
    wait.run()
    assert [trigger["requests"] for trigger in wait.triggers] == [[]]
    assert wait.triggers[0]["ledgers"][0]["ledger_conn_id"] == "ledger"


def test_more_requests_than_arguments_hold_are_refused_with_the_remedy(sandbox, clock, monkeypatch):
    monkeypatch.setattr(trigger_messages, "MOST_REQUESTS", 5)
    with pytest.raises(ValueError, match=r"6 requests are in no SQL ledger, .* 5 at most.*ledger_conn_id"):
        wait_deferred(Task(), capture(Task(), leads(6)))


def test_neither_arguments_nor_events_hold_row_keys(sandbox, clock):
    sandbox.fault("system_errors", count=1, attribute="EmailAddress", value="lead0@example.org")
    wait = DeferredWait(
        Task(), capture(Task(), [{"id": f"private-{n}", "EmailAddress": f"lead{n}@example.org"} for n in range(3)])
    )
    wait.run()
    assert "private" not in json.dumps([wait.triggers, wait.events])
    assert "private" not in repr(wait.trigger)


# --- trouble -------------------------------------------------------------------------------------------------------


async def _run_until_asked(trigger, sandbox, calls):
    """Run a trigger until it has asked so often, then end it as a triggerer does."""

    async def run():
        async with aclosing(trigger.run()) as events:
            await anext(events)

    running = asyncio.create_task(run())
    while len(sandbox.polls()) < calls and not running.done():
        await asyncio.sleep(0.001)
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def test_a_trigger_that_is_ended_half_way_is_started_anew_and_loses_nothing(sandbox, clock, ledger_database):
    sandbox.fault("system_errors", count=2, attribute="EmailAddress", value="lead0@example.org")
    wait = DeferredWait(Task(), capture(Task(), leads(20), **IN_SQL))
    wait.start()
    asyncio.run(_run_until_asked(wait.trigger, sandbox, 5))
    output = wait.resume(wait.fire())
    assert output["counts"] == {"read": 20, "created": 20}
    assert wait.starts == 2


def test_a_trigger_that_is_ended_stops_the_poll_that_is_under_way(sandbox, clock, monkeypatch):
    ended = threading.Event()

    def watched(*arguments, **more):
        try:
            return polling.poll(*arguments, **more)
        finally:
            ended.set()

    monkeypatch.setattr(triggered, "poll", watched)
    wait = DeferredWait(Task(), capture(Task(), leads(400)))
    wait.start()
    asyncio.run(_run_until_asked(wait.trigger, sandbox, 5))
    assert ended.wait(60)
    assert len(sandbox.polls()) < 400


def test_an_outage_of_leadsquared_is_waited_for_in_the_triggerer(sandbox, clock, no_waits):
    sandbox.fault("unavailable", endpoint="status", calls=400)
    wait = DeferredWait(Task(), capture(Task(), leads(3)))
    wait.start()
    clock.before_advance = lambda: sandbox.clear_faults() if clock.now > START + 600 else None
    assert wait.resume(wait.fire())["counts"] == {"read": 3, "created": 3}
    assert wait.starts == 2


def test_keys_that_leadsquared_refuses_fail_the_task_with_the_error_of_the_other_modes(sandbox, clock):
    sandbox.fault("system_errors", count=1, attribute="EmailAddress", value="lead0@example.org")
    receipts, task = capture(Task(), leads(2)), Task()
    wait = DeferredWait(task, receipts)
    wait.start()
    sandbox.fault("keys_revoked", endpoint="status", skip=3)
    with pytest.raises(AuthenticationError):
        wait.resume(wait.fire())
    sandbox.clear_faults()
    asked = len(sandbox.polls())
    assert wait_deferred(task, receipts)["counts"] == {"read": 2, "created": 2}
    assert len(sandbox.polls()) - asked == 1, "the verdict that came before is kept"


def test_a_wrong_connection_is_reported_at_once(sandbox, clock, monkeypatch):
    wait = DeferredWait(Task(), capture(Task(), leads(1)))
    wait.start()
    connect(monkeypatch, sandbox, login="")
    begun = clock.now
    event = wait.fire()
    assert (event["status"], event["error"], clock.now - begun) == ("failed", "ConfigurationError", 0.0)


def test_a_trigger_whose_requests_were_decided_meanwhile_fires_at_once(sandbox, clock, ledger_database):
    receipts = capture(Task(), leads(2), **IN_SQL)
    wait = DeferredWait(Task(), receipts)
    wait.start()
    wait_for(Task(), clock, receipts)
    begun, asked = clock.now, len(sandbox.polls())
    assert wait.resume(wait.fire())["counts"] == {"read": 2, "created": 2}
    assert (clock.now, len(sandbox.polls())) == (begun, asked)


def test_an_error_of_the_triggerer_alone_fails_the_try_by_name(sandbox, clock, monkeypatch):
    sandbox.fault("system_errors", count=5)
    wait = DeferredWait(Task(), capture(Task(), leads(1)))
    wait.start()
    with monkeypatch.context() as changed:
        changed.delenv("AIRFLOW_CONN_LEADSQUARED_DEFAULT")
        event = wait.fire()
    with pytest.raises(TriggerEventError, match=rf"The triggerer could not poll \({event['error']}\)"):
        wait.resume(event)


def test_a_ledger_that_cannot_be_read_for_a_while_is_read_later(sandbox, clock, ledger_database):
    wait = DeferredWait(Task(), capture(Task(), leads(2), **IN_SQL))
    wait.start()
    moved = ledger_database.with_suffix(".away")
    ledger_database.rename(moved)
    ledger_database.mkdir()  # SQLite would make a new file
    waits = []

    def move_back():
        waits.append(clock.now)
        if len(waits) == 3:
            ledger_database.rmdir()
            moved.rename(ledger_database)

    clock.before_advance = move_back
    assert wait.resume(wait.fire())["counts"] == {"read": 2, "created": 2}


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        "polled",
        {"status": "done", "requests": [], "metadata": {}, "now": 0.0, "error": None},
        {"status": "polled", "requests": None, "metadata": {}, "now": 0.0, "error": None},
        {"status": "polled", "requests": [[None, None, "created"]], "metadata": {}, "now": 0.0, "error": None},
        {"status": "polled", "requests": [["r", None, "gone"]], "metadata": {}, "now": 0.0, "error": None},
    ],
)
def test_an_event_that_is_lost_or_unknown_fails_the_try(sandbox, clock, event):
    receipts, task = capture(Task(), leads(1)), Task()
    wait = DeferredWait(task, receipts)
    wait.start()
    with pytest.raises(TriggerEventError, match="retry continues"):
        wait.resume(event)
    assert wait_deferred(task, receipts)["counts"] == {"read": 1, "created": 1}


def test_a_state_that_no_poll_shows_fails_the_try(sandbox, clock):
    wait = DeferredWait(Task(), capture(Task(), leads(1)))
    wait.start()
    event = wait.fire()
    event["requests"][0][2] = "unsent"
    with pytest.raises(TriggerEventError, match="unsent"):
        wait.resume(event)


def test_an_event_about_a_request_with_a_verdict_changes_nothing(sandbox, clock):
    receipts, task = capture(Task(), leads(1)), Task()
    wait = DeferredWait(task, receipts)
    wait.start()
    event = wait.fire()
    wait.resume(event)
    event["requests"][0][2] = "rejected"
    assert wait.resume(event)["counts"] == {"read": 1, "created": 1}
    assert wait.start()["counts"] == {"read": 1, "created": 1}  # read from the ledger anew


# --- a triggerer that is full, or of another version ----------------------------------------------------------------


def test_a_trigger_that_waits_for_a_place_in_a_full_triggerer_costs_no_call_and_changes_no_verdict(sandbox, clock):
    sandbox.fault("reject", attribute="EmailAddress", value="lead0@example.org", exception="MXInvalidInputException")
    wait = DeferredWait(Task(), capture(Task(), leads(20)), allowed_rejects=1)
    wait.start()
    clock.advance(3 * 3_600)
    output = wait.resume(wait.fire())
    assert output["counts"] == {"read": 20, "created": 19, "rejected": 1}
    assert (len(sandbox.polls()), wait.starts) == (20, 2)


def test_a_trigger_that_a_version_without_later_arguments_has_stored_still_runs(sandbox, clock):
    wait = DeferredWait(Task(), capture(Task(), leads(1)))
    wait.start()
    stored = {name: wait.triggers[-1][name] for name in ("leadsquared_conn_id", "timeout", "requests")}
    assert wait.resume(wait.fire(LeadStatusTrigger(**stored)))["counts"] == {"read": 1, "created": 1}


def test_after_an_event_of_another_version_a_retry_asks_for_each_request_once_more_at_most(sandbox, clock):
    receipts, task = capture(Task(), leads(20)), Task()
    wait = DeferredWait(task, receipts)
    wait.start()
    event = wait.fire()
    with pytest.raises(TriggerEventError):
        wait.resume({**event, "status": "settled"})
    assert wait_deferred(task, receipts)["counts"] == {"read": 20, "created": 20}
    assert len(sandbox.polls()) <= 40


def test_what_a_trigger_polls_is_in_the_tasks_log(sandbox, clock, task_log):
    sandbox.fault("system_errors", count=2)
    wait_deferred(Task(), capture(Task(), leads(1)))
    assert "Asked for 1 of 1 requests, 1 are open. Next poll at" in task_log()


# --- the triggerer's event loop ------------------------------------------------------------------------------------


class LoopOnProcessorTime(asyncio.SelectorEventLoop):
    """An event loop whose debug mode measures callbacks by their processor time: the machine may be busy."""

    def time(self):
        return time.thread_time()


def test_no_callback_in_the_event_loop_takes_long(sandbox, clock, ledger_database, caplog):
    wait = DeferredWait(Task(), capture(Task(), leads(400), **IN_SQL))
    wait.start()

    async def run():
        asyncio.get_running_loop().slow_callback_duration = 0.1
        async with aclosing(wait.trigger.run()) as events:
            return (await anext(events)).payload

    with (
        caplog.at_level(logging.WARNING, logger="asyncio"),
        asyncio.Runner(debug=True, loop_factory=LoopOnProcessorTime) as runner,
    ):
        event = runner.run(run())
    assert len(event["requests"]) == 400
    assert [record.getMessage() for record in caplog.records if "took" in record.getMessage()] == []


def test_nothing_that_may_block_is_called_in_the_event_loop(sandbox, clock, ledger_database, monkeypatch):
    called = []

    def watch(where, name):
        act = getattr(where, name)

        def watched(*arguments, **more):
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            called.append(name)
            return act(*arguments, **more)

        monkeypatch.setattr(where, name, watched)

    for where, name in [
        (triggered, "open_requests_of_captures"),
        (triggered, "poll"),
        (triggered.TriggeredWait, "first_wait"),
        (triggered.TriggeredWait, "is_group_due"),
        (triggered.TriggeredWait, "report"),
    ]:
        watch(where, name)
    wait = DeferredWait(Task(), capture(Task(), leads(2), **IN_SQL))
    wait.start()
    assert wait.fire()["status"] == "polled"
    assert set(called) == {"open_requests_of_captures", "poll", "first_wait", "is_group_due", "report"}


def test_no_thread_of_the_triggerer_waits_for_the_first_poll(sandbox, clock, monkeypatch):
    wait = DeferredWait(Task(), capture(Task(), leads(2)))
    wait.start()

    def fail(seconds):
        raise AssertionError

    monkeypatch.setattr("airflow_provider_leadsquared.tasks.planning.sleep", fail)
    assert wait.fire()["status"] == "polled"


# --- where the default comes from ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_default", [True, False])
def test_sensors_defer_by_default_where_airflow_is_set_so(monkeypatch, is_default):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", str(is_default))
    assert LeadStatusSensor(task_id="wait", request_ids="r").deferrable is is_default
    assert LeadStatusSensor(task_id="wait", request_ids="r", deferrable=not is_default).deferrable is not is_default
