"""The version of the tables: their creation, migrations of tables with data in them, and tables of other layouts."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from time import time

import pytest
from sqlalchemy import Column, Connection, String, text

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.database import Database as LedgerDatabase
from airflow_provider_leadsquared.ledgers.errors import LedgerError, LedgerUnavailableError, LedgerVersionError
from airflow_provider_leadsquared.ledgers.migrations import (
    FIRST_VERSION,
    MIGRATIONS,
    SCHEMA_VERSION,
    Migration,
    add_column,
)
from airflow_provider_leadsquared.ledgers.schema import Tables
from airflow_provider_leadsquared.ledgers.sql import SqlLedger
from tests.unit.ledgers.stores import RUN, Database, by_identity, entry_of
from tests.unit.ledgers.syncs import begun, compared, sent

# --- creation -----------------------------------------------------------------------------------------------------


def test_a_creation_that_was_killed_half_way_is_finished(sqlite):
    sqlite.run("CREATE TABLE {table}_metadata (scope, name, content, PRIMARY KEY (scope, name))")
    sqlite.ledger().write([entry_of(0)])
    assert len(sqlite.ledger().load().entries) == 1


def test_a_creation_that_was_killed_before_its_last_step_is_finished(database):
    database.ledger().write([entry_of(0)])
    database.run("DELETE FROM {table}_metadata WHERE name = 'version'")
    assert len(database.ledger().load().entries) == 1


def test_tasks_that_create_the_tables_at_the_same_moment_all_get_them(database):
    together = Barrier(8, timeout=30)

    def write(map_index: int) -> int:
        ledger = database.ledger(run=replace(RUN, map_index=map_index))
        together.wait()
        ledger.write([entry_of(map_index)])
        return len(ledger.load().entries)

    with ThreadPoolExecutor(8) as tasks:
        assert list(tasks.map(write, range(8))) == [1] * 8


def test_asking_whether_there_is_a_ledger_creates_none(database):
    assert not database.open().exists()
    assert database.names() == set()
    database.ledger().claim("x")
    assert database.open().exists()


def test_the_tables_have_a_salt_that_stays(database):
    salt = database.open().salt()
    database.ledger().write([entry_of(0)])
    assert (database.open().salt(), len(salt)) == (salt, 64)


def test_each_ledger_has_a_salt_of_its_own(database):
    assert database.open().salt() != database.open(table=f"{database.table}_2").salt()


# --- migrations ---------------------------------------------------------------------------------------------------


def _add_colour(connection: Connection, tables: Tables) -> None:
    add_column(connection, tables, "entries", Column("colour", String(20), nullable=True))


def _add_colour_once(connection: Connection, tables: Tables) -> None:
    connection.execute(text(f"ALTER TABLE {tables.name} ADD colour VARCHAR(20)"))


COLOUR = Migration(SCHEMA_VERSION + 1, _add_colour)
COLOUR_ONCE = Migration(SCHEMA_VERSION + 1, _add_colour_once)
SIZE = Migration(
    SCHEMA_VERSION + 2,
    lambda connection, tables: add_column(connection, tables, "lines", Column("size", String(20), nullable=True)),
)


def _migrated(database: Database, migrations: Sequence[Migration]) -> SqlLedger:
    return SqlLedger(database.open(migrations=[*MIGRATIONS, *migrations]), run=RUN, clock=time)


def test_tables_with_data_are_brought_up_to_date_on_first_use(database):
    database.ledger().write([entry_of(0)], metadata={"a": 1})
    records = _migrated(database, [COLOUR, SIZE]).load()
    assert (records.entries, records.metadata) == (by_identity([entry_of(0)]), {"a": 1})
    assert database.select("SELECT colour FROM {table}") == [(None,)]
    assert database.select("SELECT size FROM {table}_lines") == []


def test_a_migration_runs_once(database):
    database.ledger().write([entry_of(0)])
    for _ in range(3):
        assert len(_migrated(database, [COLOUR_ONCE]).load().entries) == 1


def test_only_the_migrations_that_are_missing_run(database):
    database.ledger().load()
    _migrated(database, [COLOUR_ONCE]).load()
    _migrated(database, [COLOUR_ONCE, SIZE]).load()
    assert database.select("SELECT size FROM {table}_lines") == []


def test_new_tables_need_no_migration(database):
    twice = Migration(SCHEMA_VERSION + 1, _add_colour_once)
    _migrated(database, [twice]).load()
    assert database.open(migrations=[*MIGRATIONS, twice]).exists()


def test_processes_that_migrate_at_the_same_moment_find_one_new_column(database):
    database.ledger().write([entry_of(0)])
    context = multiprocessing.get_context("fork")
    together, outcomes = context.Barrier(3), context.SimpleQueue()

    def migrate() -> None:
        together.wait(30)
        try:
            outcomes.put(len(_migrated(database, [COLOUR_ONCE]).load().entries))
        except BaseException as error:
            outcomes.put(repr(error))

    processes = [context.Process(target=migrate) for _ in range(3)]
    for process in processes:
        process.start()
    found = [outcomes.get() for _ in processes]
    for process in processes:
        process.join()
    assert found == [1] * 3


def test_a_migration_that_failed_is_run_again(database):
    database.ledger().write([entry_of(0)])
    failures = [True]

    def fail_once(connection: Connection, tables: Tables) -> None:
        _add_colour(connection, tables)
        if failures:
            failures.pop()
            raise OSError("the worker was stopped")

    migration = Migration(SCHEMA_VERSION + 1, fail_once)
    with pytest.raises(LedgerUnavailableError, match="the worker was stopped"):
        _migrated(database, [migration]).load()
    assert len(_migrated(database, [migration]).load().entries) == 1
    assert database.select("SELECT colour FROM {table}") == [(None,)]


def test_adding_a_column_may_be_repeated(database):
    ledger = database.open()
    with ledger.writing() as connection:
        _add_colour(connection, ledger.tables)
        _add_colour(connection, ledger.tables)
    assert database.select("SELECT colour FROM {table}") == []


def test_a_task_of_the_version_before_goes_on_while_another_migrates(database):
    old = database.ledger()
    old.write([entry_of(0)])
    _migrated(database, [COLOUR]).load()
    old.write([entry_of(1)])
    assert len(_migrated(database, [COLOUR]).load().entries) == 2


# --- version 6: the table of unchanged rows ------------------------------------------------------------------------


def _back_to_version_5(database: Database) -> None:
    database.run(
        "DROP TABLE {table}_unchanged",
        "ALTER TABLE {table}_counters DROP COLUMN noted",
        "ALTER TABLE {table}_counters DROP COLUMN void",
        "UPDATE {table}_metadata SET content = '5' WHERE scope = 'tables' AND name = 'version'",
    )


def test_a_memory_of_version_5_is_brought_up_to_date_and_knows_what_it_knew(database, ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    _back_to_version_5(database)
    found = compared(ledger("2"))
    assert (found.state, found.is_lasting) == (State.UNCHANGED, True)
    assert ledger("2").unchanged.keep([("k", "d" * 32, found.lines_digest)]) == 1
    assert ledger("3").unchanged.among(["d" * 32]) == {"d" * 32}
    assert database.select("SELECT content FROM {table}_metadata WHERE name = 'version'") == [(str(SCHEMA_VERSION),)]


def test_the_table_of_unchanged_rows_is_made_though_an_earlier_attempt_was_killed(database, ledger):
    begun(ledger("1"))
    _back_to_version_5(database)
    database.run("ALTER TABLE {table}_counters ADD noted BIGINT DEFAULT 0 NOT NULL")
    begun(ledger("2"))
    assert database.select("SELECT void = 1, noted = no FROM {table}_counters") in ([(True, True)], [(1, 1)])


def test_a_task_of_version_5_draws_numbers_from_the_tables_of_version_6(database, ledger):
    begun(ledger("1"))
    database.run("INSERT INTO {table}_counters (account_id, no) VALUES ('another', 3)")
    assert sorted(database.select("SELECT no, noted, void FROM {table}_counters")) == [(1, 1, 0), (3, 0, 0)]


# --- tables of another version ------------------------------------------------------------------------------------


def _statements_of(version: int) -> list[str]:
    sql = (Path(__file__).parent / f"tables_of_version_{version}.sql").read_text()
    return re.findall(r"^-- name: \w+\n(.*?)(?=\n-- name|\Z)", sql, re.DOTALL | re.MULTILINE)


#: What earlier versions created their tables with, and the rows that make them look used.
OLD = {
    2: [
        *_statements_of(2),
        "INSERT INTO {table}_marks (scope, name, mark) VALUES ('tables', 'version', '2')",
        "INSERT INTO {table} VALUES ('s', 'e', NULL, 'sync', 'run', 'capture', -1, 0, 0, 'open', 'k', 'f', 0, 'r', "
        "NULL, NULL, NULL, NULL, NULL, 1, NULL, '2026-01-01 00:00:00')",
    ],
    3: [
        *_statements_of(3),
        "INSERT INTO {table}_metadata (scope, name, content) VALUES ('tables', 'version', '3')",
        "INSERT INTO {table} VALUES ('s', 'e', NULL, 'sync', 'run', 'capture', -1, 0, 0, 'open', 'k', 'f', 0, 'r', "
        "NULL, NULL, NULL, NULL, NULL, 1, NULL, 'lead_capture', '2026-01-01 00:00:00')",
    ],
}

USES = {
    "load": lambda database: database.ledger().load(),
    "claim": lambda database: database.ledger().claim("try 2"),
    "start_over": lambda database: database.ledger().start_over(),
    "intend": lambda database: database.ledger().intend([]),
    "write": lambda database: database.ledger().write([entry_of(0)], metadata={"a": 1}),
    "exists": lambda database: database.open().exists(),
    "salt": lambda database: database.open().salt(),
}


@pytest.fixture(params=OLD)
def version(request: pytest.FixtureRequest) -> int:
    """Return the version of the tables in ``of_old_version``."""
    return request.param


@pytest.fixture
def of_old_version(database: Database, version: int) -> Database:
    """Return a database with the tables of an earlier version and a row in them."""
    database.run(*OLD[version])
    return database


def _contents(database: Database) -> list[object]:
    return [database.select(f"SELECT * FROM {name}") for name in sorted(_tables(database))]


def _tables(database: Database) -> set[str]:
    schema = database.table.rpartition(".")[0]
    return {f"{schema}.{name}" if schema else name for name in database.names()}


def test_tables_of_an_earlier_version_are_refused_with_the_remedy(of_old_version, version):
    with pytest.raises(LedgerVersionError) as caught:
        of_old_version.ledger().load()
    assert str(caught.value) == (
        f"the ledger table {of_old_version.table} is of version {version}, this package reads version "
        f"{SCHEMA_VERSION}; name another ledger_table, which begins with an empty memory"
    )


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_every_use_of_tables_of_an_earlier_version_is_refused_and_changes_nothing(of_old_version, version, use):
    names, contents = of_old_version.names(), _contents(of_old_version)
    with pytest.raises(LedgerVersionError, match=f"version {version}"):
        use(of_old_version)
    with suppress(LedgerError):
        use(of_old_version)
    assert (of_old_version.names(), _contents(of_old_version)) == (names, contents)


@pytest.mark.parametrize("found", [0, FIRST_VERSION - 1, SCHEMA_VERSION + 1])
def test_tables_of_another_version_are_refused_with_the_remedy(database, found):
    database.ledger().load()
    database.run(f"UPDATE {{table}}_metadata SET content = '{found}' WHERE name = 'version'")
    with pytest.raises(LedgerVersionError, match=rf"version {found},.*name another ledger_table"):
        database.ledger().load()


def test_tables_that_a_newer_version_has_migrated_are_refused(database):
    _migrated(database, [COLOUR]).write([entry_of(0)])
    with pytest.raises(LedgerVersionError, match=f"version {SCHEMA_VERSION + 1}"):
        database.ledger().load()


def test_tables_of_this_version_under_another_name_stand_beside_older_ones(of_old_version):
    table = f"{of_old_version.table}_new"
    of_old_version.ledger(table=table).write([entry_of(0)])
    assert len(of_old_version.ledger(table=table).load().entries) == 1


def test_names_need_no_quotes_whatever_their_case(database):
    schema, dot, _ = database.table.rpartition(".")
    database = replace(database, table=f"{schema}{dot}My_Ledger")
    database.ledger().write([entry_of(0)])
    assert _migrated(database, [COLOUR_ONCE]).load().entries == by_identity([entry_of(0)])
    assert database.select(f"SELECT COUNT(*) FROM {database.table.lower()}") == [(1,)]


@pytest.mark.parametrize("table", ["", "a b", "a;DROP TABLE x", "1a", "a.b.c", 'a"b', "é", "x" * 52])
def test_a_table_name_that_is_no_plain_name_is_refused(table):
    with pytest.raises(ValueError, match="no plain table name"):
        LedgerDatabase(lambda: None, table=table)


@pytest.mark.parametrize("length", [50, 51])
def test_a_table_name_may_have_51_characters(database, length):
    schema, dot, _ = database.table.rpartition(".")
    database = replace(database, table=f"{schema}{dot}{'x' * length}")
    database.ledger().write([entry_of(0)])
    assert len(database.ledger().load().entries) == 1
