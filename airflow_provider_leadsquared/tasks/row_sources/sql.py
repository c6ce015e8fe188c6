"""
The rows of a query, read one after another from any warehouse that has a ``common.sql`` hook.

A result may be larger than the worker's memory, and several drivers fetch all of it when the query is run; those are
read through a server-side cursor. A row's values are personal data and drivers quote them in their errors,
so a driver's message is masked, and its exception is never part of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import uuid4

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_leadsquared.exceptions import WarehouseError
from airflow_provider_leadsquared.sync.rows import Rows
from airflow_provider_leadsquared.tasks.row_sources.error_texts import mask_error_text

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

P = ParamSpec("P")
T = TypeVar("T")

_SERVER_SIDE = "it is read through a server-side cursor, which takes one SELECT, WITH or VALUES that changes nothing"
_UNREADABLE = (
    "the next rows hold a value that Python does not have, such as a date 'infinity', before year 1 or after 9999: "
    "cast it to text, or make it NULL with NULLIF or CASE, in the SQL"
)


@contextmanager
def read_query(
    hook: DbApiHook,
    sql: str,
    parameters: Iterable[Any] | Mapping[str, Any] | None = None,
    *,
    fetch_rows: int = 2_000,
) -> Iterator[Rows]:
    """
    Run a query, and read its rows as they are asked for.

    The connection is open, in a transaction of its own, until the block is left; nothing is committed. psycopg (2 and
    3), MySQLdb and PyMySQL are kept from loading the whole result; other drivers fetch as they do. psycopg2 reads a
    date or timestamp ``infinity`` as 9999-12-31, psycopg 3 refuses it.

    :param hook: Leads to the warehouse.
    :param sql: One statement that returns rows.
    :param parameters: What the driver puts in place of the statement's placeholders.
    :param fetch_rows: How many rows are held at a time.
    :raises ValueError: ``sql`` is empty, is several statements where the driver would not say so, or returns no rows.
    :raises WarehouseError: The warehouse failed; no row's value is in the exception or in what led to it.
    """
    if not isinstance(sql, str) or not sql.strip():
        raise ValueError("sql is empty; write one statement that returns rows")
    query = _Query(hook.get_conn_id(), sql)
    connection = query.connect(hook)
    try:
        _check_one_statement(hook, connection, sql)
        cursor = query.attempt(_open_cursor, hook, connection, fetch_rows)
        try:
            yield query.run(cursor, parameters, fetch_rows)
        finally:
            _close_cursor(cursor, connection)
    finally:
        with suppress(Exception):
            connection.close()


class _Query:
    """One query while it runs, and the messages of what went wrong with it."""

    def __init__(self, conn_id: str, sql: str) -> None:
        self._conn_id, self._sql = conn_id, sql
        self._doing = "connecting"
        self._rows_read = 0

    def connect(self, hook: DbApiHook) -> Any:
        """Open the connection. What Airflow says of a connection that is not defined is for the author to read."""
        return self.attempt(hook.get_conn)

    def run(self, cursor: Any, parameters: Any, fetch_rows: int) -> Rows:
        """Run the query as far as its columns are known."""
        self._doing = "running the query"
        self.attempt(cursor.execute, *((self._sql, parameters) if parameters else (self._sql,)))
        first: Sequence[Sequence[Any]] | None = None
        if cursor.description is None and _driver(cursor) == "psycopg2" and cursor.name:
            self._doing = "reading"
            first = self.attempt(cursor.fetchmany, fetch_rows)  # only now it knows its columns
        if cursor.description is None:
            raise ValueError("sql returns no rows; write one statement that does, a SELECT")
        return Rows(tuple(str(column[0]) for column in cursor.description), self._batches(cursor, fetch_rows, first))

    def attempt(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the driver."""
        try:
            return do(*args, **kwargs)
        except Exception as error:
            if self._doing == "connecting" and isinstance(error, (AirflowException, ImportError)):
                raise
            problem = self._problem(error)
        # Raised outside the except block, so that not even its context holds the driver's message.
        raise problem

    def _batches(
        self, cursor: Any, fetch_rows: int, first: Sequence[Sequence[Any]] | None
    ) -> Iterator[Sequence[Sequence[Any]]]:
        self._doing = "reading"
        batch = first if first is not None else self.attempt(cursor.fetchmany, fetch_rows)
        while batch:
            self._rows_read += len(batch)
            yield batch
            batch = self.attempt(cursor.fetchmany, fetch_rows)

    def _problem(self, error: Exception) -> WarehouseError:
        code, text, is_whole = _parts_of(error)
        sqlstate = code if isinstance(code, str) else None
        has_run = self._doing != "connecting"
        masked = mask_error_text(text, self._sql, is_whole=is_whole or not has_run, sqlstate=sqlstate, has_run=has_run)
        doing = f"reading after {self._rows_read:,} rows" if self._doing == "reading" else self._doing
        message = f"{self._conn_id}: {doing} failed with {type(error).__name__}"
        message += f" (SQLSTATE {code})" if sqlstate else f" ({code})" if code is not None else ""
        message += f": {masked}" if masked else ""
        if sqlstate in {"42601", "0A000"} and _driver(error) in _POSTGRES:
            message += f"; {_SERVER_SIDE}"
        is_of_a_value = isinstance(error, (ValueError, OverflowError)) or type(error).__name__ == "DataError"
        if self._doing == "reading" and code is None and is_of_a_value:
            message += f"; {_UNREADABLE}"
        return WarehouseError(message, sqlstate=sqlstate, rows_read=self._rows_read)


_POSTGRES = frozenset({"psycopg", "psycopg2"})
_MYSQL = frozenset({"MySQLdb", "pymysql"})


def _driver(thing: Any) -> str:
    """Return the driver that a connection, cursor or exception belongs to: the first known one among its classes."""
    modules = [kind.__module__.partition(".")[0] for kind in type(thing).__mro__]
    return next((module for module in modules if module in _POSTGRES | _MYSQL), modules[0])


def _open_cursor(hook: DbApiHook, connection: Any, fetch_rows: int) -> Any:
    """
    Return a cursor that does not load the whole result.

    Rows are asked for as tuples, also where the connection's extra asks for dicts.
    """
    if hook.supports_autocommit:
        hook.set_autocommit(connection, False)  # a server-side cursor lives in a transaction
    driver = _driver(connection)
    name = f"leadsquared_{uuid4().hex}"
    if driver == "psycopg":
        return connection.cursor(name, row_factory=import_module("psycopg.rows").tuple_row)
    if driver == "psycopg2":
        return connection.cursor(name, cursor_factory=import_module("psycopg2.extensions").cursor)
    if driver in _MYSQL:
        return connection.cursor(import_module(f"{driver}.cursors").SSCursor)
    cursor = connection.cursor()
    with suppress(Exception):
        cursor.arraysize = fetch_rows
    return cursor


def _close_cursor(cursor: Any, connection: Any) -> None:
    """Close a cursor with rows left. MySQL's drivers would first read them all, so their connection is closed first."""
    if _driver(connection) in _MYSQL:
        with suppress(Exception):
            connection.close()
    if _driver(connection) == "pymysql":
        with suppress(Exception):  # it would go on reading even then, and print an error to stderr
            cursor._result.unbuffered_active = False
    with suppress(Exception):
        cursor.close()


def _check_one_statement(hook: DbApiHook, connection: Any, sql: str) -> None:
    """Refuse several statements under psycopg2, which would run all of them and return the rows of the first."""
    if _driver(connection) == "psycopg2" and ";" in sql and len(hook.split_sql_string(sql)) > 1:
        raise ValueError("sql is several statements; write one that returns rows")


def _parts_of(error: Exception) -> tuple[str | int | None, str, bool]:
    """
    Return the parts of a driver's exception: its code, its message, and whether that is the whole message.

    Only the message itself is taken. What follows it (details, the statement's line) shows rows and parameters.
    """
    code: Any = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    arguments = error.args
    if isinstance(primary, str):
        return code, primary, True
    if len(arguments) == 1 and isinstance(arguments[0], Mapping):  # the fields of Postgres' protocol
        return code or arguments[0].get("C"), str(arguments[0].get("M", "")), True
    if len(arguments) == 2 and _is_code(arguments[0]) and isinstance(arguments[1], str):
        code, text = code or arguments[0], arguments[1]
    else:  # Snowflake's raw_msg and Connector/Python's msg leave out the codes, which would pass for phone numbers
        text = next((value for name in ("raw_msg", "msg") if isinstance(value := getattr(error, name, None), str)), "")
        text = text or str(error)
    first, *others = text.strip().splitlines() or [""]
    if others and re.search(r"(:|position \d+)$", first.rstrip()):  # Snowflake says what is wrong in its second line
        first = f"{first.rstrip()} {others.pop(0)}"
    return code if _is_code(code) else None, first, not others


def _is_code(given: object) -> bool:
    """Tell whether a value is a driver's error number or a SQLSTATE."""
    return isinstance(given, int) or (isinstance(given, str) and re.fullmatch(r"[0-9A-Z]{5}", given) is not None)
