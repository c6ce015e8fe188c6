"""What the tasks do while their ledger is recorded, and what they do again after the power was lost."""

from __future__ import annotations

import copy
import copyreg
import gc
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import requests

from benchmarks.power_loss_disk import Event, Files
from benchmarks.power_loss_recording import Recording

CONCURRENCY = 4
#: SQLite lets one write at a time; while this is held the next waits until the end of one is noted, too.
_WRITING = threading.RLock()
#: Seconds until Airflow starts the next try.
RETRY_DELAY = 300
#: Seconds between two nights, by which LeadSquared's last retries are over.
DAY = 86_400
#: Sizes of groups, small so that few rows make many transactions: of intents, receipts, intents without a match key,
#: verdicts.
GROUPS = {"_GROUP_ROWS": 6, "_LEAST_GROUP_ROWS": 6, "_MOST_GROUP_ROWS": 6, "_RECEIPT_ROWS": 3}
GROUPS_OF_UNKEYED, GROUPS_OF_VERDICTS = 2, 4


class Nights(Protocol):
    """Tasks, one after another; each is a step."""

    steps: tuple[str, ...]

    def run(self, step: int, outputs: Sequence[Any]) -> Any:
        """Run a try of a step, given what the steps before it returned; return what it hands on."""

    def row_of(self, lead: dict[str, Any]) -> str:
        """Return the row key of the row that a lead was sent for."""

    def has_match_key(self, row_key: str) -> bool:
        """Tell whether LeadSquared finds a row's lead again."""

    def wanted(self) -> dict[str, Any]:
        """Return what the CRM is to hold in the end, by row key; rows that it rejects are left out."""


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


class Capture:
    """A capture, every fifth lead without a match key, and its sensor; LeadSquared rejects two leads."""

    steps = ("capture", "wait")
    rows = 24
    refused = ("3", "13")

    def __init__(self, world: World) -> None:
        self._world = world
        refuse(world, [f"row{row}@example.org" for row in self.refused])

    def run(self, step: int, outputs: Sequence[Any]) -> Any:
        """Run a try of the capture, or of the sensor."""
        from tests.integration.sync.nights import Night
        from tests.integration.tasks import capture, wait_for

        task = Night("2026-01-01", dag_id="power_loss", task_id=self.steps[step])
        if step == 0:
            act: Callable[[], Any] = partial(
                capture,
                task,
                [self._lead(row) for row in range(self.rows)],
                ledger_conn_id="ledger",
                require_match_key=False,
                concurrency=CONCURRENCY,
            )
        else:
            act = partial(wait_for, task, self._world.clock, outputs[0])
        return _handed_on(task, act)

    def row_of(self, lead: dict[str, Any]) -> str:
        """Return the id in the first name."""
        return str(lead["FirstName"]).removeprefix("Row")

    def has_match_key(self, row_key: str) -> bool:
        """Say no of every fifth."""
        return int(row_key) % 5 != 0

    def wanted(self) -> dict[str, Any]:
        """Return the first name of each lead that is not rejected."""
        return {str(row): f"Row{row}" for row in range(self.rows) if str(row) not in self.refused}

    def held(self, lead: dict[str, Any]) -> Any:
        """Return what the CRM holds of a lead."""
        return lead["FirstName"]

    def _lead(self, row: int) -> dict[str, Any]:
        lead = {"id": row, "FirstName": f"Row{row}"}
        return lead | {"EmailAddress": f"row{row}@example.org"} if self.has_match_key(str(row)) else lead


class Sync:
    """Two nights of a sync with their sensors; in the second some rows have changed, and some are new."""

    steps = ("sync 1", "wait 1", "sync 2", "wait 2")
    rows, changed, added = 16, 6, 4
    refused = ("5",)

    def __init__(self, world: World) -> None:
        from tests.integration.sync.nights import Warehouse
        from tests.integration.tasks import connect_sqlite

        self._world = world
        path = world.folder / "warehouse.db"
        path.unlink(missing_ok=True)
        connect_sqlite(world.patch, "warehouse", path)
        self._warehouse = Warehouse(partial(sqlite3.connect, path), "?", "")
        refuse(world, [f"customer{row}@example.org" for row in self.refused])

    def run(self, step: int, outputs: Sequence[Any]) -> Any:
        """Run a try of a night's sync, or of its sensor."""
        from tests.integration.sync.nights import Night, customer, sync
        from tests.integration.tasks import wait_for

        night, is_sensor = divmod(step, 2)
        self._warehouse.run("DELETE FROM customers")
        self._warehouse.put(*[customer(row) for row in range(self.rows)])
        if night:
            self._warehouse.put(*[customer(row, "Delhi") for row in range(self.changed)])
            self._warehouse.put(*[customer(self.rows + row) for row in range(self.added)])
        task = Night(f"night {night}")
        if is_sensor:
            return _handed_on(task, partial(wait_for, task, self._world.clock, outputs[-1]))
        if night:
            self._world.clock.advance(DAY)
        arguments = {"ledger_conn_id": "ledger", "concurrency": CONCURRENCY}
        return _handed_on(task, partial(sync, task, self._warehouse, **arguments))

    def row_of(self, lead: dict[str, Any]) -> str:
        """Return the id in the address."""
        return str(lead["EmailAddress"]).removeprefix("customer").partition("@")[0]

    def has_match_key(self, row_key: str) -> bool:
        """Say yes: a sync takes no other rows."""
        return True

    def wanted(self) -> dict[str, Any]:
        """Return the city of each row that is not rejected."""
        cities = {str(row): "Delhi" if row < self.changed else "Pune" for row in range(self.rows + self.added)}
        return {row: city for row, city in cities.items() if row not in self.refused}

    def held(self, lead: dict[str, Any]) -> Any:
        """Return what the CRM holds of a lead."""
        return lead["mx_City"]


KINDS: dict[str, Callable[[World], Any]] = {"capture": Capture, "sync": Sync}


def refuse(world: World, addresses: Sequence[str]) -> None:
    """Let LeadSquared reject the leads with these addresses."""
    world.sandbox.reset()
    for address in addresses:
        world.sandbox.fault("reject", endpoint="capture", attribute="EmailAddress", value=address)


def _handed_on(task: Any, act: Callable[[], Any]) -> Any:
    """Run a try to its end, and return what it hands on; rows that were not delivered are the end of the matter."""
    from airflow_provider_leadsquared.exceptions import LeadsNotDelivered

    try:
        return act()
    except LeadsNotDelivered:
        return task.pushed


def record(world: World, nights: Any, path: Path, begin: Moment) -> Take:
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
