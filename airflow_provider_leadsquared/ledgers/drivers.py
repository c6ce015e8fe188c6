"""Connections of Airflow's hooks: which driver they are of, and the settings that the ledger needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from airflow_provider_leadsquared.ledgers.errors import LedgerDataError

#: SQLAlchemy's name for each driver, by the module of its connection's class.
_DIALECTS = {
    "sqlite3": "sqlite+pysqlite",
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2",
    "MySQLdb": "mysql+mysqldb",
    "pymysql": "mysql+pymysql",
    "mysql.connector": "mysql+mysqlconnector",
    "pyodbc": "mssql+pyodbc",
    "pymssql": "mssql+pymssql",
    "oracledb": "oracle+oracledb",
    "cx_Oracle": "oracle+cx_oracle",
}
#: MySQL may cut values that are too long unless it is strict; and a transaction that waited for another must see what
#: that one has committed.
_MYSQL_SESSION = (
    "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
#: Where wrappers keep the driver's own connection: wrapt's, SQLAlchemy's and those of tracing libraries.
_WRAPPED = ("__wrapped__", "driver_connection", "dbapi_connection", "_connection", "_conn")


def driver_of(connection: Any) -> tuple[str, Any]:
    """
    Return SQLAlchemy's name for a connection's driver, and the driver's own connection if it was wrapped.

    :raises LedgerDataError: No dialect of SQLAlchemy is known for the driver.
    """
    for candidate in _unwrapped(connection):
        for base in type(candidate).__mro__:
            for module, dialect in _DIALECTS.items():
                if base.__module__ == module or base.__module__.startswith(f"{module}."):
                    return dialect, candidate
    kind = type(connection)
    raise LedgerDataError(
        f"a ledger cannot be kept through a {kind.__module__}.{kind.__qualname__}; name a ledger_conn_id that leads to "
        "Postgres, MySQL or SQLite"
    )


def prepare(dialect: str, connection: Any) -> None:
    """
    Set a new connection so that rows are tuples, texts are Unicode, and a transaction lasts until it is ended.

    :param dialect: SQLAlchemy's name for the driver.
    """
    if dialect in _PREPARE:
        _PREPARE[dialect](connection)


def _unwrapped(connection: Any) -> Iterator[Any]:
    seen: list[Any] = []
    while connection is not None and not any(connection is one for one in seen):
        seen.append(connection)
        yield connection
        inner = (getattr(connection, name, None) for name in _WRAPPED)
        connection = next((one for one in inner if one is not None), None)


def _prepare_sqlite(connection: sqlite3.Connection) -> None:
    connection.row_factory = None
    connection.text_factory = str
    if hasattr(connection, "autocommit"):  # since Python 3.12
        connection.autocommit = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL
    connection.isolation_level = None  # the driver begins no transaction: the ledger does, with the lock that it needs
    # A commit ends with the deletion of the journal. At SQLite's default (FULL) a power loss may undo that, and with it
    # the commit; in WAL mode some builds do not sync each commit at all.
    connection.execute("PRAGMA synchronous = EXTRA")


def _prepare_psycopg(connection: Any) -> None:
    from psycopg import Cursor
    from psycopg.rows import tuple_row

    connection.rollback()  # the hook may have begun a transaction
    if connection.info.parameter_status("client_encoding") != "UTF8":
        connection.autocommit = True
        connection.execute("SET client_encoding TO 'UTF8'")
    connection.autocommit = False
    connection.row_factory = tuple_row
    connection.cursor_factory = Cursor


def _prepare_psycopg2(connection: Any) -> None:
    connection.rollback()
    connection.autocommit = False
    connection.cursor_factory = None
    if connection.encoding != "UTF8":
        connection.set_client_encoding("UTF8")


def _prepare_mysqlclient(connection: Any) -> None:
    from MySQLdb.cursors import Cursor

    class LongStatements(Cursor):  # type: ignore[misc]  # the driver has no types
        """Sends many rows in one statement; the driver's own limit is 64 kB."""

        max_stmt_length = 512 * 1024

    connection.cursorclass = LongStatements
    _set_mysql_session(connection)


def _prepare_pymysql(connection: Any) -> None:
    from pymysql.cursors import Cursor

    connection.cursorclass = Cursor
    _set_mysql_session(connection)


def _prepare_mysql_connector(connection: Any) -> None:
    connection.set_charset_collation("utf8mb4", "utf8mb4_bin")
    connection.autocommit = False
    _run_each(connection, _MYSQL_SESSION)


def _set_mysql_session(connection: Any) -> None:
    if connection.character_set_name() != "utf8mb4":
        connection.set_character_set("utf8mb4")
    if connection.get_autocommit():
        connection.autocommit(False)
    _run_each(connection, _MYSQL_SESSION)


def _run_each(connection: Any, statements: tuple[str, ...]) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


_PREPARE = {
    "sqlite+pysqlite": _prepare_sqlite,
    "postgresql+psycopg": _prepare_psycopg,
    "postgresql+psycopg2": _prepare_psycopg2,
    "mysql+mysqldb": _prepare_mysqlclient,
    "mysql+pymysql": _prepare_pymysql,
    "mysql+mysqlconnector": _prepare_mysql_connector,
}
