"""
Where a simulation takes the place of what is outside the package: clocks, sockets, threads, chance, and Airflow's own.

Everything else is the package's own code. All replacements are here.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import uuid
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import tenacity.nap

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.responses import AccountFacts
from airflow_provider_leadsquared.hooks import (
    _backoff,
    _connections,
    _many_calls,
    _repeated_calls,
    _transport,
    leadsquared,
)
from airflow_provider_leadsquared.ledgers import migrations
from airflow_provider_leadsquared.sensors import lead_status
from airflow_provider_leadsquared.sync import run
from airflow_provider_leadsquared.tasks import (
    event_loop,
    ledgers,
    planning,
    polling,
    progress,
    submitting,
    sync_operator,
)
from airflow_provider_leadsquared.triggers import lead_status as trigger
from tests.simulation import ledger, reading, wire
from tests.simulation.loop import VirtualLoop
from tests.simulation.timeline import START, Timeline, Worker


class _Time:
    """The module ``time`` for a worker."""

    CLOCK_MONOTONIC, CLOCK_BOOTTIME = time.CLOCK_MONOTONIC, 7

    def __init__(self, simulation: Running) -> None:
        self._simulation = simulation

    def time(self) -> float:
        worker = self._simulation.worker
        return worker.time()

    def monotonic(self) -> float:
        return self._simulation.worker.monotonic()

    def clock_gettime(self, clock: int) -> float:
        is_monotonic = clock == self.CLOCK_MONOTONIC
        return self.monotonic() if is_monotonic else self._simulation.timeline.now - START

    def sleep(self, seconds: float) -> None:
        worker = self._simulation.worker
        worker.step("sleep")
        worker.sleep(seconds)


class Running:
    """The simulation that runs."""

    timeline: Timeline
    rng: random.Random
    wire: wire.Wire
    ledger: ledger.LedgerServer
    account: Account
    fields: tuple[Any, ...]

    @property
    def worker(self) -> Worker:
        strand = self.timeline.current
        assert strand is not None, "nothing of the package runs outside of a worker"
        return strand.worker


RUNNING = Running()


def install() -> None:
    """Put the simulation in the place of what is outside the package; for this process, for good."""
    quiet()
    load_fields()
    # What a killed process leaves behind cannot be closed in order.
    sys.unraisablehook = lambda unraisable: None
    clock = _Time(RUNNING)
    for module in (_transport, sync_operator, progress, ledgers, polling, submitting, lead_status, trigger):
        module.time = clock  # type: ignore[attr-defined]  # replaced
    nap: Any = tenacity.nap
    nap.time = clock
    _many_calls.monotonic = clock.monotonic  # type: ignore[attr-defined]  # replaced
    planning.sleep = clock.sleep  # type: ignore[assignment,attr-defined]  # replaced
    chance = SimpleNamespace(uniform=lambda low, high: RUNNING.worker.rng.uniform(low, high))
    _backoff.random = leadsquared.random = _repeated_calls.random = chance  # type: ignore[assignment,attr-defined]  # replaced
    uuid.uuid4 = _uuid
    event_loop.asyncio = SimpleNamespace(  # type: ignore[assignment,attr-defined]  # replaced
        Runner=asyncio.Runner, SelectorEventLoop=lambda: VirtualLoop(RUNNING.timeline)
    )
    _connections.Connections = wire.WireConnections  # type: ignore[assignment,misc]  # replaced
    wire.WireConnections.wire = staticmethod(lambda: RUNNING.wire)
    ledgers._database = lambda address: ledger.SimulatedDatabase()
    migrations.secrets = SimpleNamespace(token_hex=lambda size: "5a" * size)  # type: ignore[assignment,attr-defined]  # replaced
    ledger.prepare()
    ledger.connect = lambda: ledger.WorkerConnection(RUNNING.ledger, RUNNING.worker)
    hook: Any = leadsquared.LeadSquaredHook
    hook.account = property(lambda self: RUNNING.account)
    hook.get_lead_fields = _lead_fields
    hook.get_account_facts = lambda self: AccountFacts("simulated", code="90001")
    hook.load_account = _load_account
    hook.get_conn = lambda self: nullcontext()
    called: Any = leadsquared
    called.send = lambda session, request, timeout: reading.get(RUNNING.wire, RUNNING.worker, request)
    trigger._in_thread = _in_thread
    run.ThreadPoolExecutor = _AtOnce  # type: ignore[assignment,attr-defined]  # replaced
    # A process handles no signal here: nobody stops a simulated worker so.
    event_loop.HeldBack.begin = lambda self: None  # type: ignore[method-assign]  # replaced
    event_loop.HeldBack.end = lambda self: None  # type: ignore[method-assign]  # replaced


def _uuid() -> uuid.UUID:
    rng = RUNNING.rng if RUNNING.timeline.current is None else RUNNING.worker.rng
    return uuid.UUID(int=rng.getrandbits(128), version=4)


class _AtOnce(Executor):
    """Calls at once what others call in a thread."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def submit(self, act: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(act(*arguments, **named))
        return future


async def _load_account(hook: Any) -> None:
    worker = RUNNING.worker
    worker.step("connection")
    await asyncio.sleep(worker.rng.random())


async def _in_thread(act: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, partial(act, *arguments))


def _lead_fields(hook: Any, *, with_options: bool = True) -> Any:
    worker = RUNNING.worker
    worker.step("lead fields")
    worker.sleep(0.1 + worker.rng.random())
    return RUNNING.fields


class _Silent:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: None


def quiet() -> None:
    """Let operators, sensors and hooks log nothing."""
    from airflow.sdk import BaseHook, BaseOperator

    silent = property(lambda self: _SILENT)
    kinds: tuple[Any, ...] = (BaseOperator, BaseHook, trigger.LeadStatusTrigger)
    for kind in kinds:
        kind.log = silent


_SILENT = _Silent()


def load_fields() -> None:
    """Read the sandbox's lead fields once, for all simulations."""
    from airflow_provider_leadsquared.api import requests, responses
    from airflow_provider_leadsquared.api.requests import Response
    from airflow_provider_leadsquared.sandbox import protocol
    from airflow_provider_leadsquared.sandbox.account import Account as SandboxAccount
    from airflow_provider_leadsquared.sandbox.clock import Clock
    from airflow_provider_leadsquared.sandbox.settings import Settings

    account = SandboxAccount(Settings(), (), Clock(0.0))
    response = protocol._lead_fields(account, SimpleNamespace(query={}))  # type: ignore[arg-type]  # the handler reads the query alone
    ours = Account.from_settings(
        host="https://asyncapi-in21.leadsquared.com",
        access_key=account.settings.access_key,
        secret_key=account.settings.secret_key,
        extra={"async_api_key": account.settings.api_key},
    )
    request = requests.list_lead_fields(ours, with_options=True)
    read = responses.read_lead_fields(request, Response(200, response.body, "application/json", {}))
    RUNNING.fields = tuple(read)
