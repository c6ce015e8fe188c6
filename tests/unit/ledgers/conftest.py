"""Ledgers on every store, and the databases below them."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest

from airflow_provider_leadsquared.ledgers.base import Ledger
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
from airflow_provider_leadsquared.ledgers.sync import SyncLedger
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
from tests.unit.ledgers.stores import Database, StrictStore
from tests.unit.ledgers.syncs import NOW, SETTLE_TIMEOUT, run_named


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    """Return an empty SQLite file, ``ledger.db`` in the test's folder."""
    return Database(
        partial(sqlite3.connect, tmp_path / "ledger.db"),
        "?",
        "ledger",
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')",
    )


@pytest.fixture
def on_postgres(postgres: str) -> Database:
    """Return an empty Postgres schema of the test's own."""
    schema = f"s{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    return Database(
        partial(psycopg2.connect, postgres),
        "%s",
        f"{schema}.ledger",
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'",
    )


@pytest.fixture(params=["sqlite", "on_postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Return an empty database."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store() -> StrictStore:
    """Return an empty task state store."""
    return StrictStore()


@pytest.fixture(params=["memory", "task_state", "sqlite", "on_postgres"])
def open_ledger(request: pytest.FixtureRequest) -> Callable[[], Ledger]:
    """Return a function that opens a fresh ledger on one store."""
    if request.param == "memory":
        ledger = InProcessLedger()
        return lambda: ledger
    return _shared(request)


@pytest.fixture(params=["task_state", "sqlite", "on_postgres"])
def open_shared_ledger(request: pytest.FixtureRequest) -> Callable[[], Ledger]:
    """Return a function as ``open_ledger`` does, on a store that several processes may reach."""
    return _shared(request)


def _shared(request: pytest.FixtureRequest) -> Callable[[], Ledger]:
    if request.param == "task_state":
        return partial(TaskStateLedger, request.getfixturevalue("store"))
    database: Database = request.getfixturevalue(request.param)
    return database.ledger


@pytest.fixture
def time() -> SimpleNamespace:
    """Return the clock of the ledgers of a sync; ``now`` may be set."""
    return SimpleNamespace(now=NOW)


@pytest.fixture
def ledger(database: Database, time: SimpleNamespace) -> Callable[..., SyncLedger]:
    """Return a function that opens the ledger of a run of a sync."""
    options = {**database.options(), "sync": "sync", "settle_timeout": SETTLE_TIMEOUT, "clock": lambda: time.now}
    return lambda name="1", **changes: SyncLedger(**{**options, "run": run_named(name), **changes})


@pytest.fixture
def requests(database: Database, time: SimpleNamespace) -> Callable[..., OpenRequests]:
    """Return a function that opens the open requests of a sync, as seen by some runs."""
    return lambda *names, sync="sync": OpenRequests(
        **database.options(), sync=sync, runs=[run_named(name) for name in names], clock=lambda: time.now
    )
