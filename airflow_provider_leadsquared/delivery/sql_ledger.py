"""
The ledger in a table of any SQL database.

The table is also the result table: one line per row of each run, with its verdict. All SQL is ANSI and stands in
``ledger.sql``. A change is one transaction, in which entries replace their earlier version. The claim on a run is a
line that the transaction touches first, so a try that has lost it writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from airflow_provider_leadsquared.delivery.ledger import (
    Entry,
    LedgerTakenError,
    LedgerUnavailableError,
    Records,
)
from airflow_provider_leadsquared.delivery.verdicts import State

#: The version of the tables that this code reads and writes.
SCHEMA_VERSION = 1
#: Databases take about a thousand parameters in a statement at the least, and a line has nineteen.
_LINES_A_STATEMENT = 50
#: The scope of marks that belong to the tables, not to a run.
_TABLES = "tables"

_TABLE_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,50}")


@dataclass(frozen=True, slots=True)
class RunOfTask:
    """
    Whose entries these are.

    :param dag_id: The DAG.
    :param run_id: The DAG run.
    :param task_id: The task that sends.
    :param map_index: Which of a mapped task's instances, -1 for a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


class SqlLedger:
    """
    A :class:`Ledger` of one task instance, in tables that all tasks share.

    The tables are created on first use. Connections are opened as needed, one for each thread, and opened anew after
    an error.

    :param connect: Opens a DB-API connection that is not in autocommit mode.
    :param placeholder: The driver's sign for a parameter, ``?`` or ``%s``.
    :param table: The ledger table, with its schema if need be; a second one has the same name and ``_marks``.
    :param run: Whose entries to read and write.
    :raises ValueError: ``table`` is no plain name.
    """

    def __init__(self, connect: Callable[[], Any], *, placeholder: str, table: str, run: RunOfTask) -> None:
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
        self._run = run
        self._scope = _digest(run.dag_id, run.run_id, run.task_id, run.map_index)
        self._holder: str | None = None
        self._local = threading.local()
        self._checked = False

    def load(self) -> Records:
        """Return all that was written in the present generation."""
        with self._transaction() as cursor:
            marks = self._marks(cursor, self._scope)
            cursor.execute(self._sql["select_entries"], (self._entry_scope(marks),))
            entries = [_read(line) for line in cursor.fetchall()]
        return Records({entry.identity: entry for entry in entries}, marks)

    def claim(self, holder: str) -> None:
        """Make ``holder`` the only writer, once transactions of the one before have ended."""
        with self._transaction() as cursor:
            self._set_mark(cursor, "holder", holder)
        self._holder = holder

    def start_over(self) -> None:
        """Write into a new generation from now on; earlier ones stay in the table."""
        with self._transaction() as cursor:
            generation = self._marks(cursor, self._scope).get("generation", 0)
            self._set_mark(cursor, "generation", generation + 1)

    def write(self, entries: Iterable[Entry] = (), *, marks: Mapping[str, Any] | None = None) -> None:
        """Replace entries and marks in one transaction."""
        with self._transaction() as cursor:
            if self._holder is not None:
                mark = json.dumps(self._holder)
                cursor.execute(self._sql["confirm_holder"], (mark, self._scope, mark))
                if cursor.rowcount == 0:
                    raise LedgerTakenError("another try of this task has begun; this one stops sending")
            newest = {entry.identity: entry for entry in entries}
            if newest:
                kept = self._marks(cursor, self._scope)
                self._replace(cursor, [self._line(entry, kept) for entry in newest.values()])
            for name, mark in (marks or {}).items():
                self._set_mark(cursor, name, mark)

    def _replace(self, cursor: Any, lines: list[tuple[Any, ...]]) -> None:
        """Put lines in the place of their earlier versions, many in a statement: each statement is a round trip."""
        for start in range(0, len(lines), _LINES_A_STATEMENT):
            group = lines[start : start + _LINES_A_STATEMENT]
            ids = ", ".join([self._placeholder] * len(group))
            row = f"({', '.join([self._placeholder] * len(group[0]))})"
            cursor.execute(
                self._sql["delete_entries"].replace("{rows}", ids), (group[0][0], *(line[1] for line in group))
            )
            cursor.execute(
                self._sql["insert_entries"].replace("{rows}", ", ".join([row] * len(group))),
                [value for line in group for value in line],
            )

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Yield a cursor whose work is durable at the end, or undone."""
        try:
            if not self._checked:
                self._check_tables()
            connection = self._connection()
            cursor = connection.cursor()
            yield cursor
            connection.commit()
        except (LedgerTakenError, LedgerUnavailableError):
            self._disconnect()
            raise
        except Exception as error:
            self._disconnect()
            raise LedgerUnavailableError(f"ledger table {self._table}: {_first_line(error)}") from None

    def _check_tables(self) -> None:
        """Create the tables where there are none, and refuse those of another version."""
        try:
            version = self._version()
        except Exception:
            self._disconnect()  # the failed statement may have spoilt the transaction
            version = self._create_tables()
        if version != SCHEMA_VERSION:
            raise LedgerUnavailableError(
                f"ledger table {self._table} is of version {version}, this package reads version {SCHEMA_VERSION}; "
                "name another ledger_table, which starts with an empty memory"
            )
        self._checked = True

    def _create_tables(self) -> int | None:
        connection = self._connection()
        cursor = connection.cursor()
        try:
            cursor.execute(self._sql["create_entries"])
            cursor.execute(self._sql["create_marks"])
            cursor.execute(self._sql["insert_mark"], (_TABLES, "version", json.dumps(SCHEMA_VERSION)))
            connection.commit()
        except Exception:
            # Another task may have been quicker; if not, the first error is the one to show.
            self._disconnect()
            with suppress(Exception):
                return self._version()
            raise
        return SCHEMA_VERSION

    def _version(self) -> int | None:
        connection = self._connection()
        version = self._marks(connection.cursor(), _TABLES).get("version")
        connection.commit()
        return version

    def _marks(self, cursor: Any, scope: str) -> dict[str, Any]:
        cursor.execute(self._sql["select_marks"], (scope,))
        return {name: json.loads(mark) for name, mark in cursor.fetchall()}

    def _set_mark(self, cursor: Any, name: str, mark: Any) -> None:
        cursor.execute(self._sql["delete_mark"], (self._scope, name))
        cursor.execute(self._sql["insert_mark"], (self._scope, name, json.dumps(mark)))

    def _entry_scope(self, marks: Mapping[str, Any]) -> str:
        return _digest(self._scope, marks.get("generation", 0))

    def _line(self, entry: Entry, marks: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            self._entry_scope(marks),
            _digest(*entry.identity),
            self._run.dag_id,
            self._run.run_id,
            self._run.task_id,
            self._run.map_index,
            marks.get("generation", 0),
            entry.row,
            entry.state.value,
            entry.key,
            entry.fingerprint,
            entry.copy,
            entry.request_id,
            _timestamp(entry.accepted_at),
            _timestamp(entry.settled_at),
            entry.lead_id,
            entry.reason_class,
            entry.reason,
            _timestamp(datetime.now(UTC).timestamp()),
        )

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
    text = files(__package__).joinpath("ledger.sql").read_text(encoding="utf-8")
    return {name: sql.strip() for name, sql in re.findall(r"-- name: (\w+)\n(.*?)(?=\n-- name|\Z)", text, re.DOTALL)}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _timestamp(seconds: float | None) -> str | None:
    """Write a moment as every database reads it: UTC, with microseconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _seconds(moment: Any) -> float | None:
    if moment is None:
        return None
    parsed = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _read(line: Any) -> Entry:
    row, state, key, fingerprint, copy, request_id, *times, lead_id, reason_class, reason = line
    accepted_at, settled_at = map(_seconds, times)
    return Entry(
        row, State(state), key, fingerprint, copy, request_id, accepted_at, settled_at, lead_id, reason_class, reason
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0][:200] if lines else ''}"
