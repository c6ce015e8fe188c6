"""What the tasks have to do: a capture, or two nights of a sync, and their sensors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from benchmarks.power_loss.world import World

#: Calls at a time.
CONCURRENCY = 4
#: Seconds between two nights, by which LeadSquared's last retries are over.
DAY = 86_400


class Nights(Protocol):
    """Tasks, one after another; each is a step."""

    @property
    def steps(self) -> tuple[str, ...]:
        """Their names."""

    def run(self, step: int, outputs: Sequence[Any]) -> Any:
        """Run a try of a step, given what the steps before it returned; return what it hands on."""

    def row_of(self, lead: dict[str, Any]) -> str:
        """Return the row key of the row that a lead was sent for."""

    def has_match_key(self, row_key: str) -> bool:
        """Tell whether LeadSquared finds a row's lead again."""

    def wanted(self) -> dict[str, Any]:
        """Return what the CRM is to hold in the end, by row key; rows that it rejects are left out."""

    def held(self, lead: dict[str, Any]) -> Any:
        """Return what the CRM holds of a lead, in the same form."""


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


KINDS: dict[str, Callable[[World], Nights]] = {"capture": Capture, "sync": Sync}


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
