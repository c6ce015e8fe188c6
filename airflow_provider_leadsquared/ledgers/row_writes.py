"""How rows are written on each database in few round trips: inserted or put in each other's place, and updated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

from sqlalchemy import CHAR, Connection, Table, and_, bindparam, delete, insert, text
from sqlalchemy.sql import Executable
from sqlalchemy.types import BigInteger, DateTime, Integer, TypeEngine

Rows = Sequence[Mapping[str, Any]]


def _run_on_sqlite(
    write: Callable[[Table, tuple[str, ...]], str],
    connection: Connection,
    table: Table,
    rows: Rows,
    common: Mapping[str, Any],
) -> int:
    """
    Run a statement for each of some rows, and return how many rows it found.

    By the driver: for each row SQLAlchemy takes longer to make its parameters than SQLite to run the statement.

    :param write: Returns the statement whose parameters are some columns in order, the primary key last.
    """
    names = tuple(sorted(rows[0], key=lambda name: table.c[name].primary_key))
    moments = [at for at, name in enumerate(names) if isinstance(table.c[name].type, DateTime)]
    shared, values_of = [_on_sqlite(value) for value in common.values()], itemgetter(*names)
    parameters = []
    for row in rows:
        values = [*shared, *values_of(row)]
        for at in moments:
            if values[at - len(names)] is not None:
                values[at - len(names)] = _on_sqlite(values[at - len(names)])
        parameters.append(tuple(values))
    return connection.exec_driver_sql(write(table, (*common, *names)), parameters).rowcount


def _on_sqlite(value: Any) -> Any:
    """Return a value as SQLAlchemy writes it."""
    return value.isoformat(" ", "microseconds") if isinstance(value, datetime) else value


def _in_columns(
    table: Table, rows: Sequence[Mapping[str, Any]], common: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the columns that have one value in all rows, and the values of each of the others."""
    single, arrays = dict(common), {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if values.count(values[0]) == len(values) and not table.c[name].primary_key:
            single[name] = values[0]
        else:
            arrays[name] = values
    return single, arrays


def _upsert_on_postgres(connection: Connection, table: Table, rows: Rows, common: Mapping[str, Any]) -> None:
    single, arrays = _in_columns(table, rows, common)
    connection.execute(_postgres_upsert(table, tuple(single), tuple(arrays)), single | arrays)


def _update_on_postgres(connection: Connection, table: Table, rows: Rows, common: Mapping[str, Any]) -> int:
    single, arrays = _in_columns(table, rows, common)
    statement = _postgres_update(table, tuple(single), tuple(arrays))
    return connection.execute(statement, single | arrays).rowcount


def _upsert_on_mysql(connection: Connection, table: Table, rows: Rows, common: Mapping[str, Any]) -> None:
    connection.execute(_mysql_upsert(table), [{**common, **row} for row in rows])


def replace_rows(connection: Connection, table: Table, rows: Rows, common: Mapping[str, Any]) -> None:
    """Delete rows, and insert them anew: on any database."""
    whole = [{**common, **row} for row in rows]
    keys = [column.name for column in table.primary_key]
    connection.execute(_deletion(table), [{f"key_{name}": row[name] for name in keys} for row in whole])
    connection.execute(insert(table), whole)


@lru_cache(maxsize=100)
def _sqlite_upsert(table: Table, names: tuple[str, ...]) -> str:
    signs = ", ".join("?" * len(names))
    return f"INSERT INTO {table.fullname} ({', '.join(names)}) VALUES ({signs}) {_on_conflict(table, names)}"  # noqa: S608 - plain names


@lru_cache(maxsize=100)
def _sqlite_update(table: Table, names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = ?" for name in names if not table.c[name].primary_key)
    keys = " AND ".join(f"{name} = ?" for name in names if table.c[name].primary_key)
    return f"UPDATE {table.fullname} SET {changes} WHERE {keys}"  # noqa: S608 - plain names


def _on_conflict(table: Table, names: Iterable[str]) -> str:
    others = ", ".join(f"{name} = excluded.{name}" for name in names if not table.c[name].primary_key)
    return f"ON CONFLICT ({', '.join(column.name for column in table.primary_key)}) DO UPDATE SET {others}"


@lru_cache(maxsize=100)
def _postgres_upsert(table: Table, single: tuple[str, ...], arrays: tuple[str, ...]) -> Executable:
    """
    Return the statement for Postgres, whose parameters are single values, and the other columns as arrays.

    So any number of rows is one round trip, whichever the driver: of many rows psycopg 2 makes many statements, and
    psycopg 3 waits several times.
    """
    values = ", ".join([*(_single(table, name) for name in single), *(f"v.{name}" for name in arrays)])
    return text(
        f"INSERT INTO {table.fullname} ({', '.join((*single, *arrays))}) SELECT {values} "  # noqa: S608 - plain names
        f"FROM {_unnested(table, arrays)} {_on_conflict(table, (*single, *arrays))}"
    )


@lru_cache(maxsize=100)
def _postgres_update(table: Table, single: tuple[str, ...], arrays: tuple[str, ...]) -> Executable:
    value = {**{name: _single(table, name) for name in single}, **{name: f"v.{name}" for name in arrays}}
    changes = ", ".join(f"{name} = {value[name]}" for name in value if not table.c[name].primary_key)
    keys = " AND ".join(f"t.{name} = {value[name]}" for name in value if table.c[name].primary_key)
    return text(f"UPDATE {table.fullname} AS t SET {changes} FROM {_unnested(table, arrays)} WHERE {keys}")  # noqa: S608 - plain names


def _single(table: Table, name: str) -> str:
    return f"CAST(:{name} AS {_postgres_type(table.c[name].type)})"


def _unnested(table: Table, names: Sequence[str]) -> str:
    arrays = ", ".join(f"CAST(:{name} AS {_postgres_type(table.c[name].type)}[])" for name in names)
    return f"unnest({arrays}) AS v ({', '.join(names)})"


def _postgres_type(kind: TypeEngine[Any]) -> str:
    """Return Postgres's name for the type of a column; texts are ``text`` until they are stored, but for ids."""
    if isinstance(kind, CHAR):
        return f"char({kind.length})"  # compared as another type, the primary key's index would be of no use
    if isinstance(kind, BigInteger):
        return "bigint"
    if isinstance(kind, Integer):
        return "integer"
    return "timestamp" if isinstance(kind, DateTime) else "text"


@lru_cache(maxsize=100)
def _mysql_upsert(table: Table) -> Executable:
    """
    Return the statement for MySQL and MariaDB.

    Written out, because drivers send rows in one statement only if it has this form, which SQLAlchemy's own has not.
    """
    names = [column.name for column in table.columns]
    others = ", ".join(f"{column.name} = VALUES({column.name})" for column in table.columns if not column.primary_key)
    return text(
        f"INSERT INTO {table.fullname} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)}) "  # noqa: S608 - plain names
        f"ON DUPLICATE KEY UPDATE {others}"
    ).bindparams(*[bindparam(column.name, type_=column.type) for column in table.columns])


@lru_cache(maxsize=100)
def _deletion(table: Table) -> Executable:
    return delete(table).where(and_(*[column == bindparam(f"key_{column.name}") for column in table.primary_key]))


#: What inserts rows in each other's place, by the name of the dialect; on others :func:`replace_rows`.
UPSERTS: dict[str, Callable[[Connection, Table, Rows, Mapping[str, Any]], object]] = {
    "sqlite": partial(_run_on_sqlite, _sqlite_upsert),
    "postgresql": _upsert_on_postgres,
    "mysql": _upsert_on_mysql,
}
#: What updates rows and returns how many it found. MySQL's drivers send one statement for each row that is updated.
UPDATES: dict[str, Callable[[Connection, Table, Rows, Mapping[str, Any]], int]] = {
    "sqlite": partial(_run_on_sqlite, _sqlite_update),
    "postgresql": _update_on_postgres,
}
