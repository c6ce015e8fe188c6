"""The tasks of a night, each try of them in a process of its own: what they are given, and how a try ends."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PARTITIONS = 4
CONCURRENCY = 8
#: The tasks that send, and the sensor behind each.
SENDING = {"sync": "wait_for_sync", "capture": "wait_for_capture"}
SYNC = "customers"
LEDGER, WAREHOUSE = "chaos_ledger", "chaos_warehouse"


@dataclass(frozen=True)
class World:
    """
    What there is to deliver.

    :param folder: Where the warehouse is, and what the tries leave.
    :param rows: Customers in the warehouse; every night all of them are read.
    :param captured: Leads that the captures of a night send, each night new ones.
    :param changed: Customers whose values change, by night; in the first night all are new.
    """

    folder: Path
    rows: int
    captured: int
    changed: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @property
    def warehouse(self) -> Path:
        """The warehouse's file."""
        return self.folder / "warehouse.db"

    def build(self) -> None:
        """Make the warehouse, without values yet."""
        with closing(sqlite3.connect(self.warehouse)) as connection, connection:
            connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name, version, email, phone)")
            connection.executemany(
                "INSERT INTO customers VALUES (?, ?, '', ?, ?)",
                ((n, f"Customer{n}", email_of(n), f"+91-{9_000_000_000 + n}") for n in range(self.rows)),
            )

    def begin(self, night: int) -> None:
        """Change what changes before a night."""
        with closing(sqlite3.connect(self.warehouse)) as connection, connection:
            connection.executemany(
                "UPDATE customers SET version = ? WHERE id = ?",
                ((version_of(night), n) for n in sorted(self.changed[night])),
            )

    def leads(self, night: int, partition: int) -> list[dict[str, Any]]:
        """Return the leads of one capture; every fifth has nothing that LeadSquared could match it by."""
        leads = []
        for n in range(partition, self.captured, PARTITIONS):
            lead = {"id": f"{night}-{n}", "FirstName": captured_name(night, n)}
            leads.append(lead | {"EmailAddress": f"lead{night}.{n}@example.org"} if has_match_key(n) else lead)
        return leads


def email_of(customer: int) -> str:
    """Return the address of a customer."""
    return f"customer{customer}@example.org"


def version_of(night: int) -> str:
    """Return the value that a customer has from this night on."""
    return f"Night {night:03}"


def captured_name(night: int, n: int) -> str:
    """Return the name of a lead of a capture."""
    return f"Lead {night}.{n}"


def has_match_key(n: int) -> bool:
    """Tell whether a lead of a capture has something that LeadSquared can match it by."""
    return n % (5 * PARTITIONS) >= PARTITIONS


@dataclass
class Ended:
    """
    How a try ended.

    :param how: ``done``; ``failed`` for good; ``again``, as Airflow's retry; ``later``, as a sensor's reschedule.
    :param output: What it handed on, None if nothing.
    :param seconds: When it is to run again.
    :param error: What it raised, None if nothing.
    :param is_known: The error is one of the package's own.
    """

    how: str
    output: Any = None
    seconds: float = 0.0
    error: str | None = None
    is_known: bool = True


@dataclass
class Instance:
    """
    One task instance of a night.

    :param night: The night, counted from 1.
    :param task: One of :data:`SENDING`, or the sensor behind it.
    :param partition: The map index; -1 for a sensor.
    """

    night: int
    task: str
    partition: int
    try_number: int = 1
    state: str = "waiting"
    due_at: float = 0.0
    pid: int | None = None
    output: Any = None
    errors: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.night}-{self.task}-{self.partition}"

    def file(self, folder: Path) -> Path:
        """Return where a try says how it ended."""
        return folder / f"{self.name}.ended"


def run_try(instance: Instance, world: World, outputs: list[Any], states: Mapping[str, str]) -> None:
    """
    Run one try in this process, and write down how it ended.

    :param outputs: What the tasks before a sensor have handed on.
    :param states: How they ended.
    """
    ended = end_of_try(instance, world, outputs, states)
    file = instance.file(world.folder)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_bytes(pickle.dumps(ended))
    unfinished.rename(file)


def end_of_try(instance: Instance, world: World, outputs: list[Any], states: Mapping[str, str]) -> Ended:
    """Run one try in this process, and return how it ended; see :func:`run_try`."""
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

    from airflow_provider_leadsquared.exceptions import LeadSquaredError

    pushed: dict[str, Any] = {}
    run_id = f"night-{instance.night}"
    ti = SimpleNamespace(
        dag_id="chaos",
        run_id=run_id,
        task_id=instance.task,
        map_index=instance.partition,
        try_number=instance.try_number,
        xcom_push=lambda key, value: pushed.update({key: value}),
        get_task_states=lambda **_: {run_id: dict(states)},
    )
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(clear_number=0)}
    try:
        ended = _execute(instance, world, outputs, context)
    except Exception as error:
        is_final = isinstance(error, AirflowFailException | AirflowSensorTimeout)
        text = f"{type(error).__name__}: {error}"
        ended = Ended("failed" if is_final else "again", error=text, is_known=isinstance(error, LeadSquaredError))
    if ended.output is None:
        ended.output = pushed.get("return_value")
    return ended


def _execute(instance: Instance, world: World, outputs: list[Any], context: Any) -> Ended:
    from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
    from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
    from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

    if instance.task == "sync":
        sync = SqlToLeadSquaredOperator(
            task_id=instance.task,
            sql="SELECT * FROM customers WHERE id % :partitions = :partition ORDER BY id",
            parameters={"partitions": PARTITIONS, "partition": instance.partition},
            conn_id=WAREHOUSE,
            row_key="id",
            mapping={"name": "FirstName", "version": "LastName", "email": "EmailAddress", "phone": "Phone"},
            concurrency=CONCURRENCY,
            sync=SYNC,
            ledger_conn_id=LEDGER,
        )
        return Ended("done", sync.execute(context))
    if instance.task == "capture":
        capture = LeadCaptureOperator(
            task_id=instance.task,
            leads=world.leads(instance.night, instance.partition),
            row_key="id",
            require_match_key=False,
            concurrency=CONCURRENCY,
            ledger_conn_id=LEDGER,
        )
        return Ended("done", capture.execute(context))
    sensor = LeadStatusSensor(task_id=instance.task, request_ids=outputs)
    (before,) = (task for task, wait in SENDING.items() if wait == instance.task)
    sensor.upstream_task_ids.add(before)
    found = sensor.poke(context)
    if found:
        return Ended("done", found.xcom_value)
    return Ended("later", seconds=float(sensor.poke_interval))
