"""Statements that have a form of their own on each database: replacing rows by key, reading by ids, drawing numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    CHAR,
    Connection,
    Delete,
    Dialect,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import insert as insert_on_mysql
from sqlalchemy.dialects.postgresql import insert as insert_on_postgres
from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite
from sqlalchemy.sql import Executable
from sqlalchemy.types import BigInteger, DateTime, Integer, TypeEngine

#: Values in one list: fewer than the proven databases take (SQLite 32,766, Postgres 65,535); some others take 1,000.
_IDS, _IDS_ON_OTHERS = 10_000, 1_000


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    common: Mapping[str, Any] | None = None,
) -> None:
    """
    Insert rows, each in the place of the one that has its primary key.

    :param rows: The columns of each, but for those that are common: the same in all. No primary key twice.
    :param common: Columns that have one value in all rows.
    """
    if not rows:
        return
    common = common or {}
    # Sorted, so that concurrent writers lock the rows in the same order (no deadlock).
    ordered = sorted(rows, key=itemgetter(*[column.name for column in table.primary_key if column.name not in common]))
    name = connection.dialect.name
    if name == "sqlite":
        _run_on_sqlite(connection, _upsert_on_sqlite, table, ordered, common)
    elif name == "postgresql":
        single, arrays = _in_columns(table, ordered, common)
        connection.execute(_upsert_on_postgres(table, tuple(single), tuple(arrays)), single | arrays)
    else:
        whole = [{**common, **row} for row in ordered]
        if name not in _UPSERTS:
            keys = [column.name for column in table.primary_key]
            connection.execute(_deletion(table), [{f"key_{name}": row[name] for name in keys} for row in whole])
        connection.execute(_upsert(name, table), whole)


def update_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, common: Mapping[str, Any]
) -> bool:
    """
    Set some columns of rows that are there.

    :param rows: The primary key, and the columns to set, of each.
    :param common: Columns of these that have one value in all rows.
    :return: Whether all were there. If not, or if this takes many statements on the database, write whole rows.
    """
    if connection.dialect.name == "sqlite":
        return _run_on_sqlite(connection, _update_on_sqlite, table, rows, common) == len(rows)
    if connection.dialect.name == "postgresql":
        single, arrays = _in_columns(table, rows, common)
        result = connection.execute(_update_on_postgres(table, tuple(single), tuple(arrays)), single | arrays)
        return result.rowcount == len(rows)
    return False


def _run_on_sqlite(
    connection: Connection,
    write: Callable[[Table, tuple[str, ...]], str],
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    common: Mapping[str, Any],
) -> int:
    """
    Run a statement for each of some rows, and return how many rows it found.

    By the driver: for each row SQLAlchemy takes longer to make its parameters than SQLite to run the statement.

    :param write: Writes the statement whose parameters are some columns in order.
    """
    names = tuple(rows[0])
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


def select_in(connection: Connection, statement: Select[Any], column: Any, ids: Sequence[str]) -> list[Any]:
    """Return the rows of a statement in which a column has one of some values, in as many parts as it takes."""
    parts = _parts(connection.dialect, ids)
    return [row for part in parts for row in connection.execute(statement.where(column.in_(part)))]


def delete_in(connection: Connection, statement: Delete, column: Any, ids: Sequence[str]) -> None:
    """Delete the rows of a statement in which a column has one of some values, in as many parts as it takes."""
    for part in _parts(connection.dialect, ids):
        connection.execute(statement.where(column.in_(part)))


def _parts(dialect: Dialect, ids: Sequence[str]) -> list[Sequence[str]]:
    size = _IDS if is_proven(dialect) else _IDS_ON_OTHERS
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def next_numbers(connection: Connection, counters: Table, account_id: str, count: int) -> int:
    """
    Draw consecutive numbers of an account, the first of which is 1.

    Other transactions that draw from it wait until this one ends.

    :param count: How many, at least 1.
    :return: The first of them.
    """
    draw = _NUMBERS.get(connection.dialect.name, _draw_on_others)
    return draw(connection, counters, account_id, count) - count + 1


def _draw_on_conflict(build: Any) -> Callable[[Connection, Table, str, int], int]:
    def draw(connection: Connection, counters: Table, account_id: str, count: int) -> int:
        drawn = build(counters).values(account_id=account_id, no=count)
        drawn = drawn.on_conflict_do_update(
            index_elements=["account_id"], set_={"no": counters.c.no + drawn.excluded.no}
        )
        return int(connection.execute(drawn.returning(counters.c.no)).scalar_one())

    return draw


def _draw_on_mysql(connection: Connection, counters: Table, account_id: str, count: int) -> int:
    # LAST_INSERT_ID(…) lets the response to the statement itself tell the number.
    drawn = insert_on_mysql(counters).values(account_id=account_id, no=func.last_insert_id(count))
    result = connection.execute(drawn.on_duplicate_key_update(no=func.last_insert_id(counters.c.no + count)))
    return int(result.lastrowid)


def _draw_on_others(connection: Connection, counters: Table, account_id: str, count: int) -> int:
    changed = update(counters).where(counters.c.account_id == account_id).values(no=counters.c.no + count)
    if connection.execute(changed).rowcount == 0:
        connection.execute(insert(counters), {"account_id": account_id, "no": count})
    number = select(counters.c.no).where(counters.c.account_id == account_id)
    return int(connection.execute(number).scalar_one())


@lru_cache(maxsize=100)
def _upsert(dialect: str, table: Table) -> Executable:
    build: Callable[[Table], Executable] = _UPSERTS.get(dialect, insert)
    return build(table)


@lru_cache(maxsize=100)
def _upsert_on_sqlite(table: Table, names: tuple[str, ...]) -> str:
    signs = ", ".join("?" * len(names))
    return f"INSERT INTO {table.fullname} ({', '.join(names)}) VALUES ({signs}) {_on_conflict(table, names)}"  # noqa: S608 - plain names


@lru_cache(maxsize=100)
def _update_on_sqlite(table: Table, names: tuple[str, ...]) -> str:
    signs = {name: f"{name} = ?{at}" for at, name in enumerate(names, 1)}
    changes = ", ".join(sign for name, sign in signs.items() if not table.c[name].primary_key)
    keys = " AND ".join(sign for name, sign in signs.items() if table.c[name].primary_key)
    return f"UPDATE {table.fullname} SET {changes} WHERE {keys}"  # noqa: S608 - plain names


def _on_conflict(table: Table, names: Iterable[str]) -> str:
    others = ", ".join(f"{name} = excluded.{name}" for name in names if not table.c[name].primary_key)
    return f"ON CONFLICT ({', '.join(column.name for column in table.primary_key)}) DO UPDATE SET {others}"


@lru_cache(maxsize=100)
def _upsert_on_postgres(table: Table, single: tuple[str, ...], arrays: tuple[str, ...]) -> Executable:
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
def _update_on_postgres(table: Table, single: tuple[str, ...], arrays: tuple[str, ...]) -> Executable:
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


def _upsert_on_mysql(table: Table) -> Executable:
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


_UPSERTS: dict[str, Callable[[Table], Executable]] = {"mysql": _upsert_on_mysql}
_NUMBERS = {
    "sqlite": _draw_on_conflict(insert_on_sqlite),
    "postgresql": _draw_on_conflict(insert_on_postgres),
    "mysql": _draw_on_mysql,
}


def is_proven(dialect: Dialect) -> bool:
    """Tell whether this package's tests run on such a database."""
    return dialect.name in _NUMBERS
