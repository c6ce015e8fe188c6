"""
How else one finds out which rows have changed: a bare hash join in Python, a join in the database itself, DuckDB.

The warehouse is a table of customers with 12 columns. What is kept of last night is digests by id for the bare join,
hashes by id for DuckDB, and the whole rows for the database's own join, which no ledger may keep.
"""
# ruff: noqa: S608 - statements are made of this file's own constants, and of numbers

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

QUERY = "SELECT * FROM customers ORDER BY id"
_COLUMNS = {
    "email": ("TEXT", "'customer' || n || '@example.org'"),
    "first_name": ("TEXT", "'First' || n"),
    "last_name": ("TEXT", "'Last' || n"),
    "phone": ("TEXT", "'+91-' || (9000000000 + n)"),
    "city": ("TEXT", "CASE n % 3 WHEN 0 THEN 'Pune' WHEN 1 THEN 'Kochi' ELSE 'Agra' END"),
    "plan": ("TEXT", "CASE n % 3 WHEN 0 THEN 'Gold' WHEN 1 THEN 'Silver' ELSE 'Bronze' END"),
    "age": ("INTEGER", "20 + n % 60"),
    "revenue": ("DOUBLE PRECISION", "n / 4.0"),
    "signed_up": ("TIMESTAMP", "{moment}"),
    "country": ("TEXT", "'India'"),
    "note": ("TEXT", "CASE n % 4 WHEN 0 THEN 'Called ' || (n % 7) || ' times, prefers to be written to' END"),
}
_MOMENT = "'2026-01-' || (10 + n % 20) || ' 08:00:00'"
_VALUES = ", ".join(expression for _, expression in _COLUMNS.values())
_CHANGED_CITY = "Agra (new)"


def connect() -> Any:
    """Open a plain connection to the database of this run."""
    address = os.environ["BENCHMARK_DATABASE"]
    if address.startswith("postgresql"):
        import psycopg2

        return psycopg2.connect(address)
    return sqlite3.connect(address)


def is_sqlite(connection: Any) -> bool:
    """Tell which of the two databases it is."""
    return isinstance(connection, sqlite3.Connection)


def read(connection: Any, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, none of them twice in memory."""
    cursor = connection.cursor() if is_sqlite(connection) else connection.cursor("benchmark")
    cursor.execute(query)
    while part := cursor.fetchmany(2_000):
        yield from part


def fill(rows: int) -> None:
    """Make the warehouse, in the database itself."""
    types = ", ".join(f"{name} {kind}" for name, (kind, _) in _COLUMNS.items())
    with closing(connect()) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE TABLE customers (id INTEGER PRIMARY KEY, {types})")
        if is_sqlite(connection):
            numbers = f"WITH RECURSIVE r (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < {rows - 1})"
            cursor.execute(f"{numbers} INSERT INTO customers SELECT n, {_VALUES.format(moment=_MOMENT)} FROM r")
        else:
            numbers = f"generate_series(0, {rows - 1}) AS r (n)"
            values = _VALUES.format(moment=f"CAST({_MOMENT} AS TIMESTAMP)")
            cursor.execute(f"INSERT INTO customers SELECT n, {values} FROM {numbers}")


def insert(connection: Any, table: str, columns: int, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows with so many columns."""
    if is_sqlite(connection):
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)
    else:
        from psycopg2.extras import execute_values

        execute_values(connection.cursor(), f"INSERT INTO {table} VALUES %s", rows, page_size=2_000)


def change(rows: int) -> None:
    """Change one of the rows, after last night was written."""
    with closing(connect()) as connection, connection:
        connection.cursor().execute(f"UPDATE customers SET city = '{_CHANGED_CITY}' WHERE id = {rows // 2}")


# --- a bare hash join in Python


def digest_of(row: tuple[Any, ...]) -> str:
    """Return the digest that the bare join compares."""
    return hashlib.blake2b(repr(row).encode(), digest_size=16).hexdigest()


def keep_digests() -> None:
    """Write the digest of each row."""
    with closing(connect()) as reader, closing(connect()) as connection, connection:
        connection.cursor().execute("CREATE TABLE last_night (id INTEGER PRIMARY KEY, digest CHAR(32) NOT NULL)")
        digests = ((row[0], digest_of(row)) for row in read(reader, QUERY))
        insert(connection, "last_night", 2, list(digests) if is_sqlite(connection) else digests)


def join() -> tuple[int, int]:
    """Hash each row, and look it up in a dict of last night's digests; return the rows read and changed."""
    with closing(connect()) as connection, closing(connect()) as reader:
        known = dict(read(connection, "SELECT id, digest FROM last_night"))
        count = changed = 0
        for row in read(reader, QUERY):
            count += 1
            changed += known.get(row[0]) != digest_of(row)
    return count, changed


# --- a join in the database


def keep_rows() -> None:
    """Copy the table."""
    with closing(connect()) as connection, connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE last_night_rows AS SELECT * FROM customers ORDER BY id")
        cursor.execute("CREATE UNIQUE INDEX last_night_id ON last_night_rows (id)")


def sql_join() -> tuple[int, int]:
    """Compare the table with its copy."""
    with closing(connect()) as connection:
        differs = "IS NOT" if is_sqlite(connection) else "IS DISTINCT FROM"
        now, before = (", ".join(f"{table}.{name}" for name in _COLUMNS) for table in ("c", "l"))
        cursor = connection.cursor()
        cursor.execute(
            f"SELECT count(*), count(CASE WHEN ({now}) {differs} ({before}) THEN 1 END) "
            "FROM customers AS c LEFT JOIN last_night_rows AS l ON l.id = c.id"
        )
        count, changed = cursor.fetchone()
    return count, changed


# --- DuckDB


def duckdb_is_there() -> bool:
    """Tell whether DuckDB is installed, and what lets it read SQLite and Postgres."""
    return all(map(find_spec, ("duckdb", *(f"duckdb_extension_{one}_scanner" for one in ("sqlite", "postgres")))))


def _attached() -> Any:
    """Return DuckDB with the database of this run as ``w``, and the file of last night's hashes."""
    import duckdb

    address = os.environ["BENCHMARK_DATABASE"]
    kind = "postgres" if address.startswith("postgresql") else "sqlite"
    (package,) = resources.files(f"duckdb_extension_{kind}_scanner").joinpath("extensions").iterdir()
    duckdb.sql(f"LOAD '{package / f'{kind}_scanner.duckdb_extension'}'")
    duckdb.sql(f"ATTACH '{address}' AS w (TYPE {kind}, READ_ONLY)")
    return duckdb, Path(os.environ["BENCHMARK_FOLDER"]) / "last_night.parquet"


def keep_hashes() -> None:
    """Write the hash of each row into a Parquet file."""
    duckdb, file = _attached()
    duckdb.sql(f"COPY (SELECT id, hash({', '.join(_COLUMNS)}) AS digest FROM w.customers) TO '{file}' (FORMAT parquet)")


def duckdb_join() -> tuple[int, int]:
    """Hash each row, and compare it with the file, with all cores."""
    duckdb, file = _attached()
    hashed = ", ".join(f"c.{name}" for name in _COLUMNS)
    count, changed = duckdb.sql(
        f"SELECT count(*), count(*) FILTER (l.digest IS DISTINCT FROM hash({hashed})) "
        f"FROM w.customers AS c LEFT JOIN '{file}' AS l ON l.id = c.id"
    ).fetchall()[0]
    return count, changed
