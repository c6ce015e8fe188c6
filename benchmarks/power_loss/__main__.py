"""
Cut the power at every durable edge of tasks whose ledger is in SQLite, and see what survives.

A capture and two nights of a sync run against a sandbox, with their sensors, while all that SQLite does to the files of
the ledger is recorded. From that, the states are made that the disk may be in if the power fails before or after each
sync, commit, submission, response and verdict: what was synced, and any part of what was not. In each state

1. the database must open, be whole, and hold what the last commit that had returned left, or the one under way;
2. each row that was sent must have its intent there.

Then the next try of the task, and all tasks after it, run to their end, once for each content that was found together
with what LeadSquared had received by then (what was on its way may have arrived or not); the sandbox's own record is
compared with the ledger.

    python -m benchmarks.power_loss

prints what was found, and exits with 1 if that was anything. ``--synchronous OFF`` plants a setting that loses data:
then it must find something.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.power_loss.disk import Files
    from benchmarks.power_loss.trial import Tally

#: SQLite's journal modes: its own, and the one that somebody may have put the database into.
JOURNALS = ("delete", "wal")


def prove(
    kind: str, journal: str, *, synchronous: str | None, seed: int, samples: int, most_cuts: int, folder: Path
) -> dict[str, Tally]:
    """
    Record one kind of tasks on one kind of journal, and cut the power at every edge.

    :param kind: ``capture`` or ``sync``.
    :param journal: One of :data:`JOURNALS`.
    :param synchronous: The setting to plant into the ledger's connections, None for the package's own.
    :param seed: Of the drawn disk states.
    :param samples: How many disk states to draw where there are many.
    :param most_cuts: At how many moments the power is cut at most.
    :param folder: For files, best in memory.
    :return: What was found, of the first try and of a second one, after a first that was killed half-way.
    """
    # Only now that Airflow's home is set.
    from benchmarks.power_loss.nights import KINDS
    from benchmarks.power_loss.trial import Begin, Trial
    from benchmarks.power_loss.world import World

    with ExitStack() as stack:
        world = World(folder, synchronous, stack)
        nights = KINDS[kind](world)
        chance = random.Random(f"{seed} {kind} {journal}")
        begin = Begin(_empty(journal, folder), world.moment_now())
        first = Trial(world, nights, begin, chance, samples=samples, most_cuts=most_cuts)
        half_way = first.killed_half_way()
        second = Trial(world, nights, half_way, chance, samples=samples, most_cuts=most_cuts)
        trials = {f"{kind}, {journal}": first, f"{kind}, {journal}, second try": second}
        tallies: dict[str, Tally] = {}
        for name, trial in trials.items():
            tallies[name] = trial.run()
            print(f"{name}: {tallies[name].states:,} disk states", file=sys.stderr, flush=True)
        return tallies


def _empty(journal: str, folder: Path) -> Files:
    """Return the files of a database before its first use: none, or one that somebody has put into another mode."""
    if journal == "delete":
        return {}
    path = folder / "empty.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE other (value)")  # an empty file has no mode
    return {"ledger.db": path.read_bytes()}


def table(tallies: dict[str, Tally]) -> str:
    """Write the tallies below each other."""
    columns = {
        "commits": "commits",
        "syncs": "syncs",
        "POSTs": "submissions",
        "cuts": "points",
        "disk states": "states",
        "tries after": "replays",
    }
    lines = [f"{'':27}" + "".join(f"{label:>13}" for label in columns) + f"{'findings':>13}"]
    for name, tally in tallies.items():
        figures = [getattr(tally, attribute) for attribute in columns.values()]
        lines.append(f"{name:27}" + "".join(f"{figure:>13,}" for figure in [*figures, tally.findings.total()]))
    for name, tally in tallies.items():
        lines += [f"  {name}: {count:,} × {what}" for what, count in tally.findings.most_common()]
    return "\n".join(lines)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let nothing be written on the standard output: tasks log there, and they run thousands of times."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def main() -> int:
    """Prove, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the drawn disk states (default %(default)s)")
    parser.add_argument(
        "--samples", type=int, default=10, help="draws for a moment with more than 64 states (default %(default)s)"
    )
    parser.add_argument(
        "--cuts", type=int, default=1_000_000, help="moments at which the power is cut, at most; drawn from all"
    )
    parser.add_argument("--synchronous", help="plant this setting of SQLite's into the ledger: OFF, NORMAL, FULL")
    parser.add_argument("--kind", choices=("capture", "sync"), action="append", help="only this; may be given again")
    parser.add_argument("--journal", choices=JOURNALS, action="append", help="only this; may be given again")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="power-loss-") as home, _quiet():
        os.environ["AIRFLOW_HOME"] = home
        from benchmarks.power_loss.recording import check

        check(Path(home))
        for kind in options.kind or ("capture", "sync"):
            for journal in options.journal or JOURNALS:
                tallies |= prove(
                    kind,
                    journal,
                    synchronous=options.synchronous,
                    seed=options.seed,
                    samples=options.samples,
                    most_cuts=options.cuts,
                    folder=Path(tempfile.mkdtemp(dir=home)),
                )
    print(table(tallies))
    print(f"\nSeed {options.seed}; SQLite {sqlite3.sqlite_version}. {time.monotonic() - started:,.0f} s")
    return int(any(tally.findings for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
