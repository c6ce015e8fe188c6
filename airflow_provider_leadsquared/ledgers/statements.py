"""Statements that have a form of their own on each database: replacing rows by key, reading by ids, drawing numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Connection,
    Delete,
    Dialect,
    Select,
    Table,
    case,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import insert as insert_on_mysql
from sqlalchemy.dialects.postgresql import insert as insert_on_postgres
from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite

from airflow_provider_leadsquared.ledgers.row_writes import UPDATES, UPSERTS, replace_rows

#: Values in one list: fewer than the proven databases take (SQLite 32,766, Postgres 65,535); some others take 1,000.
_IDS, _IDS_ON_OTHERS = 10_000, 1_000

#: By the name of the dialect.
_UPSERTS, _UPDATES = UPSERTS, UPDATES


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
    _UPSERTS.get(connection.dialect.name, replace_rows)(connection, table, ordered, common)


def update_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, common: Mapping[str, Any]
) -> bool:
    """
    Set some columns of rows that are there.

    :param rows: The primary key, and the columns to set, of each.
    :param common: Columns of these that have one value in all rows.
    :return: Whether all were there. If not, or if this takes many statements on the database, write whole rows.
    """
    update = _UPDATES.get(connection.dialect.name)
    return update is not None and update(connection, table, rows, common) == len(rows)


def select_in(connection: Connection, statement: Select[Any], column: Any, ids: Sequence[str]) -> list[Any]:
    """Return the rows of a statement in which a column has one of some values, in as many parts as it takes."""
    parts = _parts(connection.dialect, ids)
    return [row for part in parts for row in connection.execute(statement.where(column.in_(part)))]


def digests_in(connection: Connection, table: Table, digests: Sequence[str], *, after: int) -> set[str]:
    """
    Return those of some digests that a table has, kept after some number; fast enough for millions.

    :param table: Has the columns ``digest`` and ``no``.
    """
    find = _DIGESTS.get(connection.dialect.name, _digests_on_others)
    return {one for part in _parts(connection.dialect, digests) for one in find(connection, table, part, after)}


def _digests_on_sqlite(connection: Connection, table: Table, digests: Sequence[str], after: int) -> Iterable[str]:
    # Asked for those that it lacks, mostly few: for each row of an answer this thread waits for the interpreter's lock.
    kept = f"SELECT 1 FROM {table.fullname} WHERE digest = asked.value AND no > ?"  # noqa: S608 - plain names
    query = f"SELECT value FROM json_each(?) AS asked WHERE NOT EXISTS ({kept})"  # noqa: S608 - plain names
    return set(digests).difference(connection.exec_driver_sql(query, (json.dumps(digests), after)).scalars())


def _digests_on_postgres(connection: Connection, table: Table, digests: Sequence[str], after: int) -> Iterable[str]:
    # One parameter: of thousands, reading the statement would take longer than running it.
    kept = f"SELECT FROM {table.fullname} WHERE digest = CAST(asked AS CHAR(32)) AND no > :after"
    asked = "UNNEST(STRING_TO_ARRAY(:digests, ',')) AS asked"
    query = text(f"SELECT asked FROM {asked} WHERE NOT EXISTS ({kept})")  # noqa: S608 - plain names
    lacking = connection.execute(query, {"digests": ",".join(digests), "after": after}).scalars()
    return set(digests).difference(lacking)


def _digests_on_others(connection: Connection, table: Table, digests: Sequence[str], after: int) -> Iterable[str]:
    return connection.execute(select(table.c.digest).where(table.c.digest.in_(digests), table.c.no > after)).scalars()


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


_DIGESTS: dict[str, Callable[[Connection, Table, Sequence[str], int], Iterable[str]]] = {
    "sqlite": _digests_on_sqlite,
    "postgresql": _digests_on_postgres,
}
_NUMBERS = {
    "sqlite": _draw_on_conflict(insert_on_sqlite),
    "postgresql": _draw_on_conflict(insert_on_postgres),
    "mysql": _draw_on_mysql,
}


def is_proven(dialect: Dialect) -> bool:
    """Tell whether this package's tests run on such a database."""
    return dialect.name in _UPSERTS
