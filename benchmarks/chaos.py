"""
Deliver for several nights while databases, networks and disks die, and compare with what the CRM really received.

Every night several instances of a mapped sync read all customers of a warehouse and send those that have changed,
several instances of a mapped capture send new leads, every fifth without a match key, and sensors wait for the
verdicts: real tasks, each try in a process of its own, run again as Airflow would, with one ledger. Meanwhile

- ``postgres``, ``mariadb``: the ledger's database is killed, all its processes with SIGKILL, 5 to 40 s after each
  start, and is away for up to 25 s;
- ``network``: what goes between tasks and LeadSquared, and between tasks and the ledger's Postgres, is delayed, split,
  cut, held back and mixed up (``benchmarks/chaos_network.py``), and now and then the network is down;
- ``disk-sqlite``, ``disk-postgres``: the disk of the ledger is filled to its last block for up to 25 s at a time.

    python -m benchmarks.chaos --kind postgres --rows 10000 --nights 3 --seed 1 --write

prints a table for these kinds, or for all, ``mariadb`` with ``--mariadb``, and writes that of the last run of each kind
into ``docs/reliability.md``. It exits with 1 if a promise was broken: a
row lost, doubled, or without its verdict, an older value after a newer one, a verdict that is not the CRM's, counts
that do not add up, or a task of the wrong colour. A row that waits for an earlier sending, as the next night may come
within LeadSquared's own retries here, has to be delivered by the last night, in which all is well. MariaDB needs the
system's packages and the extra ``dev-mysql``, a full disk Linux. The seed is that of all that is drawn; what meets what
depends on the machine.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import requests

from benchmarks.chaos_audit import Audit, Evidence, audited, read_lines
from benchmarks.chaos_bad_network import bad_network
from benchmarks.chaos_disk import FullDisk, in_own_mounts, mount_memory
from benchmarks.chaos_nights import Nights, Trouble
from benchmarks.chaos_servers import Database, Killings, mariadb, postgres, sqlite
from benchmarks.chaos_table import KINDS, Result, table
from benchmarks.chaos_tasks import LEDGER, SENDING, WAREHOUSE, Instance, World, end_of_try
from benchmarks.page import publish
from benchmarks.processes import quiet_airflow
from benchmarks.sandbox_process import connect_to, reset, sandbox, truth

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "reliability.md"
#: The last result of each kind.
RESULTS = PROJECT / "build" / "chaos"
#: How many of the sandbox's seconds pass in one: LeadSquared's ten hours of retries are six minutes.
SPEED = 100
#: Seconds after which LeadSquared is no longer at work on anything, with some to spare.
SETTLED_AFTER = 36_570 / SPEED + 10
#: Seconds after which the sandbox responds to a submission, so that a night lasts for several kills.
RESPONSE_SECONDS = 0.6
#: The same where the network adds its own delays.
_RESPONSE_SECONDS_BEHIND_NETWORK = 0.1
#: The share of customers that change from one night to the next, and the number of captured leads for each customer.
CHANGED, CAPTURED = 0.3, 0.1
#: Megabytes of the disks that are filled. Postgres keeps up to 128 of logs.
_DISK_MEGABYTES = {"disk-sqlite": 256, "disk-postgres": 512}


def drawn_world(folder: Path, rows: int, nights: int, chance: random.Random) -> World:
    """Return what is to be delivered: in the first night all customers, later those that change, in the last none."""
    changed = {1: frozenset(range(rows))}
    for night in range(2, nights + 1):
        changed[night] = frozenset(chance.sample(range(rows), int(rows * CHANGED)))
    changed[nights + 1] = frozenset()
    return World(folder, rows, int(rows * CAPTURED), changed)


def run(kind: str, *, rows: int, nights: int, seed: int) -> Result:
    """
    Run one kind in this process.

    :param kind: One of :data:`KINDS`.
    :param rows: Customers in the warehouse.
    :param nights: How many nights.
    :param seed: Of all that is drawn.
    """
    started, today = time.monotonic(), dt.date.today().isoformat()
    chance = random.Random(f"{kind} {seed}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        world = drawn_world(folder, rows, nights, chance)
        world.build()
        url = stack.enter_context(sandbox(folder, speed=SPEED))
        _import_all(folder, url)
        database, trouble = stack.enter_context(_trouble(kind, folder, url, chance, seed))
        reset(url)
        seconds = _RESPONSE_SECONDS_BEHIND_NETWORK if kind == "network" else RESPONSE_SECONDS
        slow = {"kind": "slow", "seconds": seconds, "endpoint": "capture"}
        requests.post(f"{url}/sandbox/faults", json=slow, timeout=30).raise_for_status()
        work = Nights(world, partial(print, f"{kind}:", file=sys.stderr, flush=True))
        work.run(range(1, nights + 1), trouble)
        trouble.end()
        time.sleep(SETTLED_AFTER)
        work.run([nights + 1], None)
        evidence = Evidence(
            truth(url, "posts"),
            {request["request_id"]: request for request in truth(url, "requests")},
            truth(url, "leads"),
            read_lines(database.query),
            work.instances,
            work.begun,
        )
        audit = audited(world, evidence)
        audit.problems += work.problems
        seconds = time.monotonic() - started
        tries = (work.tries, work.failed_tries, work.polls, dict(work.errors))
        return Result((rows, nights), seed, today, audit, trouble.done(), *tries, seconds)


def _import_all(folder: Path, url: str) -> None:
    """Deliver a few rows in this very process, so that every try forked from it finds everything imported."""
    quiet_airflow()
    connect_to(url, speed=SPEED)
    few = World(folder / "few", 4, 20, {1: frozenset(range(4))})
    few.folder.mkdir()
    few.build()
    few.begin(1)
    os.environ[f"AIRFLOW_CONN_{WAREHOUSE.upper()}"] = sqlite(few.warehouse).as_connection()
    os.environ[f"AIRFLOW_CONN_{LEDGER.upper()}"] = sqlite(few.folder / "ledger.db").as_connection()
    for task, wait in SENDING.items():
        sent = end_of_try(Instance(1, task, 1), few, [], {})
        ended = end_of_try(Instance(1, wait, -1), few, [sent.output], {f"{task}_1": "success"})
        for one in (sent, ended):
            if one.error is not None:
                raise RuntimeError(f"tasks fail where nothing goes wrong: {one.error}")
    os.environ[f"AIRFLOW_CONN_{WAREHOUSE.upper()}"] = sqlite(folder / "warehouse.db").as_connection()


@contextmanager
def _trouble(kind: str, folder: Path, url: str, chance: random.Random, seed: int) -> Iterator[tuple[Database, Trouble]]:
    """Make the ledger's database and what goes wrong with it, and point Airflow's connections there."""
    with ExitStack() as stack:
        database: Database
        trouble: Trouble
        changes: dict[str, Any] = {}
        if kind == "postgres":
            database = server = stack.enter_context(postgres(folder / "server"))
            trouble = Killings(server, chance)
        elif kind == "mariadb":
            database = server = stack.enter_context(mariadb(folder / "server"))
            trouble = Killings(server, chance)
        elif kind == "network":
            database = server = stack.enter_context(postgres(folder / "server"))
            trouble = stack.enter_context(bad_network(folder, url, int(server.connection["port"]), seed))
            changes = {"port": trouble.ports["database"]}
            connect_to(url, speed=SPEED, through=f"http://127.0.0.1:{trouble.ports['http']}")
        else:
            disk = folder / "disk"
            mount_memory(disk, _DISK_MEGABYTES[kind])
            stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
            if kind == "disk-sqlite":
                database = sqlite(disk / "ledger.db")
                trouble = FullDisk(disk, chance)
            else:
                few_logs = {"max_wal_size": "128MB"}
                database = server = stack.enter_context(postgres(folder / "server", data=disk, settings=few_logs))
                trouble = FullDisk(disk, chance, server)
        os.environ[f"AIRFLOW_CONN_{LEDGER.upper()}"] = database.as_connection(**changes)
        yield database, trouble


def run_apart(kind: str, options: Sequence[str], home: Path) -> Result:
    """Run one kind in a process of its own, with an Airflow home of its own, and keep its result."""
    file = RESULTS / f"{kind}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.chaos", "--kind", kind, *options, "--result-to", str(file)]
    if kind in _DISK_MEGABYTES:
        command = in_own_mounts(command)
    environment = {**os.environ, "AIRFLOW_HOME": str(home / kind)}
    subprocess.run(command, env=environment, cwd=PROJECT, stdout=sys.stderr, check=True)
    return kept(kind)


def kept(kind: str) -> Result:
    """Return the result of the last run of a kind."""
    found = json.loads((RESULTS / f"{kind}.json").read_text())
    return Result(**{**found, "audit": Audit(**found["audit"])})


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this; may be given again")
    parser.add_argument("--mariadb", action="store_true", help="try MariaDB, too")
    parser.add_argument("--rows", type=int, default=10_000, help="customers in the warehouse (default %(default)s)")
    parser.add_argument("--nights", type=int, default=3, help="nights (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default %(default)s)")
    parser.add_argument("--at-once", type=int, default=1, help="kinds that run at the same time (default %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the last result of each kind into the docs")
    parser.add_argument("--result-to", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = [f"--{name}={getattr(options, name)}" for name in ("rows", "nights", "seed")]
    if options.result_to:
        result = run(options.kind[0], rows=options.rows, nights=options.nights, seed=options.seed)
        options.result_to.write_text(json.dumps(asdict(result)))
        return 0
    results = {}
    with tempfile.TemporaryDirectory(prefix="chaos-home-") as home, ThreadPoolExecutor(options.at_once) as pool:
        kinds = options.kind or [kind for kind in KINDS if options.mariadb or kind != "mariadb"]
        run_one = partial(run_apart, options=size, home=Path(home))
        for kind, one in zip(kinds, pool.map(run_one, kinds), strict=True):
            results[kind] = one
            for text in (*one.audit.notes, *one.audit.problems):
                print(f"{kind}: {text}", file=sys.stderr)
            for text, count in sorted(one.errors.items(), key=lambda item: -item[1]):
                print(f"{kind}: {count} x {text}", file=sys.stderr)
    if options.write:
        results = {kind: kept(kind) for kind in KINDS if (RESULTS / f"{kind}.json").exists()}
    publish("chaos", table(results), is_written=options.write, page=PAGE)
    return int(not all(one.audit.goals_met for one in results.values()))


if __name__ == "__main__":
    sys.exit(main())
