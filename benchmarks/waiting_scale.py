"""
What a sensor costs behind 100,000 requests of 100 mapped captures: memory of its process, and CPU a request.

    python -m benchmarks.waiting_scale [--requests 100000] [--captures 100] [--mode reschedule] [--profile]

fills a sandbox in a process of its own with leads that it has accepted and decided, writes their receipts into a SQL
ledger (SQLite) and their outputs into files, as a mapped capture leaves them, and lets a sensor wait for them in
processes of its own: one for each poll, as Airflow starts them, or with ``--mode poke`` one for all. The memory is what
the process has resident, read from outside every few milliseconds; beside it stands what a process has that has only
imported the same. The CPU is that of the sensor's process, all threads, while it asks and records; what each poll
takes to read the outputs and the ledger stands apart. Beside it stands the least that an asyncio client can do: bare
aiohttp that asks for the same requests and parses the responses. Linux only. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: MB that the sensor's process may have resident, and µs of CPU that a request may take.
MOST_MEMORY, MOST_CPU = 200.0, 150.0
#: Seconds between two readings of a process's memory.
_SAMPLED_EVERY = 0.005
#: Calls under way at the same time: as many as the sensor makes.
_CONCURRENCY = 8
_ROOT = Path(__file__).parents[1]
_PAGE = os.sysconf("SC_PAGE_SIZE")
_RUN = {"dag_id": "scale", "run_id": "2026-01-01", "task_id": "capture"}


# --- before: leads, ledger and outputs --------------------------------------------------------------------------------


async def serve_sandbox(folder: Path, count: int) -> None:
    """Run a sandbox that has accepted and decided leads; the files ``request_ids`` and ``port`` say which and where."""
    from airflow_provider_leadsquared.sandbox.account import Account
    from airflow_provider_leadsquared.sandbox.async_apis import ASYNC_APIS, LEAD_CAPTURE
    from airflow_provider_leadsquared.sandbox.clock import Clock
    from airflow_provider_leadsquared.sandbox.queue import PlannedOutcome
    from airflow_provider_leadsquared.sandbox.server import Server
    from airflow_provider_leadsquared.sandbox.settings import Settings

    account = Account(Settings().changed({"rate": 1e9, "queue_delay": 0.0}), [], Clock(1.0))
    bodies = (
        json.dumps([{"Attribute": "EmailAddress", "Value": f"lead{number}@example.org"}]) for number in range(count)
    )
    ids = [account.submit(ASYNC_APIS[LEAD_CAPTURE], body, {}, PlannedOutcome()).id for body in bodies]
    await asyncio.sleep(10)  # so that all are old enough to be asked for
    account.run_due()
    (folder / "request_ids").write_text("\n".join(ids))
    port = await Server(account).start("127.0.0.1", 0)
    (folder / "port").write_text(str(port))
    await asyncio.Event().wait()


def start_sandbox(stack: ExitStack, folder: Path, count: int) -> tuple[str, list[str]]:
    """Start it in a process of its own; return its address and the RequestIds."""
    command = ["-m", "benchmarks.waiting_scale", "--serve", str(folder), "--requests", str(count)]
    process = stack.enter_context(subprocess.Popen([sys.executable, *command], cwd=_ROOT))
    stack.callback(process.terminate)
    port = folder / "port"
    while not port.exists() or not port.read_text():
        if process.poll() is not None:
            raise RuntimeError("the sandbox has ended")
        time.sleep(0.05)
    return f"http://127.0.0.1:{port.read_text()}", (folder / "request_ids").read_text().split()


def connect(url: str, folder: Path) -> None:
    """Define the connections of the sandbox and of the ledger."""
    from airflow_provider_leadsquared.sandbox.settings import Settings

    keys = Settings()
    fields = {
        "conn_type": "leadsquared",
        "host": url,
        "login": keys.access_key,
        "password": keys.secret_key,
        "extra": {"async_api_key": keys.api_key, "sync_host": url},
    }
    os.environ["AIRFLOW_CONN_LEADSQUARED_DEFAULT"] = json.dumps(fields)
    os.environ["AIRFLOW_CONN_LEDGER"] = json.dumps({"conn_type": "sqlite", "host": str(folder / "ledger.db")})


def write_captures(request_ids: Sequence[str], captures: int, folder: Path) -> None:
    """Write the ledger and the outputs of the instances of a mapped capture."""
    import sqlite3

    import pendulum

    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.delivery.states import State
    from airflow_provider_leadsquared.ledgers.column_values import digest
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.ledgers.sql import SqlLedger

    database = Database(lambda: sqlite3.connect(folder / "ledger.db"), table="leadsquared_ledger")
    each, accepted = -(-len(request_ids) // captures), time.time() - 10.0
    for number in range(captures):
        run = RunOfTask(**_RUN, map_index=number)
        entries = [
            Entry(row, State.OPEN, f"key-{number}-{row}", digest(number, row), 0, request_id, accepted, attempts=1)
            for row, request_id in enumerate(request_ids[number * each : (number + 1) * each])
        ]
        SqlLedger(database, run=run, clock=time.time).write(entries)
        accepted_at = pendulum.from_timestamp(accepted).isoformat(timespec="milliseconds")
        receipts = [
            {
                "row": entry.row + 1,
                "row_key": entry.row_key,
                "api": entry.api,
                "request_id": entry.request_id,
                "accepted_at": accepted_at,
            }
            for entry in entries
        ]
        address = {"ledger_conn_id": "ledger", "ledger_table": "leadsquared_ledger", **_RUN, "map_index": number}
        output = {"counts": {"read": len(entries), "open": len(entries)}, "receipts": receipts, "ledger": address}
        (folder / f"output-{number}.json").write_text(json.dumps(output))


async def ask_barely(url: str, request_ids: Sequence[str]) -> float:
    """Ask for requests by aiohttp alone, and return the µs of CPU that each takes."""
    import aiohttp

    from airflow_provider_leadsquared.sandbox.settings import Settings

    headers = {"x-api-key": Settings().api_key}
    left = iter(request_ids)

    async def work(session: aiohttp.ClientSession) -> None:
        for request_id in left:
            async with session.get(f"{url}/lead/status?RequestID={request_id}", headers=headers) as response:
                json.loads(json.loads(await response.read())["TaskStatus"]["Message"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONCURRENCY)) as session:
        began = time.process_time()
        await asyncio.gather(*[work(session) for _ in range(_CONCURRENCY)])
        return (time.process_time() - began) / len(request_ids) * 1e6


# --- the sensor, in a process of its own ------------------------------------------------------------------------------


class Outputs(Sequence[Any]):
    """What Airflow hands a task behind a mapped one: each output is fetched when it is read."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("output-*.json"), key=lambda file: int(file.stem.partition("-")[2]))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: Any) -> Any:
        return json.loads(self._files[number].read_text())

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))


def run_sensor(folder: Path, mode: str, *, profiled: bool) -> None:
    """Run one process of the sensor; the file ``ends`` gets what it has measured."""
    import airflow.sdk.execution_time.task_runner  # noqa: F401 - every task's process has it
    from airflow.exceptions import AirflowRescheduleException
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook  # noqa: F401 - as a worker's process would

    from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
    from airflow_provider_leadsquared.tasks import polling

    run, asking = polling._Poll.run, 0.0  # from the first call to the last verdict that is written

    def timed(poll: Any) -> Any:
        nonlocal asking
        began = time.process_time()
        result = run(poll)
        asking += time.process_time() - began
        return result

    polling._Poll.run = timed  # type: ignore[method-assign, assignment]  # no way in from outside
    instance: Any = SimpleNamespace(
        dag_id="scale",
        run_id="2026-01-01",
        task_id="wait",
        map_index=-1,
        xcom_push=lambda **_: None,
        get_first_reschedule_date=lambda _: None,
    )
    sensor = LeadStatusSensor(task_id="wait", request_ids=Outputs(folder), mode=mode, poke_interval=10)
    (folder / "begins").touch()
    sys.stdin.read()
    began, wait = time.process_time(), 0.0
    profile = cProfile.Profile()
    if profiled:
        profile.enable()
    try:
        counts = sensor.execute({"ti": instance})["counts"]
    except AirflowRescheduleException:
        counts, wait = None, sensor.poke_interval
    cpu = time.process_time() - began
    profile.disable()
    if profiled:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(75)
    measured = {"cpu": cpu, "asking": asking, "counts": counts, "wait": wait}
    (folder / "ends").write_text(json.dumps(measured))


def measure_process(folder: Path, mode: str, *, profiled: bool) -> dict[str, Any]:
    """Run one process of the sensor and return what it says, with its memory in MB before and at the most."""
    command = [sys.executable, "-m", "benchmarks.waiting_scale", "--inside", str(folder), "--mode", mode]
    begins, ends = folder / "begins", folder / "ends"
    with subprocess.Popen(
        [*command, *(["--profile"] if profiled else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=_ROOT,
    ) as process:
        while not begins.exists() and process.poll() is None:
            time.sleep(_SAMPLED_EVERY)
        begins.unlink()
        bare = most = _resident(process.pid)
        if process.stdin is not None:
            process.stdin.close()  # lets it go on
        while process.poll() is None:
            most = max(most, _resident(process.pid))
            time.sleep(_SAMPLED_EVERY)
    if process.returncode:
        raise RuntimeError("the sensor's process has failed")
    return {**json.loads(ends.read_text()), "bare": bare, "most": most}


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
    except (OSError, IndexError):  # it ends just now
        return 0.0


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000, help="requests to wait for (default %(default)s)")
    parser.add_argument("--captures", type=int, default=100, help="instances of the capture (default %(default)s)")
    parser.add_argument("--mode", choices=["reschedule", "poke"], default="reschedule", help="the sensor's mode")
    parser.add_argument("--profile", action="store_true", help="print where the time of the sensor goes as well")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve_sandbox(given.serve, given.requests))
    if given.inside:
        run_sensor(given.inside, given.mode, profiled=given.profile)
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waiting-scale-")))
        os.environ["AIRFLOW_HOME"] = str(folder)
        url, request_ids = start_sandbox(stack, folder, given.requests)
        connect(url, folder)
        write_captures(request_ids, given.captures, folder)
        barely = asyncio.run(ask_barely(url, request_ids[:20_000]))
        polls: list[dict[str, Any]] = []
        while not polls or polls[-1]["counts"] is None:
            time.sleep(polls[-1]["wait"] if polls else 0.0)
            polls.append(measure_process(folder, given.mode, profiled=given.profile))
            print(f"{'':4}{polls[-1]}", file=sys.stderr)
    cpu = sum(one["asking"] for one in polls) / given.requests * 1e6
    reading = sum(one["cpu"] - one["asking"] for one in polls) / len(polls)
    most = max(one["most"] for one in polls)
    print(f"{given.requests:,} requests of {given.captures} captures, mode {given.mode}, {len(polls)} processes")
    print(f"counts: {polls[-1]['counts']}")
    print(f"memory: {most:.0f} MB at the most (goal: {MOST_MEMORY:.0f}), {polls[0]['bare']:.0f} MB before the poll")
    print(f"CPU:    {cpu:.0f} µs a request to ask and record (goal: {MOST_CPU:.0f}); bare aiohttp takes {barely:.0f}")
    print(f"        {reading:.1f} s a poll to read outputs and ledger")
    return int(most > MOST_MEMORY or cpu > MOST_CPU)


if __name__ == "__main__":
    sys.exit(main())
