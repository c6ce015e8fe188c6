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
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.power_loss_disk import Disk, Event, Files

if TYPE_CHECKING:
    from benchmarks.power_loss_audit import Content
    from benchmarks.power_loss_nights import Moment, Take, World

#: Kinds of events before and after which the power is cut.
EDGES = {"sync", "sync directory", "committed", "sent", "received", "answered", "time", "step"}
JOURNALS = ("delete", "wal")


@dataclass
class Tally:
    """What was tried, and found."""

    syncs: int = 0
    commits: int = 0
    submissions: int = 0
    points: int = 0
    states: int = 0
    replays: int = 0
    findings: Counter[str] = field(default_factory=Counter)


@dataclass
class Begin:
    """
    How things are before a recording.

    :param files: The ledger's.
    :param moment: LeadSquared, and the time.
    """

    files: Files
    moment: Moment


@dataclass
class Cut:
    """
    The power is cut when so many events have been.

    :param events: How many.
    :param step: The task that was running.
    :param returned: How many commits had returned.
    :param sent: The numbers of the submissions that had been sent.
    :param under_way: Those of them that LeadSquared had not received yet.
    :param moment: LeadSquared, and the time.
    """

    events: int
    step: int
    returned: int
    sent: list[int]
    under_way: list[int]
    moment: Moment


def cuts(take: Take) -> Iterator[Cut]:
    """Yield each moment at which the power is cut, in order."""
    step = returned = 0
    sent: list[int] = []
    received: set[int] = set()
    moments = iter(take.moments)
    moment, following = next(moments), next(moments, None)
    for number, event in enumerate(take.events):
        before = _is_edge(event) or (number > 0 and _is_edge(take.events[number - 1]))
        while following is not None and following.events <= number:
            moment, following = following, next(moments, None)
        if before:
            yield Cut(number, step, returned, list(sent), [one for one in sent if one not in received], moment)
        match event.kind:
            case "step":
                step = event.at
            case "committed":
                returned += 1
            case "sent":
                sent.append(event.at)
            case "received":
                received.add(event.at)


def _is_edge(event: Event) -> bool:
    return event.kind in EDGES


class Trial:
    """
    One recorded run, and all power losses in it.

    :param world: Where tasks run.
    :param nights: The tasks.
    :param begin: How things are before.
    :param chance: Draws disk states.
    :param samples: How many disk states to draw where there are many.
    :param most_cuts: At how many moments the power is cut at most; of more, so many are drawn.
    """

    def __init__(
        self, world: World, nights: Any, begin: Begin, chance: random.Random, *, samples: int, most_cuts: int
    ) -> None:
        from benchmarks.power_loss_nights import record

        self.tally = Tally()
        self._world, self._nights = world, nights
        self._chance, self._samples, self._most_cuts = chance, samples, most_cuts
        self._folder = Path(tempfile.mkdtemp(dir=world.folder))
        self._take = record(world, nights, self._new_ledger(begin.files), begin.moment)
        self._contents = [self._survived(self._take.files)]
        self._replayed: set[tuple[Any, ...]] = set()

    def run(self) -> Tally:
        """Cut the power at every edge, and return what was found."""
        take, tally = self._take, self.tally
        kinds = Counter(event.kind for event in take.events)
        tally.syncs, tally.commits = kinds["sync"] + kinds["sync directory"], kinds["committed"]
        tally.submissions = kinds["sent"]
        self._read_contents()
        disk, done = Disk(take.files), 0
        for cut in self._chosen(list(cuts(take))):
            for event in take.events[done : cut.events]:
                disk.happen(event)
            done = cut.events
            tally.points += 1
            for files in disk.after_power_loss(self._chance, self._samples):
                tally.states += 1
                self._try(cut, files)
        return tally

    def killed_half_way(self) -> Begin:
        """Return how things are if the first task's process is killed while it sends, and nothing else happens."""
        take, disk = self._take, Disk(self._take.files)
        half = len([event for event in take.events[: self._end_of_first()] if event.kind == "sent"]) // 2
        cut = next(cut for cut in cuts(take) if len(cut.sent) > half and cut.under_way)
        for event in take.events[: cut.events]:
            disk.happen(event)
        return Begin(disk.now, cut.moment)

    def _end_of_first(self) -> int:
        return next(number for number, event in enumerate(self._take.events) if event.kind == "step" and event.at == 1)

    def _chosen(self, every: list[Cut]) -> list[Cut]:
        """Return the cuts to try, in their order."""
        if len(every) <= self._most_cuts:
            return every
        return sorted(self._chance.sample(every, self._most_cuts), key=lambda cut: cut.events)

    def _read_contents(self) -> None:
        """Note what each commit left, while there was power."""
        disk = Disk(self._take.files)
        for event in self._take.events:
            disk.happen(event)
            if event.kind == "committed":
                self._contents.append(self._survived(disk.now))

    def _try(self, cut: Cut, files: Files) -> None:
        from benchmarks.power_loss_audit import without_intent

        survived = self._survived(files)
        allowed = [content.digest for content in self._contents[cut.returned : cut.returned + 2]]
        if survived.problem:
            self._find(f"the database is damaged: {survived.problem}")
            return
        if survived.digest not in allowed:
            self._find("the database is not what a commit left: something that had returned is gone")
        leads = [self._lead(number) for number in cut.sent]
        if without_intent(self._nights, survived, leads):
            self._find("a row was sent whose intent is gone")
        for arrived in {(), tuple(cut.under_way)}:
            key = (survived.digest, cut.moment.events, arrived, cut.step)
            if key not in self._replayed:
                self._replayed.add(key)
                self._replay(cut, files, survived, arrived)

    def _replay(self, cut: Cut, files: Files, survived: Content, arrived: tuple[int, ...]) -> None:
        """Run the next try, and the tasks after it, and compare what LeadSquared has with the ledger."""
        from benchmarks.power_loss_audit import Crm, Loss, content_of
        from benchmarks.power_loss_nights import RETRY_DELAY

        self.tally.replays += 1
        world, ledger = self._world, self._new_ledger(files)
        world.use_ledger(ledger)
        world.restore(cut.moment)
        for number in arrived:
            world.deliver(self._take.sent[number])
        posts = len(world.sandbox.posts())
        world.clock.advance(RETRY_DELAY)
        outputs = self._take.outputs[: cut.step]
        try:
            for step in range(cut.step, len(self._nights.steps)):
                outputs.append(self._nights.run(step, outputs))
        except Exception as error:  # whatever stops a task is a finding
            self._find(f"the next try fails: {type(error).__name__}: {error}"[:150])
        else:
            loss = Loss(self._nights, survived, posts, Crm.of(world.sandbox), content_of(ledger))
            for problem in set(loss.problems()):
                self._find(problem)
        shutil.rmtree(ledger.parent)

    def _find(self, what: str) -> None:
        self.tally.findings[what] += 1

    def _lead(self, number: int) -> dict[str, Any]:
        from benchmarks.power_loss_audit import lead_in

        return lead_in(self._take.sent[number].body)

    def _survived(self, files: Files) -> Content:
        from benchmarks.power_loss_audit import content_of

        ledger = self._new_ledger(files)
        content = content_of(ledger)
        shutil.rmtree(ledger.parent)
        return content

    def _new_ledger(self, files: Files) -> Path:
        """Return the path of a ledger in a folder of its own, with these files."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder / "ledger.db"


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
    from benchmarks.power_loss_nights import KINDS, World

    with ExitStack() as stack:
        world = World(folder, synchronous, stack)
        nights = KINDS[kind](world)
        chance = random.Random(f"{seed} {kind} {journal}")
        sizes = {"samples": samples, "most_cuts": most_cuts}
        first = Trial(world, nights, Begin(_empty(journal, folder), world.moment_now()), chance, **sizes)
        second = Trial(world, nights, first.killed_half_way(), chance, **sizes)
        return {f"{kind}, {journal}": first.run(), f"{kind}, {journal}, second try": second.run()}


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
        from benchmarks.power_loss_recording import check

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
