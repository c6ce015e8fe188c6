"""Ledgers on every store, and the databases below them."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import psycopg2
import pytest

from airflow_provider_leadsquared.ledgers.base import Ledger
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
from airflow_provider_leadsquared.ledgers.sync import SyncIdentity, SyncLedger
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
from tests.unit.ledgers.stores import Database, StrictStore
from tests.unit.ledgers.syncs import NOW, SETTLE_TIMEOUT, run_named


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    """Return an empty SQLite file, ``ledger.db`` in the test's folder."""
    return Database(
        partial(sqlite3.connect, tmp_path / "ledger.db"),
        "ledger",
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')",
    )


@pytest.fixture
def on_postgres(postgres: str) -> Database:
    """Return an empty Postgres schema of the test's own, by psycopg2."""
    return _in_new_schema(postgres, partial(psycopg2.connect, postgres))


@pytest.fixture
def on_psycopg3(postgres: str) -> Database:
    """Return an empty Postgres schema of the test's own, by psycopg 3."""
    return _in_new_schema(postgres, partial(psycopg.connect, postgres))


def _in_new_schema(postgres: str, connect: Callable[[], object]) -> Database:
    schema = f"s{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    return Database(
        connect,
        f"{schema}.ledger",
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'",
    )


@pytest.fixture(params=["sqlite", "on_postgres", "on_psycopg3"])
def database(request: pytest.FixtureRequest) -> Database:
    """Return an empty database."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store() -> StrictStore:
    """Return an empty task state store."""
    return StrictStore()


@pytest.fixture(params=["memory", "task_state", "sqlite", "on_postgres", "on_psycopg3"])
def open_ledger(request: pytest.FixtureRequest) -> Callable[[], Ledger]:
    """Return a function that opens a fresh ledger on one store."""
    if request.param == "memory":
        ledger = InProcessLedger()
        return lambda: ledger
    return _shared(request)


@pytest.fixture(params=["task_state", "sqlite", "on_postgres", "on_psycopg3"])
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
    return lambda name="1", *, run=None, **changes: SyncLedger(
        database.open(), run=run or run_named(name), identity=_identity(**changes), **_times(time)
    )


@pytest.fixture
def requests(database: Database, time: SimpleNamespace) -> Callable[..., OpenRequests]:
    """Return a function that opens the open requests of a sync, as seen by some runs."""
    return lambda *names, **changes: OpenRequests(
        database.open(), identity=_identity(**changes), runs=[run_named(name) for name in names], **_times(time)
    )


def _identity(*, sync: str = "sync", account: str = "https://crm.example", **more: bool) -> SyncIdentity:
    return SyncIdentity(sync=sync, account=account, **more)


def _times(time: SimpleNamespace) -> dict[str, Any]:
    return {
        "settle_timeout": SETTLE_TIMEOUT,
        "clock": lambda: time.now,
        "shared_clock": lambda connection: time.now,
    }
