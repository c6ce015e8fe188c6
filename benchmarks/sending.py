"""
What sending a lead costs the client: leads per second and CPU per lead, from bare aiohttp to a capture with a ledger.

Each round submits the same leads in each way, in turn, to a small server in a process of its own that accepts whatever
comes; the figures are medians, the shares are of bare aiohttp's leads per CPU-second in the same round. The CPU is that
of the client's process with all its threads; Postgres' own work is not in it.

    python -m benchmarks.sending [--leads 5000] [--rounds 5] [--concurrency 16] [--way capture] [--profile]
    python -m benchmarks.sending --latency 50 --latency 150 [--rounds 3] [--way capture]

The first exits with 1 if a goal is missed: the hook's submit_many 90 %, a capture without ledger 60 %, with SQLite
50 %, with Postgres 40 % of bare aiohttp's leads per CPU-second. The second lets the server respond after so many
milliseconds and asks whether anything keeps calls from being under way: it exits with 1 if a capture sends less than
95 % of concurrency / latency, with 16 and 64 calls at a time; each submits 60 leads for each call at a time. Bare
aiohttp beside them shows what the machine can do.
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
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.payloads import Payload

BARE, SESSION = "bare aiohttp", "requests.Session"
#: Least share of bare aiohttp's leads per CPU-second.
GOALS = {"submit_many": 0.9, "capture": 0.6, "capture, SQLite": 0.5, "capture, Postgres": 0.4}

#: Least share of concurrency / latency.
PACE_GOAL = 0.95
#: Calls at a time, and leads for each of them, where latency is measured.
CONCURRENCIES, LEADS_A_CALL = (16, 64), 60

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

#: Takes leads and how many calls to make at a time; makes them ready, and returns what sends them.
Way = Callable[[list[dict[str, Any]], int], Callable[[], None]]


def connect(stack: ExitStack, latency: float = 0.0) -> str:
    """Start a server that takes so many seconds, point Airflow's default connection at it, and return its address."""
    command = [sys.executable, "-c", SERVER, str(latency)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    url = f"http://127.0.0.1:{int(process.stdout.readline() if process.stdout else '')}"
    extra = {"async_api_key": "k" * 40, "sync_host": url}
    fields = {"conn_type": "leadsquared", "host": url, "login": "u" * 34, "password": "s" * 40, "extra": extra}
    os.environ["AIRFLOW_CONN_LEADSQUARED_DEFAULT"] = json.dumps(fields)
    return url


def bare_aiohttp(url: str) -> Way:
    """Return the least that an asyncio client can do: post each body, parse each response."""
    import aiohttp

    headers = {"Content-Type": "application/json", "x-api-key": "k" * 40}

    async def post_all(bodies: list[bytes], concurrency: int) -> None:
        left = iter(bodies)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

            async def work() -> None:
                for body in left:
                    async with session.post(f"{url}/lead/capture", data=body, headers=headers) as response:
                        _accepted(json.loads(await response.read())["RequestID"])

            await asyncio.gather(*[work() for _ in range(concurrency)])

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], None]:
        bodies = [payload.body for payload in _payloads(leads)]
        return lambda: asyncio.run(post_all(bodies, concurrency))

    return prepare


def session_loop(url: str) -> Way:
    """Return what many write first: one post after another by a ``requests.Session``."""
    import requests

    headers = {"Content-Type": "application/json", "x-api-key": "k" * 40}

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], None]:
        bodies = [payload.body for payload in _payloads(leads)]

        def post_all() -> None:
            with requests.Session() as session:
                for body in bodies:
                    response = session.post(f"{url}/lead/capture", data=body, headers=headers, timeout=9)
                    _accepted(response.json()["RequestID"])

        return post_all

    return prepare


def submit_many() -> Way:
    """Return the hook's own call for many records, without a batch or ledger."""
    from airflow_provider_leadsquared.api.responses import Receipt
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

    async def run(payloads: list[Payload], concurrency: int) -> None:
        async def named() -> AsyncIterator[tuple[int, Payload]]:
            for number, payload in enumerate(payloads):
                yield number, payload

        async for _, outcome in LeadSquaredHook().submit_many(named(), concurrency=concurrency):
            _accepted(isinstance(outcome, Receipt))

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], None]:
        payloads = _payloads(leads)
        return lambda: asyncio.run(run(payloads, concurrency))

    return prepare


def capture(open_ledger: Callable[[], Any]) -> Way:
    """Return a capture: check and encode leads, write intents, send, write receipts into a ledger."""
    from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.submitting import Submission

    def prepare(leads: list[dict[str, Any]], concurrency: int) -> Callable[[], None]:
        def run() -> None:
            batch = Batch.read(leads, api=LEAD_CAPTURE, row_key="mx_Id")
            ledger, log = open_ledger(), SimpleNamespace(info=lambda *_: None)
            ledger.claim("this try")
            submission = Submission(
                [batch], len(leads), LEAD_CAPTURE, LeadSquaredHook(), ledger, log, is_stopping=lambda: False
            )
            _accepted(asyncio.run(submission.run(parameters={}, concurrency=concurrency)) is None)
            _accepted(all(entry.request_id for entry in batch.entries))

        return run

    return prepare


def _payloads(leads: list[dict[str, Any]]) -> list[Payload]:
    from airflow_provider_leadsquared.api.leads import encode_lead

    return [encode_lead(one) for one in leads]


def ways(url: str, opened: dict[str, Any]) -> dict[str, Way]:
    """Return all ways of sending, by name."""
    return {BARE: bare_aiohttp(url), SESSION: session_loop(url), "submit_many": submit_many(), **captures(opened)}


def captures(opened: dict[str, Any]) -> dict[str, Way]:
    """Return a capture with each ledger, by name."""
    return {f"capture, {name}".removesuffix(", none"): capture(open_ledger) for name, open_ledger in opened.items()}


def _accepted(sign: object) -> None:
    if not sign:
        raise RuntimeError("a lead was not accepted")


def leads_of(count: int) -> list[dict[str, Any]]:
    """Return leads of four attributes."""
    return [
        {"mx_Id": n, "EmailAddress": f"lead{n}@example.org", "FirstName": "Asha", "mx_City": "Pune"}
        for n in range(count)
    ]


def measure_cpu(all_ways: dict[str, Way], leads: list[dict[str, Any]], rounds: int, concurrency: int) -> bool:
    """Measure CPU per lead in each way, print, and return whether a goal is missed."""
    cpu: dict[str, list[float]] = {name: [] for name in all_ways}
    rates: dict[str, list[float]] = {name: [] for name in all_ways}
    for way in all_ways.values():
        way(leads[:500], concurrency)()  # warms up both sides
    for _ in range(rounds):
        for name, way in all_ways.items():
            send = way(leads, concurrency)
            began, began_cpu = time.perf_counter(), time.process_time()
            send()
            cpu[name].append((time.process_time() - began_cpu) / len(leads))
            rates[name].append(len(leads) / (time.perf_counter() - began))
    missed = False
    print(f"{'':20}{'leads/s':>10}{'CPU µs a lead':>16}{'of bare aiohttp':>18}{'goal':>8}")
    for name, used in cpu.items():
        share = statistics.median(one / mine for one, mine in zip(cpu[BARE], used, strict=True))
        goal = GOALS.get(name)
        missed |= goal is not None and share < goal
        print(
            f"{name:20}{statistics.median(rates[name]):10,.0f}{statistics.median(used) * 1e6:16.0f}{share:18.0%}"
            f"{'' if goal is None else f'{goal:.0%}':>8}"
        )
    return missed


def measure_pace(all_ways: dict[str, Way], latency: float, rounds: int) -> bool:
    """Measure leads a second against a server that takes some seconds, print, and return whether the goal is missed."""
    missed = False
    for concurrency in CONCURRENCIES:
        leads, most = leads_of(LEADS_A_CALL * concurrency), concurrency / latency
        rates: dict[str, list[float]] = {name: [] for name in all_ways}
        for _ in range(rounds):
            for name, way in all_ways.items():
                send = way(leads, concurrency)
                began = time.perf_counter()
                send()
                rates[name].append(len(leads) / (time.perf_counter() - began))
        for name, found in rates.items():
            rate = statistics.median(found)
            missed |= name != BARE and rate < PACE_GOAL * most
            print(
                f"{latency * 1e3:4g} ms{concurrency:8}  {name:22}{rate:10,.0f}{most:10,.0f}{rate / most:8.1%}",
                flush=True,
            )
    return missed


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--leads", type=int, default=5_000, help="leads a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=16, help="calls at a time (default %(default)s)")
    parser.add_argument("--latency", type=float, action="append", help="milliseconds; may be given again")
    names = [*GOALS, "capture, task state", SESSION]
    parser.add_argument("--way", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--profile", action="store_true", help="print where the time of the ways goes instead")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sending-")))
        os.environ["AIRFLOW_HOME"] = str(folder)
        from benchmarks.durability_cost import ledgers

        opened = ledgers(folder, stack)
        if options.latency:
            print(f"latency  calls  {'':22}{'leads/s':>10}{'at most':>10}{'share':>8}")
            missed = False
            for latency in options.latency:
                every = {BARE: bare_aiohttp(connect(stack, latency / 1e3)), **captures(opened)}
                chosen = {name: way for name, way in every.items() if name in (BARE, *(options.way or names))}
                missed |= measure_pace(chosen, latency / 1e3, options.rounds)
            return int(missed)
        all_ways = ways(connect(stack), opened)
        all_ways = {name: way for name, way in all_ways.items() if name in (BARE, *(options.way or names))}
        leads = leads_of(options.leads)
        if not options.profile:
            return int(measure_cpu(all_ways, leads, options.rounds, options.concurrency))
        with cProfile.Profile() as profile:
            for name in all_ways.keys() - {BARE}:
                all_ways[name](leads, options.concurrency)()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return 0


if __name__ == "__main__":
    sys.exit(main())
