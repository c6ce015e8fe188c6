"""A warehouse on SQLite and on Postgres."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests import canaries
from tests.integration.sync.nights import Warehouse
from tests.integration.tasks import connect_sqlite


@pytest.fixture
def on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connect_sqlite(monkeypatch, "warehouse", path)
    return Warehouse(lambda: sqlite3.connect(path), "?", "")


@pytest.fixture
def on_postgres(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    schema = f"w{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres)
    return Warehouse(lambda: psycopg2.connect(postgres), "%s", f"{schema}.")


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """Return a warehouse; what its ledger holds in the end is searched for keys and addresses."""
    warehouse: Warehouse = request.getfixturevalue(request.param)
    yield warehouse
    assert not canaries.found_in(warehouse.ledger_as_text())
