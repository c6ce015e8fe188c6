"""Nights of a sync: a warehouse, the run's two tasks, and what the CRM holds in the morning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.sync import SyncLedger
from airflow_provider_leadsquared.sandbox import Sandbox
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.ledgers import open_sync_ledger
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator
from tests.integration.tasks import Task, VirtualTime, wait_for

MAPPING = {"email": "EmailAddress", "city": "mx_City", "plan": "mx_Plan"}
#: Seconds after which LeadSquared cannot be at work on a request any more: its last retry, and an hour of backlog.
SETTLE_TIMEOUT = 36_570
MORNING = 6 * 3_600
#: The name under which a night's sync remembers what it sent, where the author gives none.
SYNC = "nightly/sync by leadsquared_default"


class Warehouse:
    """A table of customers in a database that Airflow knows as ``warehouse``."""

    def __init__(self, connect: Callable[[], Any], placeholder: str, schema: str) -> None:
        self.connect, self._sign, self.schema = connect, placeholder, schema
        self.table, self.ledger = f"{schema}customers", f"{schema}leadsquared_ledger"
        self.run(f"CREATE TABLE {self.table} (customer_id INTEGER, email TEXT, city TEXT, plan TEXT)")

    @property
    def is_postgres(self) -> bool:
        return self._sign == "%s"

    def run(self, sql: str, *lines: tuple[Any, ...]) -> list[Any]:
        with closing(self.connect()) as connection, connection:
            cursor = connection.cursor()
            for line in lines or [()]:
                cursor.execute(sql.replace("?", self._sign), line)
            return cursor.fetchall() if cursor.description else []

    def put(self, *customers: tuple[Any, ...]) -> None:
        """Insert customers, replacing those of the same id."""
        self.run(f"DELETE FROM {self.table} WHERE customer_id = ?", *[(customer[0],) for customer in customers])
        self.run(f"INSERT INTO {self.table} VALUES (?, ?, ?, ?)", *customers)

    def fill(self, count: int, city: str = "Pune") -> None:
        self.put(*[customer(n, city) for n in range(count)])

    @property
    def query(self) -> str:
        return f"SELECT customer_id, email, city, plan FROM {self.table} ORDER BY customer_id, city"

    def states(self) -> dict[str, str]:
        """Return the last state of each key, as the documented view shows it."""
        return dict(self.run(f"SELECT row_key, state FROM {self.ledger}_last"))

    def lines(self, columns: str, where: str = "1 = 1") -> list[Any]:
        """Return lines of the result table, in the order of runs and rows."""
        return self.run(f"SELECT {columns} FROM {self.ledger} WHERE {where} ORDER BY run_id, row_no, attempts")

    def ledger_as_text(self) -> str:
        """Return all that the ledger holds."""
        names = [name for name in self.tables() if name.startswith("leadsquared_ledger")]
        return "\n".join(str(self.run(f"SELECT * FROM {self.schema}{name}")) for name in names)

    def tables(self) -> set[str]:
        if not self.is_postgres:
            return {name for (name,) in self.run("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
        found = self.run("SELECT table_name FROM information_schema.tables WHERE table_schema = ?", (self.schema[:-1],))
        return {name for (name,) in found}


def customer(
    number: int, city: str | None = "Pune", plan: str | None = "Gold", email: str | None = None
) -> tuple[Any, ...]:
    return number, email or f"customer{number}@example.org", city, plan


class Night(Task):
    """One run of the sync's DAG: its two tasks."""

    def __init__(self, run_id: str, *, dag_id: str = "nightly", task_id: str = "sync", map_index: int = -1) -> None:
        super().__init__()
        self.run_id, self.dag_id, self.task_id, self.map_index = run_id, dag_id, task_id, map_index

    def context(self) -> Any:
        """Return the context of a new try of the sync's task."""
        context = super().context()
        ti = context["ti"]
        ti.dag_id, ti.run_id, ti.task_id, ti.map_index = self.dag_id, self.run_id, self.task_id, self.map_index
        return context


def operator_for(warehouse: Warehouse, **arguments: Any) -> SqlToLeadSquaredOperator:
    return SqlToLeadSquaredOperator(
        task_id="sync",
        **{
            "sql": warehouse.query,
            "conn_id": "warehouse",
            "row_key": "customer_id",
            "mapping": MAPPING,
            "ledger_table": warehouse.ledger,
            **arguments,
        },
    )


def sync(night: Night, warehouse: Warehouse, **arguments: Any) -> dict[str, Any]:
    """Run the night's sync task once."""
    output: dict[str, Any] = operator_for(warehouse, **arguments).execute(night.context())
    night.returned = output
    return output


def run_night(night: Night, clock: VirtualTime, warehouse: Warehouse, **arguments: Any) -> dict[str, int]:
    """Run both tasks of a night, and let the night end; returns the counts of the sync."""
    output = sync(night, warehouse, **arguments)
    wait_for(night, clock, output)
    clock.advance(MORNING)
    counts: dict[str, int] = output["counts"]
    return counts


def run_night_that_closes_early(
    night: Night, clock: VirtualTime, warehouse: Warehouse, **arguments: Any
) -> dict[str, int]:
    """Run a night whose sensor closes early."""
    output = sync(night, warehouse, **arguments)
    wait_for(night, clock, output, close_after=60)
    counts: dict[str, int] = output["counts"]
    return counts


def values_in_crm(sandbox: Sandbox) -> dict[str, tuple[str | None, str | None]]:
    """Return what the CRM holds: city and plan by address."""
    values = [lead["values"] for lead in sandbox.leads()]
    return {value["EmailAddress"]: (value.get("mx_City"), value.get("mx_Plan")) for value in values}


def values_in_warehouse(warehouse: Warehouse) -> dict[str, tuple[str | None, str | None]]:
    return {email: (city, plan) for _, email, city, plan in warehouse.run(warehouse.query)}


def cities_sent(sandbox: Sandbox, since: int = 0) -> list[str]:
    """Return the cities sent, in order of the addresses they were sent for, after so many POSTs."""
    posts = [post["lead"] for post in sandbox.posts()[since:] if post["lead"]]
    return [lead["mx_City"] for lead in sorted(posts, key=lambda lead: lead["EmailAddress"])]


def ledger_of(night: Night, warehouse: Warehouse) -> SyncLedger:
    """Return the ledger of a night's sync, as the task itself opens it."""
    hook = LeadSquaredHook()
    address = LedgerAddress.of_task(night.context(), "warehouse", warehouse.ledger, sync=SYNC, hook=hook)
    ledger = open_sync_ledger(address, hook)
    ledger.begin()
    return ledger


def leave_in_doubt(night: Night, warehouse: Warehouse, row_key: str, **arguments: Any) -> None:
    """Leave a row as a run does that dies while the row's call is under way."""
    from airflow_provider_leadsquared.api.leads import encode_lead

    lead = encode_lead(arguments)
    ledger_of(night, warehouse).intend([(Entry(0, State.IN_DOUBT, row_key, lead.fingerprint, attempts=1), lead)])
