"""
What sending a lead costs the client: leads per second and CPU per lead, from bare aiohttp to a capture with a ledger.

Each round submits the same leads in each way, in turn, to a small server in a process of its own that accepts whatever
comes; the figures are medians, the shares are of bare aiohttp's leads per CPU-second in the same round. The CPU is that
of the client's process with all its threads, and wrk's; Postgres' own work is not in it. Beside the package's own ways
stand those of ``sending_others.py``, as far as they are installed; of the slow ones fewer leads are sent.

    python -m benchmarks.sending [--leads 5000] [--rounds 5] [--concurrency 16] [--way capture] [--profile] [--write]
    python -m benchmarks.sending --latency 50 --latency 150 [--rounds 2] [--way capture] [--write]

The first exits with 1 if a goal is missed: the hook's submit_many 90 %, a capture without ledger 60 %, with SQLite
50 %, with Postgres 40 % of bare aiohttp's leads per CPU-second. The second lets the server respond after so many
milliseconds and asks whether anything keeps calls from being under way: it exits with 1 if a capture sends less than
95 % of concurrency / latency, with 16 and 64 calls at a time. Each submits leads for 9 seconds, others for 3: to begin
takes a tenth of a second. Bare aiohttp beside them shows what the machine can do. ``--write`` writes the table into
``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks import page
from benchmarks.processes import quiet_airflow
from benchmarks.sending_others import BARE, Sender, present

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.payloads import Payload

#: Least share of bare aiohttp's leads per CPU-second.
GOALS = {"submit_many": 0.9, "capture": 0.6, "capture, SQLite": 0.5, "capture, Postgres": 0.4}
#: Least share of concurrency / latency.
PACE_GOAL = 0.95
#: Calls at a time, and seconds of each measurement, where latency is measured; of others fewer.
CONCURRENCIES, SECONDS, SECONDS_OF_OTHERS = (16, 64), 9.0, 3.0
#: How many times more leads the others send that are fast than those that are slow.
_SLOW = {"requests.Session": 4, "32 threads": 4, "requests.post": 4, "httpx": 2, "HttpOperator": 10}

#: Accepts every submission, so many seconds later; a process of its own, so that its CPU is not the client's.
SERVER = """
import asyncio, itertools, os, sys

latency = float(sys.argv[1])

class Accepting(asyncio.Protocol):
    numbers = itertools.count()

    def connection_made(self, transport):
        self.transport, self.received = transport, b""

    def data_received(self, data):
        self.received += data
        while b"\\r\\n\\r\\n" in self.received:
            head, _, rest = self.received.partition(b"\\r\\n\\r\\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0] or 0)
            if len(rest) < length:
                return
            self.received = rest[length:]
            id = f"{os.getpid():08x}-0000-4000-8000-{next(self.numbers):012x}"
            body = f'{{"Status":"Request accepted","RequestID":"{id}"}}'.encode()
            if head.startswith(b"GET"):  # for the account's lead fields
                body = b"[]"
            response = (
                b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nDate: Sun, 01 Mar 2026 00:00:00 GMT\\r\\n"
                b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body)
            )
            if latency:
                asyncio.get_running_loop().call_later(latency, self.transport.write, response)
            else:
                self.transport.write(response)

async def serve():
    server = await asyncio.get_running_loop().create_server(Accepting, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(serve())
"""


@dataclass(frozen=True, slots=True)
class Way:
    """
    A way of sending.

    :param prepare: Takes leads and how many calls to make at a time; returns what sends them and says how many it sent.
    :param calls: The calls that it makes at a time; None: as many as it is asked to.
    """

    prepare: Callable[[list[dict[str, Any]], int], Callable[[], int]]
    calls: int | None = None


def connect(stack: ExitStack, latency: float = 0.0) -> str:
    """Start a server that takes so many seconds, point Airflow's default connection at it, and return its address."""
    command = [sys.executable, "-c", SERVER, str(latency)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    url = f"http://127.0.0.1:{int(process.stdout.readline() if process.stdout else '')}"
    extra = {"async_api_key": "k" * 40, "sync_host": url}
    fields = {"conn_type": "leadsquared", "host": url, "login": "u" * 34, "password": "s" * 40, "extra": extra}
    os.environ["AIRFLOW_CONN_LEADSQUARED_DEFAULT"] = json.dumps(fields)
    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps({"conn_type": "http", "host": url})
    return url


def submit_many() -> Way:
    """Return the hook's own call for many records, without a batch or ledger."""
    from airflow_provider_leadsquared.api.responses import Receipt
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

    async def run(payloads: list[Payload], concurrency: int) -> int:
        async def named() -> AsyncIterator[tuple[int, Payload]]:
            for number, payload in enumerate(payloads):
                yield number, payload

        outcomes = LeadSquaredHook().submit_many(named(), concurrency=concurrency)
        return sum([isinstance(outcome, Receipt) async for _, outcome in outcomes])

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], int]:
        payloads = _payloads(leads)
        return lambda: asyncio.run(run(payloads, concurrency))

    return Way(prepare)


def capture(open_ledger: Callable[[], Any]) -> Way:
    """Return a capture: check and encode leads, write intents, send, write receipts into a ledger."""
    from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.submitting import Submission

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], int]:
        def run() -> int:
            batch = Batch.read(leads, api=LEAD_CAPTURE, row_key="mx_Id")
            ledger, log = open_ledger(), SimpleNamespace(info=lambda *_: None)
            ledger.claim("this try")
            submission = Submission(
                [batch], len(leads), LEAD_CAPTURE, LeadSquaredHook(), ledger, log, is_stopping=lambda: False
            )
            asyncio.run(submission.run(parameters={}, concurrency=concurrency))
            return sum(entry.request_id is not None for entry in batch.entries)

        return run

    return Way(prepare)


def other(sender: Sender, calls: int | None, url: str) -> Way:
    """Return a way of others, which is given bodies that are ready."""

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], int]:
        bodies = [payload.body for payload in _payloads(leads)]
        return partial(sender, f"{url}/lead/capture", bodies, concurrency)

    return Way(prepare, calls)


def _payloads(leads: list[dict[str, Any]]) -> list[Payload]:
    from airflow_provider_leadsquared.api.leads import encode_lead

    return [encode_lead(one) for one in leads]


def ways(url: str, opened: dict[str, Any], chosen: list[str] | None) -> dict[str, Way]:
    """Return all ways of sending by name, or those that are chosen beside bare aiohttp."""
    others, missing = present()
    every = {name: other(sender, calls, url) for name, (sender, calls) in others.items()}
    every["submit_many"] = submit_many()
    for name, open_ledger in opened.items():
        every[f"capture, {name}".removesuffix(", none")] = capture(open_ledger)
    unknown = set(chosen or ()) - every.keys()
    if unknown:
        raise SystemExit(f"no way of sending: {', '.join(unknown)}; there are {', '.join(every)}, not {missing}")
    return {name: way for name, way in every.items() if chosen is None or name in (BARE, *chosen)}


def leads_of(count: int) -> list[dict[str, Any]]:
    """Return leads of four attributes."""
    return [
        {"mx_Id": n, "EmailAddress": f"lead{n}@example.org", "FirstName": "Asha", "mx_City": "Pune"}
        for n in range(count)
    ]


def _timed(way: Way, leads: list[dict[str, Any]], concurrency: int) -> tuple[float, float]:
    """Send leads; return the seconds and the CPU-seconds that each took."""
    send = way.prepare(leads, concurrency)
    began, began_cpu = time.perf_counter(), _cpu()
    sent = send()
    seconds, cpu = time.perf_counter() - began, _cpu() - began_cpu
    if sent < len(leads):
        raise RuntimeError(f"{len(leads) - sent} leads were not accepted")
    return seconds / sent, cpu / sent


def _cpu() -> float:
    """Return the CPU-seconds of this process, and of those that it has started and that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def measure_cpu(all_ways: dict[str, Way], count: int, rounds: int, concurrency: int) -> dict[str, list[float]]:
    """Return, by way, leads a second, CPU-seconds a lead and share of bare aiohttp's leads per CPU-second."""
    leads = {name: leads_of(max(100, count // _SLOW.get(name, 1))) for name in all_ways}
    for name, way in all_ways.items():
        way.prepare(leads[name][:500], concurrency)()  # warms up both sides
    taken = [{name: _timed(way, leads[name], concurrency) for name, way in all_ways.items()} for _ in range(rounds)]
    return {
        name: [
            1 / statistics.median(one[name][0] for one in taken),
            statistics.median(one[name][1] for one in taken),
            statistics.median(one[BARE][1] / one[name][1] for one in taken),
        ]
        for name in all_ways
    }


def show_cpu(found: dict[str, list[float]], missing: list[str], command: str, *, is_written: bool) -> bool:
    """Print and write what sending costs, and return whether all goals are met."""
    rows, verdicts = [], []
    for name, (rate, cpu, share) in sorted(found.items(), key=lambda one: -one[1][2]):
        goal = GOALS.get(name)
        verdict = None if goal is None else share >= goal
        verdicts.append(verdict is not False)
        cells = [name, f"{rate:,.0f}", f"{cpu * 1e6:,.0f}", f"{share:.1%}", "" if goal is None else f"≥ {goal:.0%}"]
        rows.append([*cells, page.is_met(verdict)])
    absent = f" Not installed, so left out: {', '.join(missing)}." if missing else ""
    head = ["way", "leads a second", "CPU µs a lead", "leads per CPU-second, of bare aiohttp", "goal", "met"]
    text = f"{page.conditions(command)}{absent}\n\n{page.table(head, rows)}"
    page.publish("sending", text, is_written=is_written)
    if is_written:
        page.dots(
            "leads-per-cpu-second",
            "What a CPU-second sends; lines are goals",
            {name: 1 / cpu for name, (_, cpu, _) in sorted(found.items(), key=lambda one: one[1][1])},
            unit="leads per CPU-second",
            goals={name: goal / found[BARE][1] for name, goal in GOALS.items()},
        )
    return all(verdicts)


def measure_pace(all_ways: dict[str, Way], latency: float, rounds: int) -> list[list[str]]:
    """Measure leads a second against a server that takes some seconds; return a row for each way and concurrency."""
    plan = []
    for name, way in all_ways.items():
        each = int((SECONDS if name in GOALS or name == BARE else SECONDS_OF_OTHERS) / latency)
        plan += [(name, way, calls, leads_of(each * calls)) for calls in ([way.calls] if way.calls else CONCURRENCIES)]
    for _, way, calls, leads in plan:
        way.prepare(leads[:calls], calls)()  # warms up both sides
    taken: list[list[float]] = [[] for _ in plan]
    for _ in range(rounds):
        for (_, way, calls, leads), seconds in zip(plan, taken, strict=True):
            seconds.append(_timed(way, leads, calls)[0])
    rates = {(name, calls): 1 / statistics.median(one) for (name, _, calls, _), one in zip(plan, taken, strict=True)}
    rows = []
    for (name, calls), rate in rates.items():
        most, bare = calls / latency, rates.get((BARE, calls))
        has_goal = name in GOALS and name != "submit_many"
        cells = [f"{latency * 1e3:g} ms", name, str(calls), f"{rate:,.0f}", f"{most:,.0f}"]
        cells += ["" if bare is None else f"{rate / bare:.1%}", f"{rate / most:.1%}"]
        rows.append([*cells, page.is_met(rate >= PACE_GOAL * most if has_goal else None)])
        print(" ".join(cells), file=sys.stderr)
    return rows


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--leads", type=int, default=5_000, help="leads a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, help="rounds (default 5, with a latency 2)")
    parser.add_argument("--concurrency", type=int, default=16, help="calls at a time (default %(default)s)")
    parser.add_argument("--latency", type=float, action="append", help="milliseconds; may be given again")
    parser.add_argument("--way", action="append", help="only this one; may be given again")
    parser.add_argument("--profile", action="store_true", help="print where the time of the ways goes instead")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sending-")))
        os.environ["AIRFLOW_HOME"] = str(folder)
        from benchmarks.durability_cost import ledgers

        quiet_airflow()
        opened = ledgers(folder, stack)
        if options.latency:
            return _pace(options, opened)
        all_ways = ways(connect(stack), opened, options.way)
        if not options.profile:
            rounds = options.rounds or 5
            found = measure_cpu(all_ways, options.leads, rounds, options.concurrency)
            command = f"python -m benchmarks.sending --leads {options.leads} --rounds {rounds}"
            return int(not show_cpu(found, present()[1], command, is_written=options.write))
        with cProfile.Profile() as profile:
            for name in all_ways.keys() - {BARE}:
                all_ways[name].prepare(leads_of(options.leads), options.concurrency)()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return 0


def _pace(options: argparse.Namespace, opened: dict[str, Any]) -> int:
    rows = []
    for latency in options.latency:
        with ExitStack() as stack:
            all_ways = ways(connect(stack, latency / 1e3), opened, options.way)
            all_ways.pop("wrk", None)  # it stops at a time, not after some leads
            rows += measure_pace(all_ways, latency / 1e3, options.rounds or 2)
    latencies = " ".join(f"--latency {one:g}" for one in options.latency)
    command = f"python -m benchmarks.sending {latencies} --rounds {options.rounds or 2}"
    head = ["latency", "way", "calls at a time", "leads a second", "calls / latency"]
    head += ["of bare aiohttp", "share", f"≥ {PACE_GOAL:.0%}"]
    page.publish("pace", f"{page.conditions(command)}\n\n{page.table(head, rows)}", is_written=options.write)
    return int(any("no" in row[-1] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
