"""
Tasks, supervisors, scheduler and API server killed under a real Airflow: nothing is lost, nothing doubled.

The sandbox's own record is the judge: who was posted when, what the CRM stores, and which request belongs to which
call. The ledger is read in full, with all that earlier tries have written into it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

import airflow as installed_airflow
import psutil
import pytest
from packaging.version import Version

from airflow_provider_leadsquared.sandbox import Sandbox
from local_airflow import LocalAirflow

CONCURRENCY = 8
#: Calls under way or not yet taken up, and one group of receipts not yet written: what a crash may leave in doubt.
SENT_AGAIN_AT_MOST = 2 * CONCURRENCY + 200
#: Seconds that a call takes: some 30 leads a second, so that there is time to kill something.
SLOW = 0.25
REQUESTS = 360
LEADS = {"killed": 300, "marked": 160, "resent": 24, "no_api": 160, "no_scheduler": 160, "orphan": 160}
LEADS |= {"frozen": 200, "widowed": 200}

pytestmark = pytest.mark.skipif(
    Version(installed_airflow.__version__) < Version("3.3"),
    reason="the ledger of these captures is the task state store",
)

DAGS = f"""
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

AGAIN = {{"retries": 5, "retry_delay": timedelta(seconds=1)}}

for name, number in {LEADS!r}.items():
    with DAG(name, schedule=None, default_args={{}} if name == "marked" else AGAIN):
        LeadCaptureOperator(
            task_id="capture",
            leads=[{{"id": row, "EmailAddress": f"{{name}}-{{row}}@example.org"}} for row in range(1, number + 1)],
            row_key="id",
            concurrency={CONCURRENCY},
            on_clear="resend" if name == "resent" else "resume",
        )

with DAG("looking", schedule=None, default_args=AGAIN, render_template_as_native_obj=True):
    LeadStatusSensor(task_id="wait", request_ids="{{{{ dag_run.conf['receipts'] }}}}")
"""

#: What is gone is noticed in seconds instead of minutes.
IMPATIENT = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "20",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "1.5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}

#: Neither a proxy stands between us and loopback, nor is a query logged.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "kills.py").write_text(DAGS)
    env = IMPATIENT | {"AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(sandbox.airflow_connection())}
    with LocalAirflow(dags, dag_ids=[*LEADS, "looking"], env=env) as airflow:
        yield airflow


def slow_down(sandbox: Sandbox, seconds: float, endpoint: str = "capture") -> None:
    """Let each call take so long, and no other kind of call."""
    sandbox.clear_faults()
    sandbox.fault("slow", endpoint=endpoint, seconds=seconds)


@pytest.fixture(autouse=True)
def _pace(sandbox: Sandbox) -> None:
    slow_down(sandbox, SLOW)


class Capture:
    """A run of one of the DAGs above, seen from Airflow's side and from the CRM's."""

    def __init__(self, airflow: LocalAirflow, sandbox: Sandbox, dag_id: str) -> None:
        self.airflow, self.sandbox, self.dag_id = airflow, sandbox, dag_id
        self.rows = {str(row) for row in range(1, LEADS[dag_id] + 1)}
        self.run_id = airflow.trigger(dag_id)

    @property
    def task(self) -> dict[str, Any]:
        return task_instance(self.airflow, self.dag_id, self.run_id, "capture")

    def process(self, *, after_try: int = 0) -> psutil.Process:
        """The task's process, once a try after the given one is running."""
        return eventually(lambda: task_process(self.task, after_try))

    def posts(self) -> list[dict[str, Any]]:
        """This run's calls in the order in which they came in, each with its row."""
        found = []
        for post in self.sandbox.posts():
            name, _, row = ((post["lead"] or {}).get("EmailAddress") or "").partition("@")[0].rpartition("-")
            if name == self.dag_id:
                found.append(post | {"row": row})
        return found

    def sent(self) -> list[str]:
        """The rows that were posted, once for each time."""
        return [post["row"] for post in self.posts()]

    def until_sent(self, number: int) -> None:
        """Wait until so many calls have come in."""
        eventually(lambda: len(self.sent()) >= number)

    def ledger(self) -> list[list[Any]]:
        """All lines that any try has ever written into the ledger: row, state, key, fingerprint, copy, RequestId, …"""
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/capture/state-store"
        lines: list[list[Any]] = []
        seen, total = 0, 1
        while seen < total:
            page = self.airflow.api("GET", path, params={"limit": 100, "offset": seen})
            for entry in page["task_state_store"]:
                lines += entry["value"] if entry["key"] != "ledger/metadata" else []
            seen, total = seen + max(len(page["task_state_store"]), 1), page["total_entries"]
        return lines

    def log(self, try_number: int | None = None) -> str:
        return self.airflow.task_log(self.dag_id, self.run_id, "capture", try_number=try_number)

    def wait(self, timeout: float = 90) -> None:
        """Wait until the run has ended, green."""
        assert self.airflow.wait(self.dag_id, self.run_id, timeout) == "success", self.log()

    def check(self, *, unsteady: int = 0) -> None:
        """
        Compare Airflow's word with the CRM's: every row there once, one receipt for each, counts exact.

        :param unsteady: calls that another try may have had under way after a row's receipt was written
        """
        eventually(lambda: len(self._stored()) >= len(self.rows))
        assert Counter(self._stored()) == Counter(self.rows)
        output = self.airflow.xcom(self.dag_id, self.run_id, "capture")
        assert output["counts"] == {"read": len(self.rows), "open": len(self.rows)}
        assert output["set_aside"] == []
        receipts = {receipt["row_key"]: receipt["request_id"] for receipt in output["receipts"]}
        assert len(output["receipts"]) == len(receipts) == len(self.rows) == len(set(receipts.values()))
        posts = self.posts()
        asked = {post["request_id"]: post["row"] for post in posts}
        assert {key: asked[request_id] for key, request_id in receipts.items()} == {row: row for row in self.rows}
        # No try has ever sent a row that had a receipt in the ledger: each has one, and it is that of its last call.
        written = {(line[2], line[5]) for line in self.ledger() if line[1] == "open"}
        assert written == set(receipts.items())
        last = {post["row"]: post["request_id"] for post in posts}
        assert sum(last[row] != receipts[row] for row in self.rows) <= unsteady

    def _stored(self) -> list[str]:
        names = (lead["values"].get("EmailAddress", "").partition("@")[0].rpartition("-") for lead in self._leads())
        return [row for name, _, row in names if name == self.dag_id]

    def _leads(self) -> list[dict[str, Any]]:
        return self.sandbox.leads()


def eventually(look: Callable[[], Any], timeout: float = 60) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)
    return found


def task_instance(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    return dict(airflow.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"))


def task_process(task: dict[str, Any], after_try: int = 0) -> psutil.Process | None:
    """The process in which a task runs: Airflow tells its number, and it must be one of our own."""
    if task["state"] != "running" or task["try_number"] <= after_try or not task["pid"]:
        return None
    ours = {process.pid: process for process in psutil.Process().children(recursive=True)}
    return ours.get(task["pid"])


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def again(sent: list[str], crash: int, until: int | None = None) -> int:
    """How many rows that had been posted before a crash were posted again after it."""
    return len(set(sent[:crash]) & set(sent[crash:until]))


def submit(sandbox: Sandbox, number: int) -> list[dict[str, Any]]:
    """Submit leads without Airflow, and return their receipts."""
    keys = urllib.parse.urlencode({"accessKey": sandbox.access_key, "secretKey": sandbox.secret_key})
    headers = {"x-api-key": sandbox.api_key, "Content-Type": "application/json"}
    receipts = []
    for row in range(1, number + 1):
        lead = [{"Attribute": "EmailAddress", "Value": f"look-{time.monotonic_ns()}@example.org"}]
        url, body = f"{sandbox.url}/lead/capture?{keys}", json.dumps(lead).encode()
        with _OPENER.open(urllib.request.Request(url, body, headers), timeout=30) as answer:  # noqa: S310 - loopback
            receipts.append({"row": row, "api": "lead_capture", "request_id": json.load(answer)["RequestID"]})
    return receipts


def accepted(receipts: list[dict[str, Any]], seconds_ago: float) -> dict[str, Any]:
    """A capture's output as a run's conf."""
    moment = datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat()
    return {"receipts": [receipt | {"accepted_at": moment} for receipt in receipts]}


def test_a_capture_killed_three_times_sends_only_what_is_in_doubt(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    capture = Capture(airflow, sandbox, "killed")
    crashes: list[int] = []
    for fresh in (1, 70, 100):  # rows sent by this try: right at its start, and well under way
        process = capture.process(after_try=len(crashes))
        capture.until_sent((crashes[-1] if crashes else 0) + fresh)
        process.kill()
        eventually(partial(is_gone, process))
        crashes.append(len(capture.sent()))
    capture.wait()
    capture.check()
    assert capture.task["try_number"] >= 4
    sent = capture.sent()
    repeats = [again(sent, crash, until) for crash, until in pairwise([*crashes, len(sent)])]
    print(f"crashes after {crashes} calls; rows sent again after each: {repeats}")
    assert max(repeats) <= SENT_AGAIN_AT_MOST


def test_a_capture_marked_failed_stops_and_goes_on_when_cleared(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """Airflow asks the task to stop at its next heartbeat; what it has heard by then is still written down."""
    capture = Capture(airflow, sandbox, "marked")
    process = capture.process()
    capture.until_sent(40)
    slow_down(sandbox, 4 * SLOW)  # so that it cannot end by itself before it is told
    path = f"dags/marked/dagRuns/{capture.run_id}/taskInstances/capture"
    airflow.api("PATCH", path, json={"new_state": "failed"})
    asked, marked = time.monotonic(), len(capture.sent())
    eventually(lambda: is_gone(process), timeout=30)
    took, stopped = time.monotonic() - asked, len(capture.sent())
    assert airflow.wait("marked", capture.run_id, timeout=60) == "failed"
    assert len(capture.sent()) == stopped < len(capture.rows)
    slow_down(sandbox, SLOW)
    clear(airflow, "marked", capture.run_id)
    capture.wait()
    capture.check()
    assert "on_clear is 'resume'" in capture.log()
    repeats = again(capture.sent(), stopped)
    print(f"stopped {took:.1f} s and {stopped - marked} calls after the mark; sent again after the clear: {repeats}")
    assert repeats <= 4 * CONCURRENCY


def test_a_cleared_capture_can_send_all_again(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    capture = Capture(airflow, sandbox, "resent")
    capture.wait()
    assert Counter(capture.sent()) == Counter(capture.rows)
    clear(airflow, "resent", capture.run_id)
    capture.wait()
    assert Counter(capture.sent()) == Counter(2 * list(capture.rows))
    assert "on_clear is 'resend'" in capture.log()
    assert Counter(capture._stored()) == Counter(capture.rows)
    receipts = airflow.xcom("resent", capture.run_id, "capture")["receipts"]
    first = {post["request_id"] for post in capture.posts()[: len(capture.rows)]}
    assert len(receipts) == len(capture.rows)
    assert first.isdisjoint(receipt["request_id"] for receipt in receipts)


def test_a_sensor_killed_in_a_look_asks_no_settled_request_again(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    slow_down(sandbox, 2 * SLOW, "status")  # longer than verdicts wait until they are written
    receipts = submit(sandbox, REQUESTS)
    ours = {receipt["request_id"] for receipt in receipts}
    run_id = airflow.trigger("looking", conf=accepted(receipts, seconds_ago=60))

    def look() -> dict[str, Any]:
        return task_instance(airflow, "looking", run_id, "wait")

    def asked() -> list[str]:
        return [look["request_id"] for look in sandbox.polls() if look["request_id"] in ours]

    def settled() -> set[str]:
        path = f"dags/looking/dagRuns/{run_id}/taskInstances/wait/state-store"
        entries = airflow.api("GET", path, params={"limit": 100})["task_state_store"]
        lines = [line for entry in entries if entry["key"] != "ledger/metadata" for line in entry["value"]]
        return {line[5] for line in lines if line[1] in ("created", "updated")}

    process = eventually(lambda: task_process(look()))
    eventually(settled)  # verdicts are written in groups; kill it with one written and more to come
    process.kill()
    eventually(lambda: is_gone(process))
    before = asked()
    assert len(before) < REQUESTS, "killed too late"
    known = settled()
    assert airflow.wait("looking", run_id, timeout=90) == "success"
    after = asked()[len(before) :]
    repeats = again(asked(), len(before))
    print(f"killed after {len(before)} questions with {len(known)} verdicts written; asked again: {repeats}")
    assert known
    assert known.isdisjoint(after)
    assert Counter(after) == Counter(ours - known)
    assert look()["try_number"] == 2
    assert airflow.xcom("looking", run_id, "wait")["counts"] == {"read": REQUESTS, "created": REQUESTS}


def test_an_api_server_that_is_gone_for_a_while_holds_a_capture_up(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """Without it nothing can be written down, so nothing more is sent."""
    capture = Capture(airflow, sandbox, "no_api")
    capture.process()
    capture.until_sent(40)
    before = len(capture.sent())
    began = time.monotonic()
    airflow.restart("api-server", family=True)
    took, meanwhile = time.monotonic() - began, len(capture.sent()) - before
    capture.wait()
    capture.check()
    print(
        f"API server away for {took:.1f} s, {meanwhile} calls meanwhile; tries: {capture.task['try_number']}, "
        f"sent again: {again(capture.sent(), before)}"
    )
    assert len(capture.sent()) - len(capture.rows) <= SENT_AGAIN_AT_MOST


def test_a_scheduler_killed_with_all_its_tasks(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """The capture's process is gone as well, and is replaced; a sensor that sleeps has nothing to lose."""
    capture = Capture(airflow, sandbox, "no_scheduler")
    process = capture.process()
    capture.until_sent(30)
    slow_down(sandbox, 8 * SLOW)  # so that it is still at it when the sensor sleeps
    # Decided after ten seconds, and shown as waiting twice: the sensor has to sleep, however late it begins.
    troubles = sandbox.fault("system_errors", count=3), sandbox.fault("flap", statuses=["In-Queue"], polls=2)
    receipts = submit(sandbox, 3)
    for trouble in troubles:
        sandbox.clear_faults(trouble)
    ours = {receipt["request_id"] for receipt in receipts}
    sleeping = airflow.trigger("looking", conf=accepted(receipts, seconds_ago=0))
    eventually(lambda: task_instance(airflow, "looking", sleeping, "wait")["state"] == "up_for_reschedule")
    assert not is_gone(process), "the capture has ended too early"
    airflow.restart("scheduler", family=True)
    assert is_gone(process)
    slow_down(sandbox, SLOW)
    crash = len(capture.sent())
    capture.wait()
    assert airflow.wait("looking", sleeping, timeout=90) == "success"
    capture.check()
    assert capture.task["try_number"] >= 2
    judged = [look for look in sandbox.polls() if look["request_id"] in ours and look["status"] == "Success"]
    assert Counter(look["request_id"] for look in judged) == Counter(ours)
    repeats = again(capture.sent(), crash)
    print(f"killed after {crash} calls; sent again: {repeats}")
    assert repeats <= SENT_AGAIN_AT_MOST


def test_a_task_that_outlives_its_scheduler(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """
    Only the scheduler dies; its workers live on, and the task goes on sending until it is told to stop.

    To the next scheduler the task is an orphan: it takes the try for lost and starts another. From that moment on the
    ledger refuses what the orphan writes, and its supervisor learns at the next heartbeat that it is to end it; with
    a heartbeat each second that is before the next try sends.
    """
    capture = Capture(airflow, sandbox, "orphan")
    process = capture.process()
    capture.until_sent(20)
    slow_down(sandbox, 8 * SLOW)  # so that it lasts until it has been given up
    airflow.restart("scheduler")
    orphaned = len(capture.sent())
    capture.process(after_try=1)
    slow_down(sandbox, SLOW)
    eventually(lambda: is_gone(process))
    capture.wait()
    capture.check(unsteady=2 * CONCURRENCY)
    ends = ("LedgerTakenError", "the task shouldn't be running anymore")
    print("what its log names:", [end for end in ends if end in capture.log(1)])
    assert any(end in capture.log(1) for end in ends)
    assert capture.task["try_number"] >= 2
    beyond = len(capture.sent()) - len(capture.rows)
    print(f"sent without a scheduler: {orphaned - 20}; calls beyond one for each row: {beyond}")
    assert beyond <= SENT_AGAIN_AT_MOST


def test_tasks_that_wake_up_beside_their_retries(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """
    Two tasks stop as on a suspended machine, Airflow gives them up, and they wake while their retries send.

    One wakes with its supervisor, which learns at its next heartbeat that the try is over and ends the task. The
    other's supervisor is dead, so that nobody ends it: it cannot write down what it hears, sends nothing more while it
    tries to, and fails a quarter of a minute later. Until they meet the ledger, both send as many rows as may be under
    way or not yet taken up, and no more; the CRM finds these leads by their match key.
    """
    frozen, widowed = (Capture(airflow, sandbox, name) for name in ("frozen", "widowed"))
    stopped: dict[str, list[psutil.Process]] = {}
    crash: dict[str, int] = {}
    try:
        for capture in (frozen, widowed):
            task = capture.process()
            supervisor = psutil.Process(task.ppid())
            capture.until_sent(40)
            stopped[capture.dag_id] = [task, supervisor]
            if capture is frozen:
                supervisor.send_signal(signal.SIGSTOP)
            else:
                supervisor.kill()
                # A process group that is stopped when it loses its parent is hung up by the kernel.
                eventually(partial(is_gone, supervisor))
            task.send_signal(signal.SIGSTOP)
            crash[capture.dag_id] = len(capture.sent())
        for capture in (frozen, widowed):
            capture.process(after_try=1)
            capture.until_sent(crash[capture.dag_id] + 20)
        assert not any(is_gone(task) for task, _ in stopped.values())
    finally:
        for each in (process for family in stopped.values() for process in family):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)
    for capture in (frozen, widowed):
        eventually(partial(is_gone, stopped[capture.dag_id][0]))
        capture.wait()
        capture.check(unsteady=2 * CONCURRENCY)
        sent = capture.sent()
        since = sent[crash[capture.dag_id] :]
        beside = len(since) - len(set(since))
        repeats = again(sent, crash[capture.dag_id])
        print(f"{capture.dag_id}: sent again by the retry {repeats}, beside the retry {beside}")
        assert repeats <= SENT_AGAIN_AT_MOST
        assert beside <= 2 * CONCURRENCY


def clear(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    """Do what a person's click on "Clear" does, and wait until the run has begun again."""
    body = {"dag_run_id": run_id, "task_ids": ["capture"], "dry_run": False, "only_failed": False}
    airflow.api("POST", f"dags/{dag_id}/clearTaskInstances", json=body)
