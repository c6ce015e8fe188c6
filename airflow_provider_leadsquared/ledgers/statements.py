"""Statements that have a form of their own on each database: replacing rows by key, reading by ids, drawing numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Delete,
    Dialect,
    Select,
    Table,
    and_,
    bindparam,
    case,
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


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """
    Insert rows, each in the place of the one that has its primary key.

    :param rows: All columns of each; no primary key twice.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    # Sorted, so that concurrent writers lock the rows in the same order (no deadlock).
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in keys))
    if connection.dialect.name not in _UPSERTS:
        connection.execute(_deletion(table), [{f"key_{name}": row[name] for name in keys} for row in ordered])
    statement = _upsert(connection.dialect.name, table)
    if connection.dialect.name == "postgresql":
        connection.execute(statement, {one.name: [row[one.name] for row in ordered] for one in table.columns})
    else:
        connection.execute(statement, ordered)


def select_in(connection: Connection, statement: Select[Any], column: Any, ids: Sequence[str]) -> list[Any]:
    """Return the rows of a statement in which a column has one of some values, in as many parts as it takes."""
    parts = _parts(connection.dialect, ids)
    return [row for part in parts for row in connection.execute(statement.where(column.in_(part)))]


def digests_in(connection: Connection, table: Table, digests: Sequence[str], *, after: int) -> set[str]:
    """
    Return those of some digests that a table has, kept after some number; fast enough for millions.

    :param table: Has the columns ``digest`` and ``no``.
    """
    found: set[str] = set()
    for part in _parts(connection.dialect, digests):
        if connection.dialect.name == "postgresql":
            # One parameter: of thousands, reading the statement would take longer than running it.
            wanted = "ANY (CAST(string_to_array(:digests, ',') AS CHAR(32)[]))"
            query = f"SELECT digest FROM {table.fullname} WHERE digest = {wanted} AND no > :after"  # noqa: S608 - plain names
            result = connection.execute(text(query), {"digests": ",".join(part), "after": after})
        elif connection.dialect.name == "sqlite":
            signs = ", ".join("?" * len(part))
            query = f"SELECT digest FROM {table.fullname} WHERE digest IN ({signs}) AND no > ?"  # noqa: S608 - plain names
            result = connection.exec_driver_sql(query, (*part, after))
        else:
            result = connection.execute(select(table.c.digest).where(table.c.digest.in_(part), table.c.no > after))
        found.update(result.scalars())
    return found


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

    Other transactions that draw from it wait until this one ends. A task of version 5, which may still be at work after
    the tables were brought up to date, draws numbers without noting them, and changes lines without ending what is
    known of unchanged rows; so whoever draws next makes void all that was kept up to then.

    :param count: How many, at least 1.
    :return: The first of them.
    """
    draw = _NUMBERS.get(connection.dialect.name, _draw_on_others)
    return draw(connection, counters, account_id, count) - count + 1


def _draw_on_conflict(build: Any) -> Callable[[Connection, Table, str, int], int]:
    def draw(connection: Connection, counters: Table, account_id: str, count: int) -> int:
        drawn = build(counters).values(account_id=account_id, no=count, noted=count, void=0)
        last = counters.c.no + drawn.excluded.no
        drawn = drawn.on_conflict_do_update(
            index_elements=["account_id"], set_={"no": last, "noted": last, "void": _void(counters)}
        )
        return int(connection.execute(drawn.returning(counters.c.no)).scalar_one())

    return draw


def _draw_on_mysql(connection: Connection, counters: Table, account_id: str, count: int) -> int:
    # LAST_INSERT_ID(…) lets the response to the statement itself tell the number.
    drawn = insert_on_mysql(counters).values(account_id=account_id, no=func.last_insert_id(count), noted=count, void=0)
    # In this order: each is set to what the columns before it have by then.
    changes = [("void", _void(counters)), ("no", func.last_insert_id(counters.c.no + count)), ("noted", counters.c.no)]
    result = connection.execute(drawn.on_duplicate_key_update(changes))
    return int(result.lastrowid)


def _draw_on_others(connection: Connection, counters: Table, account_id: str, count: int) -> int:
    last = counters.c.no + count
    changed = update(counters).where(counters.c.account_id == account_id)
    if connection.execute(changed.values(no=last, noted=last, void=_void(counters))).rowcount == 0:
        connection.execute(insert(counters), {"account_id": account_id, "no": count, "noted": count, "void": 0})
    number = select(counters.c.no).where(counters.c.account_id == account_id)
    return int(connection.execute(number).scalar_one())


def _void(counters: Table) -> Any:
    """Return up to which number nothing counts that is kept of unchanged rows."""
    return case((counters.c.noted == counters.c.no, counters.c.void), else_=counters.c.no)


def void_number(connection: Connection, counters: Table, account_id: str) -> int:
    """Return up to which number of an account nothing counts that is kept of unchanged rows."""
    found = connection.execute(select(_void(counters)).where(counters.c.account_id == account_id))
    return int(found.scalar_one_or_none() or 0)


def lock_number(connection: Connection, counters: Table, account_id: str) -> int:
    """Return the number that was drawn last; until the transaction ends, nobody draws another."""
    found = connection.execute(select(counters.c.no).where(counters.c.account_id == account_id).with_for_update())
    return int(found.scalar_one_or_none() or 0)


@lru_cache(maxsize=100)
def _upsert(dialect: str, table: Table) -> Executable:
    build: Callable[[Table], Executable] = _UPSERTS.get(dialect, insert)
    return build(table)


def _upsert_on_sqlite(table: Table) -> Executable:
    base = insert_on_sqlite(table)
    others = {column.name: base.excluded[column.name] for column in table.columns if not column.primary_key}
    return base.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)


def _upsert_on_postgres(table: Table) -> Executable:
    """
    Return the statement for Postgres, whose parameters are the columns as arrays.

    So any number of rows is one round trip, whichever the driver: of many rows psycopg 2 makes many statements, and
    psycopg 3 waits several times.
    """
    names = [column.name for column in table.columns]
    arrays = ", ".join(f"CAST(:{column.name} AS {_array_type(column.type)}[])" for column in table.columns)
    others = ", ".join(f"{column.name} = excluded.{column.name}" for column in table.columns if not column.primary_key)
    keys = ", ".join(column.name for column in table.primary_key)
    return text(
        f"INSERT INTO {table.fullname} ({', '.join(names)}) SELECT * FROM unnest({arrays}) "  # noqa: S608 - plain names
        f"ON CONFLICT ({keys}) DO UPDATE SET {others}"
    )


def _array_type(kind: TypeEngine[Any]) -> str:
    """Return Postgres's name for the type of a column; all texts are ``text`` until they are stored."""
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


_UPSERTS: dict[str, Callable[[Table], Executable]] = {
    "sqlite": _upsert_on_sqlite,
    "postgresql": _upsert_on_postgres,
    "mysql": _upsert_on_mysql,
}
_NUMBERS = {
    "sqlite": _draw_on_conflict(insert_on_sqlite),
    "postgresql": _draw_on_conflict(insert_on_postgres),
    "mysql": _draw_on_mysql,
}


def is_proven(dialect: Dialect) -> bool:
    """Tell whether this package's tests run on such a database."""
    return dialect.name in _UPSERTS
