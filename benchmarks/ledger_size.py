"""
Whether a ledger slows down with size: what a night's questions take beside millions of lines of earlier nights.

A sync of some rows has its first nights. Then so many lines of earlier runs are put into its result table, copies of
these nights' own lines under other runs, with the dates of the years before, by statements of the database; indexes are
built anew afterwards, for that takes less time. The memory of the sync has a line for each row, customer and match key,
however long its history is. The questions are those of ``ledger_nights.py``: all that a night asks before its first
intent. What is shown are medians of 15 nights before and after.

    python -m benchmarks.ledger_size [--lines 36000000] [--rows 5000] [--databases SQLite Postgres] [--write]

exits with 1 if the questions take 100 ms or more with all these lines, or more statements than before. 36 million lines
take about 30 GB where temporary files are, and half an hour for each database. ``--write`` writes the table of
``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks import nightly_sync, page
from benchmarks.ledger_nights import CHANGED_SHARE, WINDOW, Statements, change, database_of, night
from benchmarks.processes import quiet_airflow

#: Milliseconds that the questions of a night may take.
GOAL_MS = 100.0
#: Runs whose lines are put in by one statement, and the days over which the dates of all of them go.
_RUNS_AT_ONCE, _DAYS = 500, 2_000


def fill(connect: Callable[[], Any], lines: int) -> int:
    """Copy the lines of the nights that were, under other runs, until there are so many; return how many there are."""
    from sqlalchemy import func, insert, select

    from airflow_provider_leadsquared.ledgers.database import Database

    database = Database(connect, table="ledger")
    table = database.tables.entries
    with database.writing() as connection:
        for index in table.indexes:
            index.drop(connection)
        scopes = list(connection.execute(select(table.c.scope).distinct()).scalars())
        there = connection.execute(select(func.count()).select_from(table)).scalar_one()
    runs = -(-lines // there) - 1
    for start in range(0, runs, _RUNS_AT_ONCE):
        with database.writing() as connection:
            series = _series(connection.dialect.name, start, min(start + _RUNS_AT_ONCE, runs))
            values = _values(connection.dialect.name, table, runs, series.c.n)
            statement = select(*values.values()).select_from(table).join(series, table.c.scope.in_(scopes))
            connection.execute(insert(table).from_select(list(values), statement))
        print(f"{min(start + _RUNS_AT_ONCE, runs):,} of {runs:,} copies", file=sys.stderr)
    with database.writing() as connection:
        for index in table.indexes:
            index.create(connection)
    with closing(connect()) as raw:
        if "psycopg2" in type(raw).__module__:  # its autovacuum does so within a minute
            raw.autocommit = True
            raw.cursor().execute("VACUUM ANALYZE")
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _series(dialect: str, start: int, end: int) -> Any:
    """Return the numbers from ``start`` up to ``end`` as a table with the column ``n``."""
    from sqlalchemy import func, literal, select

    if dialect == "postgresql":
        return select(func.generate_series(start, end - 1).label("n")).subquery()
    numbers = select(literal(start).label("n")).cte(recursive=True)
    return numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < end - 1))


def _values(dialect: str, table: Any, runs: int, number: Any) -> dict[str, Any]:
    """Return, by name, what the columns of a copy are."""
    from sqlalchemy import String, cast, func, literal_column

    text = cast(number, String)
    if dialect == "postgresql":
        digest, earlier = func.md5(table.c.scope + text), literal_column(f"interval '{_DAYS} days'") * (runs - number)
        moments = {name: table.c[name] - earlier / runs for name in ("accepted_at", "settled_at", "written_at")}
        request = func.md5(table.c.request_id + text)
    else:
        digest, request = func.printf("%032x", number), func.lower(func.hex(func.randomblob(16)))
        days = cast((number - runs) * _DAYS / runs, String) + " days"
        moments = {
            name: func.strftime("%Y-%m-%d %H:%M:%S.000000", table.c[name], days)
            for name in ("accepted_at", "settled_at", "written_at")
        }
    # Of each night the lines have a scope of their own, so a copy's has to tell that, too.
    scope = digest if dialect == "postgresql" else digest + table.c.scope
    changed = {"scope": func.substr(scope, 1, 32), "run_id": "old " + text, "request_id": request, **moments}
    return {column.name: changed.get(column.name, column) for column in table.columns}


def measure(connect: Callable[[], Any], rows: int, lines: int, statements: Statements) -> dict[str, Any]:
    """Return lines, milliseconds and statements of a night's questions before and after the history is put in."""
    chance, each = random.Random(1), max(1, round(rows * CHANGED_SHARE))
    source = [nightly_sync.customer(n) for n in range(rows)]
    night(connect, -1, source, rows, statements)
    night(connect, 0, source, 0, statements)
    taken: list[tuple[float, int]] = []
    for number in range(1, 2 * WINDOW + 1):
        if number == WINDOW + 1:
            lines = fill(connect, lines)
        change(source, chance, each)
        taken.append(night(connect, number, source, each, statements))
    return {
        "lines": lines,
        "windows": [
            (statistics.median(one[0] for one in part) * 1e3, statistics.median(one[1] for one in part))
            for part in (taken[:WINDOW], taken[WINDOW:])
        ],
    }


def show(found: dict[str, dict[str, Any]], command: str, *, is_written: bool) -> bool:
    """Print and write the table; return whether all goals are met."""
    rows, verdicts = [], []
    for name, one in found.items():
        (before, asked_before), (after, asked) = one["windows"]
        verdicts.append(after < GOAL_MS and asked <= asked_before)
        cells = [f"{before:,.0f} ms, {asked_before:,.0f}", f"{one['lines']:,}", f"{after:,.0f} ms, {asked:,.0f}"]
        rows.append([name, *cells, f"< {GOAL_MS:g} ms", page.is_met(verdicts[-1])])
    head = ["ledger", "before", "lines", "with these", "goal", "met"]
    page.publish("size", f"{page.conditions(command)}\n\n{page.table(head, rows)}", is_written=is_written)
    return all(verdicts)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--lines", type=int, default=36_000_000, help="lines of history (default %(default)s)")
    parser.add_argument("--rows", type=int, default=5_000, help="rows of the sync (default %(default)s)")
    parser.add_argument("--databases", nargs="+", default=["SQLite", "Postgres"], help="SQLite, Postgres, or both")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    found = {}
    for database in options.databases:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ledger-size-")))
            os.environ["AIRFLOW_HOME"] = str(home)
            quiet_airflow()
            statements = stack.enter_context(Statements())
            connect = database_of(database, home / "database", stack)
            found[database] = measure(connect, options.rows, options.lines, statements)
    command = f"python -m benchmarks.ledger_size --lines {options.lines} --rows {options.rows}"
    return int(not show(found, f"{command} --databases {' '.join(options.databases)}", is_written=options.write))


if __name__ == "__main__":
    sys.exit(main())
