"""Where tasks run in this process: a sandbox that can be put back, a clock, and a recording of the ledger."""

from __future__ import annotations

import copy
import copyreg
import gc
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from benchmarks.power_loss.disk import Event, Files
from benchmarks.power_loss.recording import Recording

if TYPE_CHECKING:
    from benchmarks.power_loss.nights import Nights

#: SQLite lets one write at a time; while this is held the next waits until the end of one is noted, too.
_WRITING = threading.RLock()
#: Seconds until Airflow starts the next try.
RETRY_DELAY = 300
#: Sizes of groups, small so that few rows make many transactions: of intents, receipts, intents without a match key,
#: verdicts.
GROUPS = {"_GROUP_ROWS": 6, "_LEAST_GROUP_ROWS": 6, "_MOST_GROUP_ROWS": 6, "_RECEIPT_ROWS": 3}
GROUPS_OF_UNKEYED, GROUPS_OF_VERDICTS = 2, 4


@dataclass
class Moment:
    """LeadSquared and the time, as they were when so many events had been."""

    events: int
    account: dict[str, Any]
    now: float


@dataclass
class Take:
    """
    One recorded run of all steps.

    :param files: The database's files before it.
    :param events: All that was done.
    :param moments: LeadSquared, each time that it had received something or time went on.
    :param sent: The submissions, in the order in which they were sent.
    :param outputs: What each step returned.
    """

    files: Files
    events: list[Event] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


class World:
    """
    A sandbox, a clock and a folder in which tasks run, in this process.

    :param folder: Where databases go.
    :param synchronous: The setting to plant into each connection of a ledger, None for the package's own.
    """

    def __init__(self, folder: Path, synchronous: str | None, stack: ExitStack) -> None:
        from airflow_provider_leadsquared.ledgers import drivers
        from airflow_provider_leadsquared.sandbox import Sandbox
        from airflow_provider_leadsquared.sandbox.async_apis import AsyncApi
        from airflow_provider_leadsquared.sandbox.endpoints import Endpoint
        from airflow_provider_leadsquared.sandbox.errors import MXError
        from airflow_provider_leadsquared.tasks import polling, submitting
        from tests.integration.tasks import connect, share_time

        for never_changed in (AsyncApi, Endpoint, MXError):
            copyreg.pickle(never_changed, lambda _: "itself")  # a copy of an account shares them
        self.folder = folder
        self.patch = pytest.MonkeyPatch()
        stack.callback(self.patch.undo)
        self.sandbox = stack.enter_context(Sandbox(speed=0))
        connect(self.patch, self.sandbox)
        self.clock = share_time(self.patch, self.sandbox)
        for name, rows in GROUPS.items():
            self.patch.setattr(submitting, name, rows)
        self.patch.setattr(submitting, "_UNREPEATABLE_GROUP_ROWS", GROUPS_OF_UNKEYED)
        self.patch.setattr(polling, "GROUP_ROWS", GROUPS_OF_VERDICTS)
        if synchronous:
            prepare = drivers._PREPARE["sqlite+pysqlite"]

            def weakened(connection: sqlite3.Connection) -> None:
                prepare(connection)
                connection.execute(f"PRAGMA synchronous = {synchronous}")

            self.patch.setitem(drivers._PREPARE, "sqlite+pysqlite", weakened)

    def use_ledger(self, path: Path) -> None:
        """Let the connection ``ledger`` lead to a database."""
        from tests.integration.tasks import connect_sqlite

        connect_sqlite(self.patch, "ledger", path)

    def moment(self, events: int) -> Moment:
        """Return LeadSquared and the time as they are. Called where nothing else touches the account."""
        return Moment(events, self._copied(vars(self._account)), self.clock.now)

    def moment_now(self) -> Moment:
        """Return LeadSquared and the time as they are before anything happens."""
        return self.sandbox._run(lambda: self.moment(0))

    def restore(self, moment: Moment) -> None:
        """Let LeadSquared and the time be as they were."""

        def put_back() -> None:
            vars(self._account).clear()
            vars(self._account).update(self._copied(moment.account))

        self.sandbox._run(put_back)
        self.clock.now = moment.now

    def deliver(self, request: Any) -> None:
        """Let a submission arrive that was on its way when the power was lost."""
        requests.request(
            request.endpoint.method, request.url, data=request.body, headers=dict(request.headers), timeout=30
        )

    @property
    def _account(self) -> Any:
        return self.sandbox._account

    def _copied(self, state: dict[str, Any]) -> dict[str, Any]:
        return copy.deepcopy(state, {id(self._account): self._account})


def record(world: World, nights: Nights, path: Path, begin: Moment) -> Take:
    """Run all steps on a ledger, and record what happens, when LeadSquared and the time are as they were then."""
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    recording = Recording(path.parent)
    take = Take(files)
    world.restore(begin)
    world.clock.advance(RETRY_DELAY)
    take.moments.append(world.moment_now())
    world.use_ledger(path)
    with _noted(world, recording, take), recording.running():
        for step in range(len(nights.steps)):
            recording.note("step", nights.steps[step], step)
            take.outputs.append(nights.run(step, take.outputs))
        gc.collect()  # closes connections that nobody has any more
        take.events = list(recording.events)
    return take


@contextmanager
def _noted(world: World, recording: Recording, take: Take) -> Iterator[None]:
    """Note what is sent, received, answered and committed, and when time goes on."""
    from airflow_provider_leadsquared.hooks import _transport, leadsquared
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.sandbox.server import Server
    from airflow_provider_leadsquared.tasks import planning

    send, keep, transaction = _transport.send_async, Server._record, Database._transaction
    advance = world.clock.advance

    async def noted_send(connections: Any, request: Any, **options: Any) -> Any:
        with recording.lock:
            number = len(take.sent)
            if request.endpoint.method == "POST":
                take.sent.append(request)
                recording.note("sent", at=number)
        response = await send(connections, request, **options)
        recording.note("answered")
        return response

    def noted_record(server: Any, call: Any, response: Any, *others: Any) -> None:
        keep(server, call, response, *others)
        with recording.lock:
            if call.endpoint.method == "POST":
                number = max(n for n, request in enumerate(take.sent) if request.body == call.body)
                take.moments.append(world.moment(recording.note("received", at=number) + 1))

    @contextmanager
    def noted_transaction(database: Any, *, writes: bool) -> Iterator[Any]:
        with ExitStack() as stack:
            if writes:
                stack.enter_context(_WRITING)
            with transaction(database, writes=writes) as connection:
                yield connection
            if writes:
                recording.note("committed")

    def noted_advance(seconds: float) -> None:
        advance(seconds)
        world.sandbox._run(lambda: take.moments.append(world.moment(recording.note("time") + 1)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leadsquared, "send_async", noted_send)
        patch.setattr(Server, "_record", noted_record)
        patch.setattr(Database, "_transaction", noted_transaction)
        patch.setattr(world.clock, "advance", noted_advance)
        patch.setattr(planning, "sleep", noted_advance)
        yield
