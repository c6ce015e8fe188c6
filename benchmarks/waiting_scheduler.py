"""
The sensor under Airflow's real scheduler: how late its polls are, and what a wait costs, in each of its modes.

    python -m benchmarks.waiting_scheduler [--leads 60] [--rate 120] [--waits 4] [--mode deferred]

starts an Airflow and a sandbox on this machine, measures Airflow when it is idle, and then lets several sensors at a
time wait for requests that the sandbox works off at its rate: rescheduled, poking, deferred. For each poll the log says
when the next one is to come; the sandbox knows when it came. CPU is that of all of Airflow's processes (API server,
scheduler, DAG processor, triggerer, tasks), less what they take when idle in as many seconds. The sandbox runs in this
process, which is not counted. Takes about 8 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_leadsquared.sandbox import Sandbox
from local_airflow import LocalAirflow

MODES = ("reschedule", "poke", "deferred")
#: Seconds for which the idle Airflow is measured.
_IDLE_SECONDS = 60.0
_NEXT_POLL = re.compile(r"Next poll at (\S+), in")

DAGS = """
from airflow.sdk import DAG
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

for mode in {modes}:
    with DAG(f"wait_{{mode}}", schedule=None, max_active_tasks=32, render_template_as_native_obj=True):
        for number in range({waits}):
            LeadStatusSensor(
                task_id=f"wait_{{number}}",
                request_ids="{{{{ dag_run.conf['receipts'][%d] }}}}" % number,
                ledger_conn_id="ledger",
                **({{"deferrable": True}} if mode == "deferred" else {{"mode": mode, "deferrable": False}}),
            )
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """
    What the waits of one mode have shown.

    :param seconds: How long each took.
    :param cpu: CPU-seconds of Airflow for each.
    :param late: Seconds by which each poll came later than the one before had asked for.
    :param polls: How many polls each made.
    """

    seconds: float
    cpu: float
    late: list[float]
    polls: float

    def line(self, mode: str) -> str:
        """Return the row of the table."""
        late = sorted(self.late)
        shown = [f"{value:.1f} s" for value in (statistics.median(late), late[int(len(late) * 0.9)], late[-1])]
        return f"| {mode} | {self.polls:.1f} | {' | '.join(shown)} | {self.seconds:.0f} s | {self.cpu:.1f} |"


def cpu_of_airflow() -> float:
    """Return the CPU-seconds of all processes below this one, those included that have ended."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


async def send(count: int) -> list[dict[str, Any]]:
    """Send leads and return their receipts, as a capture returns them."""
    from airflow_provider_leadsquared.api.leads import encode_lead
    from airflow_provider_leadsquared.api.responses import Receipt
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

    async def payloads() -> AsyncIterator[tuple[int, Any]]:
        for number in range(count):
            yield number, encode_lead({"EmailAddress": f"lead{number}-{time.time_ns()}@example.org"})

    receipts = []
    async for number, outcome in LeadSquaredHook().submit_many(payloads()):
        if not isinstance(outcome, Receipt):
            raise outcome
        accepted_at = datetime.fromtimestamp(outcome.server_time or time.time()).astimezone().isoformat()
        receipts.append(
            {"row": number + 1, "api": "lead_capture", "request_id": outcome.request_id, "accepted_at": accepted_at}
        )
    return receipts


def wait_in(mode: str, airflow: LocalAirflow, sandbox: Sandbox, *, leads: int, waits: int, idle: float) -> Measured:
    """Let sensors wait in a mode."""
    asked_before = len(sandbox.polls())
    receipts = [asyncio.run(send(leads)) for _ in range(waits)]
    began, began_cpu = time.monotonic(), cpu_of_airflow()
    run = airflow.trigger(f"wait_{mode}", {"receipts": receipts})
    state = airflow.wait(f"wait_{mode}", run, timeout=1_200, interval=2.0)
    seconds = time.monotonic() - began
    cpu = cpu_of_airflow() - began_cpu - idle * seconds
    if state != "success":
        log = airflow.task_log(f"wait_{mode}", run, "wait_0")
        raise RuntimeError(f"the sensors in mode {mode} ended as {state}; the log of the first:\n{log[-3_000:]}")
    calls = sandbox.polls()[asked_before:]
    late: list[float] = []
    polls = 0
    for number, batch in enumerate(receipts):
        ids = {receipt["request_id"] for receipt in batch}
        made = first_calls([call["at_real"] for call in calls if call["request_id"] in ids])
        log = airflow.task_log(f"wait_{mode}", run, f"wait_{number}")
        asked = sorted({datetime.fromisoformat(at).timestamp() for at in _NEXT_POLL.findall(log)})
        polls += len(made)
        # A poll that finds nothing to ask for makes no call: then the next one counts for the later of the two.
        for at in asked:
            following = [call for call in made if call >= at - 1.0]
            if following and not any(at < other <= following[0] for other in asked):
                late.append(following[0] - at)
    return Measured(seconds, cpu / waits, late, polls / waits)


def first_calls(times: list[float]) -> list[float]:
    """Return when each poll began, for polls are 10 s apart and the calls of one are not."""
    first: list[float] = []
    last = float("-inf")
    for at in sorted(times):
        if at - last > 5.0:
            first.append(at)
        last = at
    return first


def main() -> None:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--leads", type=int, default=60, help="leads that each sensor waits for (default %(default)s)")
    parser.add_argument("--rate", type=float, default=120.0, help="leads worked off in a minute (default %(default)s)")
    parser.add_argument("--waits", type=int, default=4, help="sensors at a time (default %(default)s)")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this mode; may be given again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waiting-scheduler-") as folder, Sandbox(rate=given.rate) as sandbox:
        dags = Path(folder, "dags")
        dags.mkdir()
        (dags / "waits.py").write_text(DAGS.format(modes=MODES, waits=given.waits))
        connections = {
            "AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(sandbox.airflow_connection()),
            "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(Path(folder, "ledger.db"))}),
        }
        os.environ |= connections
        dag_ids = [f"wait_{mode}" for mode in MODES]
        with LocalAirflow(dags, dag_ids=dag_ids, env=connections, has_triggerer=True, start_timeout=300) as airflow:
            time.sleep(20)  # until all has calmed down
            before = cpu_of_airflow()
            time.sleep(_IDLE_SECONDS)
            idle = (cpu_of_airflow() - before) / _IDLE_SECONDS
            print(f"Airflow when idle: {idle:.2f} CPU-seconds a second\n")
            print("| mode | polls a wait | late: median | p90 | most | a wait | CPU-seconds a wait |")
            print("|---|---|---|---|---|---|---|")
            for mode in given.mode or MODES:
                measured = wait_in(mode, airflow, sandbox, leads=given.leads, waits=given.waits, idle=idle)
                print(measured.line(mode), flush=True)


if __name__ == "__main__":
    main()
