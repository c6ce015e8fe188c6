"""
The tables of the SQL ledgers: connections, transactions, their version, and the metadata in them.

All SQL is ANSI and is in ``statements.sql``. Which entries are written, and when, is for the ledgers to say.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any

from airflow_provider_leadsquared.delivery.states import names_of
from airflow_provider_leadsquared.ledgers.errors import (
    LedgerDataError,
    LedgerError,
    LedgerUnavailableError,
    LedgerVersionError,
)

#: The version of the tables that this code reads and writes.
SCHEMA_VERSION = 3
#: Databases take about a thousand parameters in a statement at the least.
_PARAMETERS = 1_000
#: The scope of metadata that belong to the tables, not to a run.
_TABLES = "tables"
#: What is created after the metadata.
_CREATED = ("create_entries", "create_leads", "create_last", "create_rejects")

#: The lists of states in the statements.
_STATES = {
    "{rejects}": names_of(lambda state: state.is_reject),
    "{not_sent}": names_of(lambda state: state.is_not_sent),
    "{open}": names_of(lambda state: state.is_open),
    "{refused}": names_of(lambda state: state.is_refused),
}

_TABLE_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,50}")


class SqlTables:
    """
    The ledger tables of one database, which all tasks share.

    They are created on first use. Connections are opened as needed, one for each thread, and opened anew after an
    error.

    :param connect: Opens a DB-API connection that is not in autocommit mode.
    :param placeholder: The driver's placeholder for a parameter, ``?`` or ``%s``.
    :param table: The ledger table, with its schema if need be; others begin with its name.
    :raises ValueError: ``table`` is no plain name.
    """

    def __init__(self, connect: Callable[[], Any], *, placeholder: str, table: str) -> None:
        if not _TABLE_NAME.fullmatch(table):
            raise ValueError(
                f"ledger_table {table!r} is no plain table name: letters, digits and underscores, 51 characters at "
                "most, after a schema and a dot if need be"
            )
        self._connect = connect
        self._table = table
        self._placeholder = placeholder
        self._sql = {
            name: text.replace("{table}", table).replace("?", placeholder) for name, text in _statements().items()
        }
        self._local = threading.local()
        self._checked = False

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """
        Yield a cursor whose work is durable at the end, or undone.

        :raises LedgerUnavailableError: The database cannot be reached, or refuses the work.
        :raises LedgerVersionError: The tables are of another version.
        """
        try:
            if not self._checked:
                self._check()
            connection = self._connection()
            cursor = connection.cursor()
            yield cursor
            connection.commit()
        except LedgerError:
            self._disconnect()
            raise
        except Exception as error:
            self._disconnect()
            is_data = isinstance(error, (ValueError, TypeError, OverflowError)) or type(error).__name__ == "DataError"
            kind = LedgerDataError if is_data else LedgerUnavailableError
            raise kind(f"ledger table {self._table}: {_first_line(error)}") from None

    def exist(self) -> bool:
        """
        Tell whether the tables are there, and create none.

        :raises LedgerUnavailableError: The database cannot be reached.
        :raises LedgerVersionError: There are tables from before version 3.
        """
        try:
            self._connection()
        except Exception as error:
            raise LedgerUnavailableError(f"ledger table {self._table}: {_first_line(error)}") from None
        try:
            return self._version() is not None
        except Exception:
            self._disconnect()  # the failed statement may have made the transaction unusable
            self._refuse_old_tables()
            return False
        finally:
            self._disconnect()

    def execute(self, cursor: Any, name: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one of the named statements and return the cursor."""
        cursor.execute(self._sql[name], parameters)
        return cursor

    def execute_each(self, cursor: Any, name: str, lines: Iterable[Sequence[Any]]) -> None:
        """Run one of the named statements for each line of parameters."""
        cursor.executemany(self._sql[name], list(lines))

    def execute_in(self, cursor: Any, name: str, first: Sequence[Any], items: Sequence[Any]) -> list[Any]:
        """
        Run a statement whose ``{rows}`` is replaced by a list, in as many parts as it takes.

        :param first: Parameters before the list.
        :param items: The list: single values, or lines of equal length for ``VALUES``.
        :return: What the parts select, if they select anything.
        """
        selected: list[Any] = []
        if not items:
            return selected
        width = len(items[0]) if isinstance(items[0], tuple) else 1
        sign = f"({', '.join([self._placeholder] * width)})" if isinstance(items[0], tuple) else self._placeholder
        size = (_PARAMETERS - len(first)) // width
        for start in range(0, len(items), size):
            part = items[start : start + size]
            values = [value for line in part for value in line] if isinstance(part[0], tuple) else part
            cursor.execute(self._sql[name].replace("{rows}", ", ".join([sign] * len(part))), [*first, *values])
            if cursor.description is not None:
                selected += cursor.fetchall()
        return selected

    def metadata(self, cursor: Any, scope: str) -> dict[str, Any]:
        """Return the metadata of a scope."""
        self.execute(cursor, "select_metadata", (scope,))
        return {name: json.loads(content) for name, content in cursor.fetchall()}

    def set_metadata(self, cursor: Any, scope: str, metadata: Mapping[str, Any]) -> None:
        """Add or replace metadata."""
        for name, content in metadata.items():
            self.execute(cursor, "delete_metadata", (scope, name))
            self.execute(cursor, "insert_metadata", (scope, name, json.dumps(content)))

    def _check(self) -> None:
        """Create the tables where there are none, and refuse those of another version."""
        try:
            version = self._version()
        except Exception:
            self._disconnect()  # the failed statement may have made the transaction unusable
            self._refuse_old_tables()
            version = self._create(with_metadata=True)
        if version is None:  # whoever creates them is at it, or was killed at it
            version = self._create(with_metadata=False)
        if version != SCHEMA_VERSION:
            raise self._other_version(version)
        self._checked = True

    def _refuse_old_tables(self) -> None:
        """Raise LedgerVersionError if there are tables from before version 3, which are laid out differently."""
        try:
            cursor = self.execute(self._connection().cursor(), "select_old_version")
            found = cursor.fetchone()
        except Exception:
            found = None
        self._disconnect()
        if found is not None:
            raise self._other_version(json.loads(found[0]))

    def _other_version(self, version: Any) -> LedgerVersionError:
        return LedgerVersionError(
            f"the ledger table {self._table} is of version {version}, this package reads version {SCHEMA_VERSION}; "
            "name another ledger_table, which begins with an empty memory"
        )

    def _create(self, *, with_metadata: bool) -> int | None:
        connection = self._connection()
        cursor = connection.cursor()
        try:
            if with_metadata:
                self.execute(cursor, "create_metadata")
            # The version comes before the other tables, for SQLite's driver begins a transaction at an INSERT only.
            self.set_metadata(cursor, _TABLES, {"version": SCHEMA_VERSION})
            for name in _CREATED:
                self.execute(cursor, name)
            connection.commit()
        except Exception:
            # Another task may have been quicker, at the metadata or at all; if not, the first error is the one to show.
            self._disconnect()
            with suppress(Exception):
                version = self._version()
                if with_metadata or version is not None:
                    return version
            raise
        return SCHEMA_VERSION

    def _version(self) -> int | None:
        connection = self._connection()
        version = self.metadata(connection.cursor(), _TABLES).get("version")
        connection.commit()
        return version

    def _connection(self) -> Any:
        if getattr(self._local, "connection", None) is None:
            self._local.connection = self._connect()
        return self._local.connection

    def _disconnect(self) -> None:
        connection, self._local.connection = getattr(self._local, "connection", None), None
        if connection is not None:
            with suppress(Exception):
                connection.rollback()
            with suppress(Exception):
                connection.close()


@cache
def _statements() -> dict[str, str]:
    text = files(__package__).joinpath("statements.sql").read_text(encoding="utf-8")
    for placeholder, states in _STATES.items():
        text = text.replace(placeholder, ", ".join(f"'{state}'" for state in states))
    return {name: sql.strip() for name, sql in re.findall(r"-- name: (\w+)\n(.*?)(?=\n-- name|\Z)", text, re.DOTALL)}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0][:200] if lines else ''}"
