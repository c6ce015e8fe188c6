"""
The version of a ledger's tables: creating them, bringing older ones up to date, refusing those of another layout.

Versions count up. A migration leads from one version to the next, on tables with data in them. Because databases
commit each change of a table at once (MySQL), a step may be killed half-way and is then run again: it must be one that
can be repeated. And because a task of the version before may still be at work, it must leave the tables such that that
one can use them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from airflow_provider_leadsquared.ledgers.column_values import digest
from airflow_provider_leadsquared.ledgers.errors import LedgerUnavailableError, LedgerVersionError
from airflow_provider_leadsquared.ledgers.schema import Tables, catalogue_name
from airflow_provider_leadsquared.ledgers.statements import upsert

#: The oldest version that can be brought up to date.
FIRST_VERSION = 5
#: The scope of metadata that belong to the tables, not to a run.
TABLES = "tables"
#: Seconds to wait for another task that creates or changes the tables.
_LOCK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Migration:
    """
    One step from the version before.

    :param version: The version that it leads to.
    :param apply: Changes the tables; may be run again after it was killed half-way.
    """

    version: int
    apply: Callable[[Connection, Tables], None]


def _add_unchanged_rows(connection: Connection, tables: Tables) -> None:
    _create_table(connection, tables, tables.unchanged)
    for name in ("noted", "void"):
        add_column(connection, tables, "counters", tables.counters.c[name])


def _add_runs(connection: Connection, tables: Tables) -> None:
    """Add the table of runs with the runs that are known, and the indexes for a row key's lines and a run's rejects."""
    entries = tables.entries
    _create_table(connection, tables, tables.runs)
    _create_table(connection, tables, entries)
    _drop_index(connection, tables, entries, f"{entries.name}_by_scope")
    names = ("scope", "dag_id", "run_id", "task_id", "map_index", "generation", "sync_id")
    columns = [entries.c[name] for name in names]
    began = func.min(func.coalesce(entries.c.accepted_at, entries.c.written_at)).label("began_at")
    known = connection.execute(select(*columns, began).group_by(*columns)).mappings()
    # The sensor behind a capture writes verdicts without a sync, also into the lines of a run that has one.
    runs = {line["scope"]: {**line, "sync": None} for line in sorted(known, key=lambda line: line["sync_id"] or "")}
    upsert(connection, tables.runs, list(runs.values()))


#: All steps, in order. A step is never changed once it was released.
MIGRATIONS: tuple[Migration, ...] = (Migration(6, _add_unchanged_rows), Migration(7, _add_runs))
#: The version of the tables that this code reads and writes.
SCHEMA_VERSION = FIRST_VERSION + len(MIGRATIONS)


def version_in(connection: Connection, tables: Tables) -> int | None:
    """
    Return the version of the tables, None where there are none, or where their creation was not finished.

    :param connection: In a transaction, which is undone if there are no tables.
    :raises sqlalchemy.exc.DBAPIError: The database refuses to read them.
    """
    try:
        return _read_version(connection, tables)  # one round trip; the catalogue takes more
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        connection.rollback()  # the failed statement may have made the transaction unusable
        return _version_by_catalogue(connection, tables)


def check_version(version: int, tables: Tables, migrations: Sequence[Migration]) -> None:
    """
    Raise an error if tables can neither be read nor be brought up to date.

    :raises LedgerVersionError: They were written by an older version of this package, or by a newer one.
    """
    newest = FIRST_VERSION + len(migrations)
    if not FIRST_VERSION <= version <= newest:
        raise LedgerVersionError(
            f"the ledger table {tables.name} is of version {version}, this package reads version {newest}; "
            "name another ledger_table, which begins with an empty memory"
        )


def bring_up_to_date(connection: Connection, tables: Tables, migrations: Sequence[Migration]) -> None:
    """
    Create the tables, or run the migrations that they lack; of several tasks one does it, and the others wait.

    :param connection: In a transaction that writes.
    :raises LedgerUnavailableError: Another task has been at it for a minute.
    :raises LedgerVersionError: The tables were written by another version of this package.
    """
    with _alone(connection, tables):
        version = _version_by_catalogue(connection, tables)
        if version is None:
            _create(connection, tables, FIRST_VERSION + len(migrations))
            return
        check_version(version, tables, migrations)
        for migration in migrations[version - FIRST_VERSION :]:
            migration.apply(connection, tables)
            _set(connection, tables, "version", migration.version)


def add_column(connection: Connection, tables: Tables, table: str, column: Column[Any]) -> None:
    """
    Add a column to one of the tables if it is not there yet, for migrations.

    :param table: The table's name in ``Tables``, such as ``entries``.
    :param column: May be null, or has a ``server_default``: tasks of the version before do not write it.
    """
    altered = getattr(tables, table)
    name, schema = _in_catalogue(connection, tables, altered.name)
    if column.name in {there["name"] for there in inspect(connection).get_columns(name, schema)}:
        return
    what = CreateColumn(column).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {altered.fullname} ADD {what}"))


def _read_version(connection: Connection, tables: Tables) -> int | None:
    metadata = tables.metadata
    query = select(metadata.c.content).where(metadata.c.scope == TABLES, metadata.c.name == "version")
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else int(json.loads(found))


def _version_by_catalogue(connection: Connection, tables: Tables) -> int | None:
    """Return the version of the tables, without a statement that fails where there are none."""
    if _is_there(connection, tables, tables.metadata.name):
        return _read_version(connection, tables)
    return _version_before_3(connection, tables)


def _create(connection: Connection, tables: Tables, version: int) -> None:
    """Create what is missing; the version comes last, because it says that all is there."""
    for table in tables.all.sorted_tables:
        _create_table(connection, tables, table)
    for name, query in tables.views.items():
        if not _is_there(connection, tables, name):
            shown = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
            schema = f"{tables.all.schema}." if tables.all.schema else ""
            connection.exec_driver_sql(f"CREATE VIEW {schema}{name} AS {shown}")
    _set(connection, tables, "salt", secrets.token_hex(32))
    _set(connection, tables, "version", version)


def _create_table(connection: Connection, tables: Tables, table: Table) -> None:
    """Create a table and its indexes, as far as they are missing."""
    there: set[str | None] = set()
    if _is_there(connection, tables, table.name):
        there = _index_names(connection, tables, table)
    else:
        connection.execute(CreateTable(table))
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        if catalogue_name(connection.dialect, str(index.name)) not in there:
            connection.execute(CreateIndex(index))


def _drop_index(connection: Connection, tables: Tables, table: Table, name: str) -> None:
    """Drop an index if it is there."""
    if catalogue_name(connection.dialect, name) in _index_names(connection, tables, table):
        schema = f"{tables.all.schema}." if tables.all.schema else ""
        where = f"{name} ON {table.fullname}" if connection.dialect.name == "mysql" else f"{schema}{name}"
        connection.execute(text(f"DROP INDEX {where}"))


def _index_names(connection: Connection, tables: Tables, table: Table) -> set[str | None]:
    return {index["name"] for index in inspect(connection).get_indexes(*_in_catalogue(connection, tables, table.name))}


def _set(connection: Connection, tables: Tables, name: str, content: object) -> None:
    upsert(connection, tables.metadata, [{"scope": TABLES, "name": name, "content": json.dumps(content)}])


def _is_there(connection: Connection, tables: Tables, name: str) -> bool:
    return inspect(connection).has_table(*_in_catalogue(connection, tables, name))


def _in_catalogue(connection: Connection, tables: Tables, name: str) -> tuple[str, str | None]:
    """Return the name of a table or view, and its schema, as the catalogue holds them."""
    schema = tables.all.schema
    return catalogue_name(connection.dialect, name), schema and catalogue_name(connection.dialect, schema)


def _version_before_3(connection: Connection, tables: Tables) -> int | None:
    """Return the version of tables that were laid out differently, None if there are none."""
    if not _is_there(connection, tables, f"{tables.entries.name}_marks"):
        return None
    query = f"SELECT mark FROM {tables.name}_marks WHERE scope = 'tables' AND name = 'version'"  # noqa: S608 - a plain name
    found = connection.execute(text(query)).scalar_one_or_none()
    return 0 if found is None else int(json.loads(found))


@contextmanager
def _alone(connection: Connection, tables: Tables) -> Iterator[None]:
    """Let no other task create or change the tables meanwhile; on SQLite the transaction itself sees to that."""
    lock = digest("tables of a ledger", tables.name)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int(lock[:15], 16)})
        yield
    elif connection.dialect.name == "mysql":
        # The transaction cannot hold the lock, for each change of a table ends it.
        taken = connection.execute(text("SELECT GET_LOCK(:lock, :seconds)"), {"lock": lock, "seconds": _LOCK_SECONDS})
        if taken.scalar_one() != 1:
            raise LedgerUnavailableError(
                f"ledger table {tables.name}: another task has been creating or changing it for {_LOCK_SECONDS} seconds"
            )
        try:
            yield
        finally:
            connection.execute(text("SELECT RELEASE_LOCK(:lock)"), {"lock": lock})
    else:
        yield
