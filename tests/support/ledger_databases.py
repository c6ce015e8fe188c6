"""Databases for ledgers as people have them: one for each driver, and the settings of a connection that matter."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.ledgers import (
    open_requests_of_captures,
    open_requests_of_sync,
    open_sql_ledger,
    open_sync_ledger,
)
from tests.canaries import DATABASE_PASSWORD
from tests.support.round_trips import Proxy, RoundTrips, count_sqlite

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.ledgers.base import Ledger
    from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests
    from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
    from airflow_provider_leadsquared.ledgers.sync import SyncLedger
    from tests.support.mariadb import MariaDB

CONN_ID = "ledger_database"
_LEADSQUARED = {
    "conn_type": "leadsquared",
    "host": "http://127.0.0.1:1",
    "login": "access",
    "password": "secret-key",
    "extra": {"async_api_key": "async-api-key", "sync_host": "http://127.0.0.1:1"},
}
RUN = RunOfTask("sync", "2026-01-01", "capture")


@dataclass(frozen=True)
class LedgerDatabase:
    """
    An empty database, to which an Airflow connection leads.

    :param kind: What it is, one of the names in ``KINDS``.
    :param table: A name for the ledger table, with its schema where that is needed.
    :param connect: Opens a plain connection to it that is in autocommit and counts nothing.
    :param trips: Counts the round trips of the ledgers.
    :param proxy: What the ledgers' connections go through; None for SQLite.
    """

    kind: str
    table: str
    connect: Callable[[], Any]
    trips: RoundTrips
    proxy: Proxy | None = None

    def ledger(self, run: RunOfTask = RUN) -> Ledger:
        """Open the ledger of a capture."""
        return open_sql_ledger(LedgerAddress(CONN_ID, self.table, run))

    def capture_requests(self, receipts: Mapping[RunOfTask, Sequence[Entry]]) -> CaptureRequests:
        """Open the requests of captures, with the receipts that these returned."""
        addresses = [LedgerAddress(CONN_ID, self.table, run) for run in receipts]
        found = open_requests_of_captures(addresses, LeadSquaredHook(), polled_by=replace(RUN, task_id="wait"))
        (requests,) = found.values()
        for run, entries in receipts.items():
            for entry in entries:
                requests.add_receipt(run, entry)
        return requests

    def sync_ledger(self, run: RunOfTask = RUN, sync: str = "sync") -> SyncLedger:
        """Open the ledger of a sync's run."""
        return open_sync_ledger(LedgerAddress(CONN_ID, self.table, run, sync), LeadSquaredHook())

    def open_requests(self, *runs: RunOfTask, sync: str = "sync") -> OpenRequests:
        """Open the unsettled requests of a sync."""
        addresses = [LedgerAddress(CONN_ID, self.table, run, sync) for run in runs or (RUN,)]
        return open_requests_of_sync(addresses, LeadSquaredHook())

    def select(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds; ``{table}`` is the ledger table."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(query.replace("{table}", self.table))
            return [tuple(row) for row in cursor.fetchall()]


@dataclass(frozen=True)
class Kind:
    """
    A database as an Airflow connection leads to it.

    :param server: ``sqlite``, ``postgres`` or ``mariadb``.
    :param extra: What stands in the connection's extra.
    :param by_socket: The connection names a Unix socket in its extra, and no host.
    :param in_schema: The name of the ledger table has a schema.
    :param charset: MariaDB's character set of the database, with its collation.
    :param sql_mode: MariaDB's mode while the test runs; ``''`` is the one that cuts long texts without an error.
    :param psycopg2: Airflow's hook finds no psycopg 3.
    """

    server: str
    extra: tuple[tuple[str, Any], ...] = ()
    by_socket: bool = False
    in_schema: bool = False
    charset: str = "utf8mb4 COLLATE utf8mb4_general_ci"
    sql_mode: str | None = None
    psycopg2: bool = False


KINDS = {
    "sqlite": Kind("sqlite"),
    "psycopg3": Kind("postgres"),
    "psycopg3_dict_rows": Kind("postgres", (("cursor", "dictcursor"),)),
    "psycopg3_autocommit": Kind("postgres", (("autocommit", True),)),
    "psycopg3_socket_in_extra": Kind("postgres", by_socket=True, in_schema=True),
    "psycopg2": Kind("postgres", psycopg2=True),
    "psycopg2_dict_rows": Kind("postgres", (("cursor", "realdictcursor"),), psycopg2=True),
    "psycopg2_socket_in_extra": Kind("postgres", by_socket=True, psycopg2=True),
    "mysqlclient": Kind("mariadb"),
    "mysqlclient_dict_rows": Kind("mariadb", (("cursor", "dictcursor"),)),
    "mysqlclient_server_side_cursor": Kind("mariadb", (("cursor", "sscursor"),)),
    "mysqlclient_socket_in_extra": Kind("mariadb", by_socket=True, in_schema=True),
    "mysqlclient_latin1_database": Kind("mariadb", charset="latin1 COLLATE latin1_swedish_ci"),
    "mysqlclient_lax_server": Kind("mariadb", sql_mode=""),
    "mysql_connector": Kind("mariadb", (("client", "mysql-connector-python"),)),
}


#: Each driver once, with an ordinary connection, and everything on MariaDB, which has a time of its own.
DRIVERS = ("sqlite", "psycopg3", "psycopg2", *(name for name, kind in KINDS.items() if kind.server == "mariadb"))


def parameters(kinds: Iterable[str]) -> list[Any]:
    """Return kinds as parameters of a fixture; those on MariaDB are run by ``make test-mariadb`` only."""
    return [
        pytest.param(name, marks=[pytest.mark.mariadb] if KINDS[name].server == "mariadb" else []) for name in kinds
    ]


#: Runs a test, which takes the fixture ``ledger_database``, with every kind of connection, not only with each driver.
with_every_connection = pytest.mark.parametrize("ledger_database", parameters(KINDS), indirect=True)


@contextmanager
def ledger_database_of(request: pytest.FixtureRequest, name: str) -> Iterator[LedgerDatabase]:
    """Open a database of a kind, for one test."""
    kind = KINDS[name]
    open_one = {"sqlite": _on_sqlite, "postgres": _on_postgres, "mariadb": _on_mariadb}[kind.server]
    monkeypatch = request.getfixturevalue("monkeypatch")
    with tempfile.TemporaryDirectory(prefix="ledger") as folder, open_one(request, name, Path(folder)) as database:
        if kind.psycopg2:
            monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)
        yield database


@contextmanager
def _on_sqlite(request: pytest.FixtureRequest, name: str, folder: Path) -> Iterator[LedgerDatabase]:
    monkeypatch = request.getfixturevalue("monkeypatch")
    path = folder / "ledger.db"
    _define(monkeypatch, conn_type="sqlite", host=str(path))
    connect = partial(sqlite3.connect, path, isolation_level=None)
    yield LedgerDatabase(name, "leadsquared_ledger", connect, count_sqlite(monkeypatch))


@contextmanager
def _on_postgres(request: pytest.FixtureRequest, name: str, folder: Path) -> Iterator[LedgerDatabase]:
    import psycopg2

    kind, schema = KINDS[name], f"s{uuid.uuid4().hex}"
    server = parse_qs(urlsplit(request.getfixturevalue("postgres")).query)["host"][0]

    def connect() -> Any:
        connection = psycopg2.connect(
            host=server, user="postgres", dbname="postgres", options=f"-c search_path={schema}"
        )
        connection.autocommit = True
        return connection

    with closing(connect()) as connection:
        connection.cursor().execute(f"CREATE SCHEMA {schema}")
    extra = dict(kind.extra)
    if not kind.in_schema:
        extra["options"] = f"-c search_path={schema}"
    with Proxy(Path(server) / ".s.PGSQL.5432", folder / ".s.PGSQL.5432" if kind.by_socket else None) as proxy:
        where = {"host": "127.0.0.1", "port": proxy.port} if proxy.port else {}
        if kind.by_socket:
            extra["host"] = str(folder)
        _define(
            request.getfixturevalue("monkeypatch"),
            conn_type="postgres",
            login="postgres",
            password=DATABASE_PASSWORD,
            schema="postgres",
            extra=extra,
            **where,
        )
        table = f"{schema}.leadsquared_ledger" if kind.in_schema else "leadsquared_ledger"
        yield LedgerDatabase(name, table, connect, proxy.trips, proxy)


@contextmanager
def _on_mariadb(request: pytest.FixtureRequest, name: str, folder: Path) -> Iterator[LedgerDatabase]:
    kind, schema = KINDS[name], f"s{uuid.uuid4().hex}"
    server = request.getfixturevalue("mariadb")
    with closing(server.connect()) as connection:
        connection.cursor().execute(f"CREATE DATABASE {schema} CHARACTER SET {kind.charset}")
    extra = dict(kind.extra)
    socket = folder / "mariadb.sock"
    with Proxy(server.socket, socket if kind.by_socket else None) as proxy, _sql_mode(server, kind.sql_mode):
        where = {"host": "127.0.0.1", "port": proxy.port} if proxy.port else {}
        if kind.by_socket:
            extra["unix_socket"] = str(socket)
        _define(
            request.getfixturevalue("monkeypatch"),
            conn_type="mysql",
            login=server.user,
            password=DATABASE_PASSWORD,
            schema=schema,
            extra=extra,
            **where,
        )
        table = f"{schema}.leadsquared_ledger" if kind.in_schema else "leadsquared_ledger"
        yield LedgerDatabase(name, table, partial(server.connect, schema), proxy.trips, proxy)


@contextmanager
def _sql_mode(server: MariaDB, mode: str | None) -> Iterator[None]:
    """Let new connections be in a mode of MariaDB."""
    if mode is None:
        yield
        return
    with closing(server.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT @@GLOBAL.sql_mode")
        ((before,),) = cursor.fetchall()
        cursor.execute("SET GLOBAL sql_mode = %s", (mode,))
        try:
            yield
        finally:
            cursor.execute("SET GLOBAL sql_mode = %s", (before,))


def _define(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
    monkeypatch.setenv("AIRFLOW_CONN_LEADSQUARED_DEFAULT", json.dumps(_LEADSQUARED))
