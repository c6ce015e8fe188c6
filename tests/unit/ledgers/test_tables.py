"""The tables of the ledgers: their names, their creation, tables of another version, and databases in trouble."""

from __future__ import annotations

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from time import time
from typing import Any

import pytest
from airflow_provider_leadsquared.ledgers.tables import SCHEMA_VERSION

from airflow_provider_leadsquared.ledgers.errors import LedgerError, LedgerUnavailableError, LedgerVersionError
from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
from airflow_provider_leadsquared.ledgers.sql import SqlLedger
from airflow_provider_leadsquared.ledgers.sync import SyncLedger
from tests.unit.ledgers.stores import RUN, Database, entry_of


@pytest.mark.parametrize("table", ["", "a b", "a;DROP TABLE x", "1a", "a.b.c", 'a"b', "é", "x" * 52])
def test_a_table_name_that_is_no_plain_name_is_refused(table):
    connect = partial(sqlite3.connect, ":memory:")
    with pytest.raises(ValueError, match="no plain table name"):
        SqlLedger(connect, placeholder="?", table=table, run=RUN, clock=time)


# --- creation -----------------------------------------------------------------------------------------------------


def test_a_creation_that_was_killed_half_way_is_finished(sqlite):
    sqlite.run("CREATE TABLE {table}_metadata (scope, name, content, PRIMARY KEY (scope, name))")
    sqlite.ledger().write([entry_of(0)])
    assert len(sqlite.ledger().load().entries) == 1


@pytest.mark.parametrize("_", range(4))
def test_tasks_that_create_the_tables_at_the_same_moment_all_get_them(database, _):
    together = Barrier(8, timeout=30)

    def write(map_index: int) -> int:
        ledger = database.ledger(run=replace(RUN, map_index=map_index))
        together.wait()
        ledger.write([entry_of(map_index)])
        return len(ledger.load().entries)

    with ThreadPoolExecutor(8) as tasks:
        assert list(tasks.map(write, range(8))) == [1] * 8


def test_asking_whether_there_is_a_ledger_creates_none(database):
    assert not _sync_ledger(database).exists()
    assert not _sync_ledger(database).exists()
    _sync_ledger(database).claim("x")
    assert _sync_ledger(database).exists()


# --- tables of another version ------------------------------------------------------------------------------------

SQL_OF_VERSION_2 = (Path(__file__).parent / "tables_of_version_2.sql").read_text()
#: Version 2 created its tables with these, and wrote its version into the metadata.
VERSION_2 = (
    *re.findall(r"^-- name: \w+\n(.*?)(?=\n-- name|\Z)", SQL_OF_VERSION_2, re.DOTALL | re.MULTILINE),
    "INSERT INTO {table}_marks (scope, name, mark) VALUES ('tables', 'version', '2')",
)
NAMES_OF_VERSION_2 = {"ledger", "ledger_marks", "ledger_leads", "ledger_last", "ledger_rejects"}


def _sync_ledger(database: Database, **changes: Any) -> SyncLedger:
    options = {**database.options(), "run": RUN, "sync": "sync", "settle_timeout": 1_000.0, "clock": time}
    return SyncLedger(**options | changes)


def _open_requests(database: Database) -> OpenRequests:
    return OpenRequests(**database.options(), sync="sync", runs=[RUN], clock=time)


USES = {
    "load": lambda database: database.ledger().load(),
    "claim": lambda database: database.ledger().claim("try 2"),
    "start_over": lambda database: database.ledger().start_over(),
    "write": lambda database: database.ledger().write([entry_of(0)], metadata={"a": 1}),
    "recall": lambda database: _sync_ledger(database).recall(["k"]),
    "exists": lambda database: _sync_ledger(database).exists(),
    "open_requests": lambda database: _open_requests(database).load(),
}


@pytest.fixture
def of_version_2(database: Database) -> Database:
    """Return a database with the tables of version 2 and a row in each."""
    database.run(
        *VERSION_2,
        "INSERT INTO {table} VALUES ('s', 'e', NULL, 'sync', 'run', 'capture', -1, 0, 0, 'open', 'k', 'f', 0, 'r', "
        "NULL, NULL, NULL, NULL, NULL, 1, NULL, '2026-01-01 00:00:00')",
        "INSERT INTO {table}_leads VALUES ('y', 'i', 'k', NULL, 's', 'e')",
    )
    return database


def _contents(database: Database) -> list[object]:
    return [database.select(f"SELECT * FROM {{table}}{part}") for part in ("", "_marks", "_leads")]


def test_the_tables_of_version_2_are_those_that_it_created(of_version_2):
    assert of_version_2.names() == NAMES_OF_VERSION_2


def test_tables_of_version_2_are_refused_with_the_remedy(of_version_2):
    with pytest.raises(LedgerVersionError) as caught:
        of_version_2.ledger().load()
    assert str(caught.value) == (
        f"the ledger table {of_version_2.table} is of version 2, this package reads version 3; name another "
        "ledger_table, which begins with an empty memory"
    )


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_every_use_of_tables_of_version_2_is_refused(of_version_2, use):
    with pytest.raises(LedgerVersionError, match="version 2"):
        use(of_version_2)


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_beside_tables_of_version_2_nothing_is_created(of_version_2, use):
    with suppress(LedgerError):
        use(of_version_2)
    assert of_version_2.names() == NAMES_OF_VERSION_2


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_into_tables_of_version_2_nothing_is_written(of_version_2, use):
    before = _contents(of_version_2)
    with suppress(LedgerError):
        use(of_version_2)
    assert _contents(of_version_2) == before


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_tables_of_another_version_are_refused_with_the_remedy(database, version):
    database.ledger().load()
    database.run(f"UPDATE {{table}}_metadata SET content = '{version}' WHERE name = 'version'")
    with pytest.raises(LedgerVersionError, match=rf"version {version},.*name another ledger_table"):
        database.ledger().load()


def test_tables_of_this_version_under_another_name_stand_beside_those_of_version_2(of_version_2):
    table = f"{of_version_2.table}_new"
    of_version_2.ledger(table=table).write([entry_of(0)])
    assert len(of_version_2.ledger(table=table).load().entries) == 1


# --- databases in trouble -----------------------------------------------------------------------------------------


def test_a_database_that_cannot_be_written_is_named_with_its_own_words(tmp_path, sqlite):
    sqlite.ledger().load()
    readonly = partial(sqlite3.connect, f"file:{tmp_path}/ledger.db?mode=ro", uri=True)
    with pytest.raises(LedgerUnavailableError, match="readonly database"):
        sqlite.ledger(connect=readonly).write([entry_of(0)])


def test_a_database_that_is_away_is_found_again_when_it_is_back(tmp_path, sqlite):
    folder = tmp_path / "db"
    ledger = sqlite.ledger(connect=partial(sqlite3.connect, folder / "x.db"))
    with pytest.raises(LedgerUnavailableError, match="unable to open"):
        ledger.write([entry_of(0)])
    folder.mkdir()
    ledger.write([entry_of(0)])
    assert len(ledger.load().entries) == 1


def test_a_database_that_cannot_be_reached_is_not_an_empty_one(database):
    def connect() -> None:
        raise OSError("no route")

    with pytest.raises(LedgerUnavailableError, match="no route"):
        _sync_ledger(database, connect=connect).exists()
