"""What the judge demands of the counts of a task whose try has ended: that they hold every row, each once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from tests.simulation.certainty import is_certain
from tests.simulation.timeline import Violation, Worker

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.tries import TaskInstance
    from tests.simulation.wire import Sent

#: Counts of rows that a try did not have to send, or that are red.
_ASIDE = ("waiting", "superseded", "rejected", "invalid", "in_doubt", "unsent", "open", "failed")


class CountJudge:
    """
    Judges the counts of tries as they end.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def judge(self, instance: TaskInstance, worker: Worker, state: str, counts: dict[str, int]) -> None:
        """
        Judge A7, A10, A15 and A16 for a try that ended with counts.

        :raises Violation: A promise was not kept.
        """
        others = sum(count for name, count in counts.items() if name != "read")
        if others != counts["read"]:
            self._fail(f"A10 counts of {worker.name} do not add up: {counts}")
        if state == "success" and any(counts.get(name) for name in ("unsent", "rejected", "invalid", "in_doubt")):
            self._fail(f"A7 {worker.name} is green with {counts}")
        are_repeated = any(event.facts.get("what") == "repeated_request_id" for event in self._simulation.events)
        if instance.task == "wait" and counts.get("invalid") and not are_repeated:
            self._fail(f"A10 {worker.name} does not understand what it was given: {counts}")
        if instance.task == "send":
            self._check_rows(instance, worker, counts)
            self._check_doubts(instance, worker, counts)
            if state == "success":
                self._check_changes(worker, counts)

    def _check_rows(self, instance: TaskInstance, worker: Worker, counts: dict[str, int]) -> None:
        """Demand that every row counts that was given, and every receipt of earlier tries beside these."""
        read, given = self._simulation.reads.get(worker), self._simulation.given.get(worker)
        if read is not None:
            rows = {str(row) for row in read.rows}
            least = len(rows) + self._beside(instance, worker, rows)
            if counts["read"] < least:
                self._fail(f"A10 {worker.name} read and sent {least} rows, and counts {counts}")
            most = self._most(instance, worker)
            if most is not None and counts["read"] > most:
                self._fail(f"A10 {worker.name} read and sent {most} rows at most, and counts {counts}")
            if counts.get("unchanged") and self._is_full_refresh(instance) and instance.try_number == 1:
                self._fail(f"A15 {worker.name} is a full refresh, and leaves rows out: {counts}")
        if given is not None and not self._starts_over(instance):
            least = len(given) + self._beside(instance, worker, given)
            if counts["read"] < least:
                self._fail(f"A10 {worker.name} was given and sent {least} rows, and counts {counts}")

    def _is_full_refresh(self, instance: TaskInstance) -> bool:
        return any(
            event.facts["run"] == instance.run and event.facts.get("full_refresh")
            for event in self._simulation.events
            if event.kind == "run"
        )

    def _beside(self, instance: TaskInstance, worker: Worker, rows: set[str]) -> int:
        """Return how many receipts of earlier tries there are at least beside the rows: of other rows, and further."""
        simulation = self._simulation
        if {"ledger", "new row keys"} & simulation.plan.parts:
            return 0
        if simulation.auditor.lost_ledgers or simulation.auditor.is_pruned:
            return 0
        receipts = Counter(
            row_key(one)
            for one in sendings(simulation, instance)
            if one.is_receipt_delivered and one.request is not None and self._is_recorded(one.worker, worker)
        )
        return sum(count if row not in rows else count - 1 for row, count in receipts.items())

    def _is_recorded(self, sender: Worker, worker: Worker) -> bool:
        """Tell whether all receipts of one try were written before another began."""
        ended = sender.ended_at
        if ended is None or ended > worker.begun_at or sender.is_dead or sender in self._simulation.ledger.refused:
            return False
        return not sender.is_given_up or store_of(self._simulation, sender) == "sql"

    def _most(self, instance: TaskInstance, worker: Worker) -> int | None:
        """Return how many rows a try of a sync can count at most; None if earlier tries were disturbed."""
        simulation = self._simulation
        if {"ledger", "new row keys", "spellings"} & simulation.plan.parts or not self._is_undisturbed(instance):
            return None
        rows = {str(row): values for row, values in simulation.reads[worker].rows.items()}
        earlier = Counter(
            (row_key(one), _values(one)) for one in sendings(simulation, instance) if one.worker is not worker
        )
        return len(rows) + sum(count - (rows.get(row) == values) for (row, values), count in earlier.items())

    def _is_undisturbed(self, instance: TaskInstance) -> bool:
        """Tell whether no try of a task was killed, paused, or had trouble with the ledger."""
        tries = [one for one in self._simulation.workers if one.name.startswith(prefix(instance))]
        return all(one.ended_at is not None and not one.is_dead and not one.was_paused for one in tries) and not (
            self._simulation.ledger.refused & set(tries)
        )

    def _starts_over(self, instance: TaskInstance) -> bool:
        return bool(instance.clears) and any(
            event.kind == "capture" and event.facts["run"] == instance.run and event.facts["on_clear"] == "resend"
            for event in self._simulation.events
        )

    def _check_doubts(self, instance: TaskInstance, worker: Worker, counts: dict[str, int]) -> None:
        """Demand that no row counts as in doubt whose last sending has a receipt that no other row got too."""
        simulation = self._simulation
        if {"ledger", "new row keys"} & simulation.plan.parts or simulation.auditor.lost_ledgers:
            return
        last = {_doubted(one): one for one in sendings(simulation, instance)}
        shown = Counter(one.id_shown for one in simulation.wire.sent if one.id_shown is not None)
        doubtful = sum(not one.is_receipt_delivered or shown[one.id_shown] > 1 for one in last.values())
        doubtful += simulation.wire.on_their_way[prefix(instance)]
        if counts.get("in_doubt", 0) > doubtful and self._is_undisturbed(instance):
            self._fail(f"A10 {worker.name} has doubts about rows with a receipt: {counts}")

    def _check_changes(self, worker: Worker, counts: dict[str, int]) -> None:
        """Demand that no row counts as delivered whose lead surely got other values of it since."""
        simulation, read = self._simulation, self._simulation.reads.get(worker)
        judged = simulation.auditor
        if read is None or judged.lost_ledgers or judged.is_pruned or "new row keys" in simulation.plan.parts:
            return
        last: dict[str, Sent] = {}
        sent_now = {row_key(one) for one in simulation.wire.sent if one.worker is worker}
        for one in simulation.wire.sent:
            if one.worker.name[0] == worker.name[0] or {one.worker.name[0], worker.name[0]} == {"n", "c"}:
                last[row_key(one)] = one
        changed = [
            row
            for row, values in read.rows.items()
            if (sent := last.get(str(row))) is not None
            and str(row) not in sent_now
            and sent.lead.get("mx_City") != values[2]
            and _is_of_one_lead(sent, values)
            and is_certain(simulation, sent, read.at)
        ]
        if len(changed) > sum(counts.get(name, 0) for name in _ASIDE):
            self._fail(f"A16 {worker.name} did not send the changed rows {changed}, and counts {counts}")

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


def row_key(sent: Sent) -> str:
    """Return the row key of a sending: its city begins with it."""
    city = str(sent.lead.get("mx_City"))
    return city.rstrip("~") if city.startswith("c") else city.partition(".")[0]


def _is_of_one_lead(sent: Sent, row: tuple[str | None, str | None, str]) -> bool:
    """Tell whether a row still reaches the lead that a sending reached: its first match key is the same."""
    email, phone, _ = _values(sent)
    return email == row[0] if email or row[0] else phone == row[1]


def prefix(instance: TaskInstance) -> str:
    """Return how the names of a task's workers begin."""
    return f"{instance.run}.{instance.task}.{instance.part}."


def sendings(simulation: Simulation, instance: TaskInstance) -> list[Sent]:
    """Return what the tries of a task have sent."""
    begin = prefix(instance)
    return [one for one in simulation.wire.sent if one.worker.name.startswith(begin)]


def store_of(simulation: Simulation, worker: Worker) -> str:
    """Return where the ledger of a worker's task is: a sync's, and some captures', in tables."""
    run = worker.name.partition(".")[0]
    stores = (one.facts["store"] for one in simulation.events if one.kind == "capture" and one.facts["run"] == run)
    return next(stores, "sql")


def _doubted(sent: Sent) -> str:
    """Return what a doubt about a sending is about: the row, but its values if no newer ones can take their place."""
    is_unkeyed = not (sent.lead.get("EmailAddress") or sent.lead.get("Phone"))
    return str(sent.lead.get("mx_City")) if is_unkeyed else row_key(sent)


def _values(sent: Sent) -> tuple[str | None, str | None, str]:
    lead = sent.lead
    return lead.get("EmailAddress") or None, lead.get("Phone") or None, str(lead.get("mx_City"))
