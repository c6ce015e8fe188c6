"""What the judge demands of the result table at the end of a simulation."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from tests.simulation.judging_counts import row_key, store_of
from tests.simulation.timeline import Violation

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.wire import Sent

#: Nights in a row in which a row may wait for others.
WAITING_NIGHTS = 4
#: Parts of the world in which a row may have other reasons to wait.
_OTHER_REASONS = {
    "backlog",
    "calls",
    "captures",
    "cleared",
    "clocks",
    "crashes",
    "foreign",
    "ledger",
    "lost ledger",
    "partitions",
    "pauses",
    "quarters",
    "queue",
    "second sync",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the result table."""

    run_id: str
    map_index: int
    generation: int
    row_key: str | None
    fingerprint: str
    copy_no: int
    state: str
    request_id: str | None
    attempts: int


class TableJudge:
    """
    Judges the result table of a simulation.

    :param simulation: The simulation.
    :param is_memory_whole: Whether nobody has deleted anything of the ledger.
    """

    def __init__(self, simulation: Simulation, *, is_memory_whole: bool) -> None:
        self._simulation, self._is_memory_whole = simulation, is_memory_whole
        names = ", ".join(Line.__slots__)
        self._lines = [Line(*line) for line in simulation.ledger.query(f"SELECT {names} FROM leadsquared_ledger")]

    def judge(self) -> None:
        """
        Judge A2, A10, A13 and A19.

        :raises Violation: A promise was not kept.
        """
        self._check_ids()
        self._check_one_line()
        self._check_waiting()
        if self._is_memory_whole and not {"ledger", "new row keys"} & self._simulation.plan.parts:
            self._check_attempts()
            self._check_doubts()

    def _check_ids(self) -> None:
        """Demand that no two lines have one RequestId: LeadSquared gave it to one sending."""
        seen: dict[str, Line] = {}
        for line in self._lines:
            if line.request_id is not None and (other := seen.setdefault(line.request_id.lower(), line)) is not line:
                self._fail(f"A2 two lines have one RequestId: {other} and {line}")

    def _check_one_line(self) -> None:
        """Demand that a row of a run has one line, and others for its receipts alone."""
        seen: dict[tuple[object, ...], Line] = {}
        for line in self._lines:
            row = line.run_id, line.map_index, line.generation, line.row_key, line.fingerprint, line.copy_no
            if line.request_id is None and (other := seen.setdefault(row, line)) is not line:
                self._fail(f"A10 a row has two lines: {other} and {line}")

    def _check_attempts(self) -> None:
        """Demand that the result table counts each sending that was accepted."""
        simulation = self._simulation
        received: Counter[tuple[str, str]] = Counter()
        for sent in simulation.wire.sent:
            run, task, *_ = sent.worker.name.split(".")
            if (
                task == "send"
                and store_of(simulation, sent.worker) == "sql"
                and sent.request is not None
                and sent.worker.ended_at is not None
                and not sent.worker.is_dead
                and sent.worker not in simulation.ledger.refused
            ):
                received[run, row_key(sent)] += 1
        recorded: Counter[tuple[str, str | None]] = Counter()
        for line in self._lines:
            recorded[line.run_id, line.row_key] += line.attempts
        for (run, row), count in received.items():
            if count > recorded[run, row]:
                self._fail(f"A13 row {row} of {run} was sent {count} times, recorded are {recorded[run, row]}")

    def _check_doubts(self) -> None:
        """Demand that no row is shown as in doubt if all its sendings have their receipt."""
        receipts = {(line.row_key, line.request_id.lower()) for line in self._lines if line.request_id is not None}
        sendings: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        for sent in self._simulation.wire.sent:
            sendings[sent.worker.name.partition(".")[0], row_key(sent)].append(sent)
        starts_over = {line.run_id for line in self._lines if line.generation}
        values: dict[tuple[str, str | None], set[str]] = defaultdict(set)
        for line in self._lines:
            values[line.run_id, line.row_key].add(line.fingerprint)
        for line in self._lines:
            if line.state != "in_doubt" or line.request_id is not None or line.run_id in starts_over:
                continue
            own = sendings[line.run_id, str(line.row_key)]
            is_one = len(values[line.run_id, line.row_key]) == 1 and bool(own)
            have_receipts = all(
                one.request is not None and (line.row_key, one.request.id.lower()) in receipts for one in own
            )
            if is_one and have_receipts and len(own) >= line.attempts:
                self._fail(f"A10 a row is in doubt although each of its sendings has its receipt: {line}")

    def _check_waiting(self) -> None:
        """Demand that no row waits night after night for others, where none has another reason."""
        plan = self._simulation.plan
        if _OTHER_REASONS & plan.parts:
            return
        runs = [event.facts["run"] for event in self._simulation.events if event.kind == "run"]
        if any(run.endswith("b") for run in runs):
            return
        waiting = {(line.run_id, line.row_key) for line in self._lines if line.state == "waiting"}
        for row in {row for _, row in waiting}:
            nights = 0
            for run in runs:
                nights = nights + 1 if (run, row) in waiting else 0
                if nights > WAITING_NIGHTS:
                    self._fail(f"A19 row {row} waits for {nights} nights")

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)
