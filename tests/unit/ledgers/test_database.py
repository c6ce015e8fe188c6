"""The database below the ledgers: connections as hooks open them, transactions, errors, and databases in trouble."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Barrier, Event
from types import SimpleNamespace
from typing import Any

import psycopg
import psycopg2
import psycopg2.extras
import pytest
from sqlalchemy import select
from time_machine import travel

from airflow_provider_leadsquared.ledgers import statements
from airflow_provider_leadsquared.ledgers.database import Database as LedgerDatabase
from airflow_provider_leadsquared.ledgers.drivers import driver_of
from airflow_provider_leadsquared.ledgers.errors import LedgerDataError, LedgerUnavailableError
from tests.unit.ledgers.stores import Database, by_identity, entry_of

ID, OTHER_ID = "a" * 32, "b" * 32


def _counter(account_id: str, no: int) -> dict[str, Any]:
    return {"account_id": account_id, "no": no, "noted": no, "void": 0}


def _numbers(database: LedgerDatabase) -> dict[str, int]:
    with database.reading() as connection:
        return {line.account_id: line.no for line in connection.execute(select(database.tables.counters))}


# --- connections as hooks open them -------------------------------------------------------------------------------


def _sqlite_rows(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.row_factory = sqlite3.Row
    connection.text_factory = bytes
    return connection


def _begun(connection: Any) -> Any:
    connection.cursor().execute("SELECT 1")
    return connection


def _latin1(connection: Any) -> Any:
    connection.set_client_encoding("LATIN1")
    return connection


SETTINGS: dict[str, Any] = {
    "sqlite_rows": (sqlite3.connect, {}, _sqlite_rows),
    "sqlite_autocommit": (sqlite3.connect, {"isolation_level": None}, None),
    "sqlite_exclusive": (sqlite3.connect, {"isolation_level": "EXCLUSIVE"}, None),
    "psycopg2_dict_cursor": (psycopg2.connect, {"cursor_factory": psycopg2.extras.DictCursor}, None),
    "psycopg2_real_dict_cursor": (psycopg2.connect, {"cursor_factory": psycopg2.extras.RealDictCursor}, None),
    "psycopg2_named_tuples": (psycopg2.connect, {"cursor_factory": psycopg2.extras.NamedTupleCursor}, None),
    "psycopg2_begun": (psycopg2.connect, {}, _begun),
    "psycopg2_latin1": (psycopg2.connect, {}, _latin1),
    "psycopg3_dict_rows": (psycopg.connect, {"row_factory": psycopg.rows.dict_row}, None),
    "psycopg3_autocommit": (psycopg.connect, {"autocommit": True}, None),
    "psycopg3_client_cursor": (psycopg.connect, {"cursor_factory": psycopg.ClientCursor}, None),
    "psycopg3_begun": (psycopg.connect, {}, _begun),
    "psycopg3_latin1": (psycopg.connect, {"client_encoding": "LATIN1"}, None),
    "psycopg3_sql_ascii": (psycopg.connect, {"client_encoding": "SQL_ASCII"}, None),
}


@pytest.fixture(params=SETTINGS)
def with_setting(request: pytest.FixtureRequest) -> Database:
    """Return an empty database whose connections have a setting that no ledger expects."""
    connect, options, change = SETTINGS[request.param]
    found: Database = request.getfixturevalue("sqlite" if connect is sqlite3.connect else "on_postgres")
    where = found.connect.args  # type: ignore[attr-defined]  # the fixture makes it a partial
    return Database(lambda: (change or (lambda one: one))(connect(*where, **options)), found.table, found.catalog)


def test_whatever_the_connection_is_set_to_entries_come_back(with_setting):
    entry = entry_of(0, row_key="मीरा", reason="😀")
    with_setting.ledger().write([entry])
    assert with_setting.ledger().load().entries == by_identity([entry])


def test_whatever_the_connection_is_set_to_a_write_that_fails_is_undone(with_setting):
    ledger = with_setting.open()

    def write() -> None:
        with ledger.writing() as connection:
            statements.upsert(connection, ledger.tables.counters, [_counter(ID, 1)])
            raise RuntimeError

    with pytest.raises(LedgerUnavailableError):
        write()
    assert _numbers(ledger) == _numbers(with_setting.open()) == {}


def _careless(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def test_sqlite_syncs_the_end_of_a_commit_too(sqlite):
    """At the default setting a power loss may bring the journal back, and undo the commit."""
    ledger = sqlite.open(connect=lambda: _careless(sqlite.connect()))
    with ledger.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3


class _Wrapper:
    """A connection as tracing libraries wrap it."""

    def __init__(self, connection: Any) -> None:
        self.__wrapped__ = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


class _OwnConnection(sqlite3.Connection):
    """A driver's connection with additions."""


def test_a_connection_in_a_wrapper_is_recognised(database):
    wrapped = database.ledger(connect=lambda: _Wrapper(_Wrapper(database.connect())))
    wrapped.write([entry_of(0)])
    assert len(database.ledger().load().entries) == 1


def test_a_driver_is_recognised_by_the_class_that_a_connection_derives_from():
    connection = sqlite3.connect(":memory:", factory=_OwnConnection)
    assert driver_of(connection) == ("sqlite+pysqlite", connection)


@pytest.mark.parametrize(
    ("module", "dialect"),
    [
        ("MySQLdb.connections", "mysql+mysqldb"),
        ("pymysql.connections", "mysql+pymysql"),
        ("mysql.connector.connection_cext", "mysql+mysqlconnector"),
        ("psycopg2.extensions", "postgresql+psycopg2"),
        ("psycopg", "postgresql+psycopg"),
        ("pyodbc", "mssql+pyodbc"),
    ],
)
def test_drivers_are_recognised_by_the_module_of_their_connection(module, dialect):
    connection = type("Connection", (), {"__module__": module})()
    assert driver_of(connection) == (dialect, connection)


def test_a_connection_of_an_unknown_driver_is_refused_with_the_remedy():
    database = LedgerDatabase(SimpleNamespace, table="ledger")
    with pytest.raises(LedgerDataError, match=r"types\.SimpleNamespace; name a ledger_conn_id that leads to Postgres"):
        database.exists()


# --- transactions -------------------------------------------------------------------------------------------------


def test_what_is_written_is_there_for_others_at_the_end_of_the_transaction(database):
    ledger = database.open()
    with ledger.writing() as connection:
        statements.upsert(connection, ledger.tables.counters, [_counter(ID, 1)])
    assert _numbers(database.open()) == {ID: 1}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit], ids=lambda error: error.__name__)
def test_what_is_written_before_an_error_is_undone(database, error):
    ledger = database.open()

    def write() -> None:
        with ledger.writing() as connection:
            statements.upsert(connection, ledger.tables.counters, [_counter(ID, 1)])
            raise error

    with pytest.raises((LedgerUnavailableError, error)):
        write()
    assert _numbers(ledger) == _numbers(database.open()) == {}


def test_what_stops_the_task_is_not_hidden(database):
    ledger = database.open()
    with pytest.raises(KeyboardInterrupt), ledger.writing():
        raise KeyboardInterrupt


def test_after_an_error_in_a_transaction_the_next_is_not_touched(database):
    ledger = database.open()
    with pytest.raises(LedgerUnavailableError), ledger.writing() as connection:
        connection.exec_driver_sql("SELECT no_such_column FROM no_such_table")
    with ledger.writing() as connection:
        statements.upsert(connection, ledger.tables.counters, [_counter(ID, 1)])
    assert _numbers(ledger) == {ID: 1}


def test_on_sqlite_a_writer_waits_for_a_writer_that_has_read_first(sqlite):
    ledger = sqlite.open()
    ledger.salt()
    first_has_read, second_is_done = Event(), Event()

    def second() -> None:
        first_has_read.wait(30)
        with ledger.writing() as connection:
            statements.upsert(connection, ledger.tables.counters, [_counter(OTHER_ID, 1)])
        second_is_done.set()

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(second)
        with ledger.writing() as connection:
            connection.execute(select(ledger.tables.counters)).all()
            first_has_read.set()
            assert not second_is_done.wait(0.3)
            statements.upsert(connection, ledger.tables.counters, [_counter(ID, 1)])
        done.result()
    assert _numbers(ledger) == {ID: 1, OTHER_ID: 1}


# --- connections --------------------------------------------------------------------------------------------------


def _counted(database: Database) -> tuple[LedgerDatabase, list[int]]:
    opened: list[int] = []

    def connect() -> Any:
        opened.append(1)
        return database.connect()

    return database.open(connect=connect), opened


def test_a_thread_keeps_its_connection(database):
    ledger, opened = _counted(database)
    for _ in range(5):
        _numbers(ledger)
    assert len(opened) == 1


def test_each_thread_has_a_connection_of_its_own(database):
    ledger, opened = _counted(database)
    _numbers(ledger)  # so that there is one that threads could share
    together = Barrier(3, timeout=30)

    def read() -> None:
        together.wait()
        _numbers(ledger)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: read(), range(3)))
    assert len(opened) == 4


def test_a_connection_that_is_older_than_a_minute_is_opened_anew(database):
    ledger, opened = _counted(database)
    with travel(datetime(2026, 1, 1), tick=False) as time:
        _numbers(ledger)
        time.shift(59)
        _numbers(ledger)
        assert len(opened) == 1
        time.shift(2)
        _numbers(ledger)
    assert len(opened) == 2


def test_after_an_error_the_connection_is_opened_anew(database):
    ledger, opened = _counted(database)
    with pytest.raises(LedgerUnavailableError), ledger.writing():
        raise OSError("gone")
    _numbers(ledger)
    assert len(opened) == 2


# --- errors -------------------------------------------------------------------------------------------------------


def test_an_error_shows_no_value(database):
    ledger = database.open()
    entry = entry_of(0, row_key="private key", reason="private reason", attempts=object())
    with pytest.raises(LedgerUnavailableError) as caught:
        database.ledger().write([entry])
    assert "private" not in f"{caught.value!r} {caught.value.__cause__!r}"
    with pytest.raises(LedgerUnavailableError) as caught, ledger.reading() as connection:
        connection.exec_driver_sql("SELECT private FROM no_such_table")
    assert "[SQL" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sqlalchemys_loggers_write_no_statement_no_value_and_no_address(database, caplog):
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    database.ledger().write([entry_of(0, row_key="private key")], metadata={"a": "private"})
    with pytest.raises(LedgerUnavailableError):
        database.ledger().write([entry_of(0, attempts=object())])
    database.ledger().load()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sqlalchemy")] == []


@pytest.mark.parametrize(
    "reason", [pytest.param("half of a pair: \ud800", id="surrogate"), pytest.param("nul: \0", id="nul")]
)
def test_a_value_that_the_database_cannot_take_is_no_reason_to_try_again(on_postgres, on_psycopg3, reason):
    for database in (on_postgres, on_psycopg3):
        with pytest.raises(LedgerDataError):
            database.ledger().write([entry_of(0, reason=reason)])


def test_a_text_that_is_too_long_is_refused_and_not_cut(on_postgres, on_psycopg3):
    for database in (on_postgres, on_psycopg3):
        with pytest.raises(LedgerDataError, match="too long"):
            database.ledger().write([entry_of(0, reason="r" * 1_001)])


# --- databases in trouble -----------------------------------------------------------------------------------------


def test_a_database_that_cannot_be_written_is_named_with_its_own_words(tmp_path, sqlite):
    sqlite.ledger().load()
    readonly = partial(sqlite3.connect, f"file:{tmp_path}/ledger.db?mode=ro", uri=True)
    with pytest.raises(LedgerUnavailableError, match=r"ledger table ledger: .*readonly database"):
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
        database.open(connect=connect).exists()


def test_tables_that_may_not_be_read_are_not_created_anew(on_postgres):
    on_postgres.ledger().load()
    schema = on_postgres.table.partition(".")[0]
    on_postgres.run(
        f"CREATE ROLE {schema} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {schema}",
    )
    (address,) = on_postgres.connect.args
    with pytest.raises(LedgerUnavailableError, match="permission denied"):
        on_postgres.open(connect=partial(psycopg2.connect, address, user=schema)).salt()


# --- databases that the tests do not run on -----------------------------------------------------------------------


@pytest.fixture
def untested(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return a database for which there are no statements of its own."""
    monkeypatch.setattr(statements, "_UPSERTS", {})
    monkeypatch.setattr(statements, "_UPDATES", {})
    monkeypatch.setattr(statements, "_NUMBERS", {})
    monkeypatch.setattr(statements, "_DIGESTS", {})
    return sqlite


def test_a_database_that_is_not_tested_is_warned_of_once(untested, caplog):
    ledger = untested.ledger()
    for row in range(3):
        ledger.write([entry_of(row)])
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        "The ledger ledger is in a database (sqlite) on which this package is not tested; Postgres, MySQL, MariaDB and "
        "SQLite are"
    ]


def test_a_database_that_is_tested_is_not_warned_of(database, caplog):
    database.ledger().write([entry_of(0)])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_on_a_database_that_is_not_tested_rows_replace_each_other_and_numbers_go_on(untested):
    ledger = untested.ledger()
    ledger.write([entry_of(0), entry_of(1)], metadata={"a": 1})
    ledger.write([entry_of(0, reason="newer")], metadata={"a": 2})
    records = untested.ledger().load()
    assert records.entries == by_identity([entry_of(0, reason="newer"), entry_of(1)])
    assert records.metadata == {"a": 2}
    ledger.write_outcomes([entry_of(1, reason="outcome")])
    assert by_identity([entry_of(1, reason="outcome")]).items() <= untested.ledger().load().entries.items()
    database = untested.open()
    counters = database.tables.counters
    with database.writing() as connection:
        assert [statements.next_numbers(connection, counters, ID, count) for count in (2, 3, 1)] == [1, 3, 6]
    unchanged = database.tables.unchanged
    with database.writing() as connection:
        statements.upsert(connection, unchanged, [{"row_line": ID, "digest": ID, "no": 2}])
        found = [statements.digests_in(connection, unchanged, [ID, OTHER_ID], after=after) for after in (1, 2)]
    assert found == [{ID}, set()]
