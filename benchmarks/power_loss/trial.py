"""One recorded run, the states that a power loss may leave at each of its moments, and what comes of them."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.power_loss.audit import Content, Crm, Loss, content_of, lead_in, without_intent
from benchmarks.power_loss.disk import Disk, Event, Files
from benchmarks.power_loss.nights import Nights
from benchmarks.power_loss.world import RETRY_DELAY, Moment, Take, World, record

#: Kinds of events before and after which the power is cut.
EDGES = {"sync", "sync directory", "committed", "sent", "received", "answered", "time", "step", "end"}


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
    end = Event("end")
    before = end
    for number, event in enumerate([*take.events, end]):
        while following is not None and following.events <= number:
            moment, following = following, next(moments, None)
        if {event.kind, before.kind} & EDGES:
            yield Cut(number, step, returned, list(sent), [one for one in sent if one not in received], moment)
        before = event
        match event.kind:
            case "step":
                step = event.at
            case "committed":
                returned += 1
            case "sent":
                sent.append(event.at)
            case "received":
                received.add(event.at)


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
        self, world: World, nights: Nights, begin: Begin, chance: random.Random, *, samples: int, most_cuts: int
    ) -> None:
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
        survived = self._survived(files)
        allowed = [content.digest for content in self._contents[cut.returned : cut.returned + 2]]
        if survived.problem:
            self._find("the database does not open, or is damaged")
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
        return lead_in(self._take.sent[number].body)

    def _survived(self, files: Files) -> Content:
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
