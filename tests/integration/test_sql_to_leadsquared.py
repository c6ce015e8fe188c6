"""Nights of a sync, from a warehouse on SQLite and on Postgres, against the sandbox."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator
from tests.integration.conftest import Task

COLUMNS = ("customer_id", "email", "city", "plan")
MAPPING = {"email": "EmailAddress", "city": "mx_City", "plan": "mx_Plan"}


class Warehouse:
    """A table of customers in a database that Airflow knows as ``warehouse``."""

    def __init__(self, connect: Any, placeholder: str, schema: str) -> None:
        self._connect, self._sign, self.schema = connect, placeholder, schema
        self.table, self.ledger = f"{schema}customers", f"{schema}leadsquared_ledger"
        self.run(f"CREATE TABLE {self.table} (customer_id INTEGER, email TEXT, city TEXT, plan TEXT)")

    def run(self, sql: str, *lines: tuple[Any, ...]) -> list[Any]:
        with closing(self._connect()) as connection, connection:
            cursor = connection.cursor()
            for line in lines or [()]:
                cursor.execute(sql.replace("?", self._sign), line)
            return cursor.fetchall() if cursor.description else []

    def put(self, *customers: tuple[Any, ...]) -> None:
        """Insert customers, replacing those of the same id."""
        self.run(f"DELETE FROM {self.table} WHERE customer_id = ?", *[(customer[0],) for customer in customers])
        self.run(f"INSERT INTO {self.table} VALUES (?, ?, ?, ?)", *customers)

    def fill(self, count: int) -> None:
        self.put(*[(n, f"customer{n}@example.org", "Pune", "Gold") for n in range(count)])

    @property
    def query(self) -> str:
        return f"SELECT customer_id, email, city, plan FROM {self.table} ORDER BY customer_id"

    def states(self) -> dict[str, str]:
        """Return the last state of each key, as the documented view tells it."""
        return dict(self.run(f"SELECT owner_key, state FROM {self.ledger}_last"))


@pytest.fixture
def on_sqlite(tmp_path, monkeypatch) -> Warehouse:
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})
    )
    return Warehouse(lambda: sqlite3.connect(tmp_path / "warehouse.db"), "?", "")


@pytest.fixture
def on_postgres(postgres, monkeypatch) -> Warehouse:
    schema = f"w{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres)
    return Warehouse(lambda: psycopg2.connect(postgres), "%s", f"{schema}.")


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def warehouse(request) -> Warehouse:
    return request.getfixturevalue(request.param)


class Night(Task):
    """One run of the sync's DAG: its two tasks."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def context(self) -> dict[str, Any]:
        context = super().context()
        context["ti"].run_id = self.run_id
        context["outlet_events"] = self.events
        return context

    events: Any = SimpleNamespace()


def sync(night: Night, warehouse: Warehouse, **arguments: Any) -> dict[str, Any]:
    """Run the night's sync task once."""
    operator = SqlToLeadSquaredOperator(
        task_id="sync",
        **{
            "sql": warehouse.query,
            "conn_id": "warehouse",
            "key": "customer_id",
            "mapping": MAPPING,
            "ledger_table": warehouse.ledger,
            **arguments,
        },
    )
    output: dict[str, Any] = operator.execute(night.context())
    night.returned = output
    return output


def wait(night: Night, clock: Any, output: Any, **arguments: Any) -> dict[str, Any]:
    """Run the night's sensor through all its reschedules."""
    while True:
        sensor = LeadStatusSensor(task_id="wait", request_ids=output, **arguments)
        try:
            return sensor.execute(night.context())  # type: ignore[no-any-return]
        except AirflowRescheduleException:
            clock.advance(sensor.poke_interval)


def whole(night: Night, clock: Any, warehouse: Warehouse, **arguments: Any) -> dict[str, Any]:
    output = sync(night, warehouse, **arguments)
    wait(night, clock, output)
    clock.advance(3_600)
    return output["books"]


def crm(sandbox: Any) -> dict[str, str]:
    return {lead["EmailAddress"]: lead.get("mx_City") for lead in (one["attributes"] for one in sandbox.leads())}


def test_the_first_night_sends_all_and_the_second_what_changed(sandbox, clock, warehouse):
    warehouse.fill(30)
    assert whole(Night("1"), clock, warehouse) == {"read": 30, "open": 30}
    assert set(warehouse.states().values()) == {"created"}
    warehouse.put((3, "customer3@example.org", "Kochi", "Gold"), (30, "customer30@example.org", "Agra", "Gold"))
    assert whole(Night("2"), clock, warehouse) == {"read": 31, "unchanged": 29, "open": 2}
    assert warehouse.states()["3"] == "updated"
    assert len(sandbox.posts()) == 32
