"""What the judge demands of a task whose try has ended: its counts, its color, and what it wrote down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.timeline import Violation, Worker

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.tries import TaskInstance
    from tests.simulation.wire import Sent

#: Waits of one sensor for a trigger at most: another one only where the clocks of two machines differ.
DEFERRALS = 12


class TaskJudge:
    """
    Judges tries of tasks as they end.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def judge(self, instance: TaskInstance, worker: Worker, state: str, output: Any) -> None:
        """
        Judge A2, A7, A9, A10 and A15 for a try that ended, if it says anything.

        :raises Violation: A promise was not kept.
        """
        if instance.task == "wait" and state in ("success", "failed"):
            self._check_recorded(worker)
        if isinstance(output, dict) and "counts" in output:
            self._check_counts(instance, worker, state, output["counts"])
            if instance.task == "send":
                self._check_doubts(instance, worker, output["counts"])
        if state == "success" and instance.task == "wait" and isinstance(output, dict):
            self._check_green(instance)
        if state == "success" and instance.run.startswith("k") and instance.task == "send":
            self._check_unkeyed(instance)

    def deferred(self, instance: TaskInstance) -> None:
        """
        Judge A9: how often a sensor has waited for a trigger.

        :raises Violation: Too often.
        """
        if instance.deferrals > DEFERRALS:
            self._fail(f"A9 {instance.run}.{instance.task} was deferred {instance.deferrals} times")

    def _check_counts(self, instance: TaskInstance, worker: Worker, state: str, counts: dict[str, int]) -> None:
        others = sum(count for name, count in counts.items() if name != "read")
        if others != counts["read"]:
            self._fail(f"A10 counts of {worker.name} do not add up: {counts}")
        are_repeated = any(event.facts.get("what") == "repeated_request_id" for event in self._simulation.events)
        if instance.task == "wait" and counts.get("invalid") and not are_repeated:
            self._fail(f"A10 {worker.name} does not understand what it was given: {counts}")
        read = self._simulation.reads.get(worker)
        if instance.task == "send" and read is not None:
            most = len(read.rows) + self._sent_before(instance, worker, read.rows)
            if counts["read"] < most:
                self._fail(f"A10 {worker.name} read and sent {most} rows, and counts {counts}")
            if counts.get("unchanged") and self._is_full_refresh(instance) and instance.try_number == 1:
                self._fail(f"A15 {worker.name} is a full refresh, and leaves rows out: {counts}")
        given = self._simulation.given.get(worker)
        if given is not None and not self._starts_over(instance):
            most = len(given) + len({_row_key(sent) for sent in self._surely_recorded(instance, worker)} - given)
            if counts["read"] < most:
                self._fail(f"A10 {worker.name} was given and sent {most} rows, and counts {counts}")
        if state == "success" and any(counts.get(name) for name in ("unsent", "rejected", "invalid", "in_doubt")):
            self._fail(f"A7 {worker.name} is green with {counts}")

    def _is_full_refresh(self, instance: TaskInstance) -> bool:
        return any(
            event.facts["run"] == instance.run and event.facts.get("full_refresh")
            for event in self._simulation.events
            if event.kind == "run"
        )

    def _sent_before(self, instance: TaskInstance, worker: Worker, rows: dict[int, Any]) -> int:
        """Return how many rows earlier tries have surely recorded as sent that this one has not read."""
        if "new row keys" in self._simulation.plan.parts or instance.run.startswith("k"):
            return 0
        return len({int(_row_key(sent)) for sent in self._surely_recorded(instance, worker)} - rows.keys())

    def _surely_recorded(self, instance: TaskInstance, worker: Worker) -> list[Sent]:
        """Return what earlier tries sent whose receipt they have written, with nothing in the way."""
        simulation = self._simulation
        if "ledger" in simulation.plan.parts or simulation.auditor.lost_ledgers or simulation.auditor.is_pruned:
            return []
        return [
            one
            for one in self._sendings(instance)
            if one.worker is not worker
            and one.is_receipt_delivered
            and one.request is not None
            and one.worker.ended_at is not None
            and not (one.worker.is_dead or one.worker.is_given_up or one.worker in simulation.ledger.refused)
        ]

    def _starts_over(self, instance: TaskInstance) -> bool:
        return bool(instance.clears) and any(
            event.kind == "capture" and event.facts["run"] == instance.run and event.facts["on_clear"] == "resend"
            for event in self._simulation.events
        )

    def _check_doubts(self, instance: TaskInstance, worker: Worker, counts: dict[str, int]) -> None:
        """Demand that no row counts as in doubt whose last sending has a receipt."""
        simulation = self._simulation
        tries = [one for one in simulation.workers if one.name.startswith(_prefix(instance))]
        is_undisturbed = all(one.ended_at is not None and not one.is_dead and not one.was_paused for one in tries)
        if not is_undisturbed or {"ledger", "new row keys"} & simulation.plan.parts or simulation.auditor.lost_ledgers:
            return
        last = {_row_key(one): one for one in self._sendings(instance)}
        doubtful = sum(not one.is_receipt_delivered for one in last.values())
        if counts.get("in_doubt", 0) > doubtful and not simulation.ledger.refused & set(tries):
            self._fail(f"A10 {worker.name} has doubts about rows with a receipt: {counts}")

    def _sendings(self, instance: TaskInstance) -> list[Sent]:
        prefix = _prefix(instance)
        return [one for one in self._simulation.wire.sent if one.worker.name.startswith(prefix)]

    def _check_recorded(self, worker: Worker) -> None:
        """Demand that a verdict which a poll was shown is in the ledger when its task ends."""
        simulation = self._simulation
        if not worker.shown or worker in simulation.ledger.refused or "ledger" in simulation.plan.parts:
            return
        asked = ", ".join("?" * len(worker.shown))
        sql = f"SELECT request_id FROM leadsquared_ledger WHERE state = 'open' AND LOWER(request_id) IN ({asked})"
        left = (
            simulation.ledger.query(sql, *(one.lower() for one in worker.shown)) if simulation.ledger.exists() else []
        )
        if left:
            self._fail(f"A2 {worker.name} was shown the verdict of {left[0][0]}, and it is still open")

    def _check_unkeyed(self, instance: TaskInstance) -> None:
        """Demand that a capture is not green with a row of which nobody knows whether LeadSquared took it."""
        simulation = self._simulation
        if instance.clears or simulation.auditor.lost_ledgers or "ledger" in simulation.plan.parts:
            return
        for sent in self._sendings(instance):
            is_unkeyed = not (sent.lead.get("EmailAddress") or sent.lead.get("Phone"))
            if (
                is_unkeyed
                and sent.request is not None
                and not sent.is_receipt_delivered
                and not sent.worker.is_given_up
            ):
                self._fail(f"A7 {instance.run} is green, and nobody knows that {sent.request.id} was accepted")

    def _check_green(self, instance: TaskInstance) -> None:
        """Demand that a green sensor's run has only requests to which the CRM said yes, and that all have an output."""
        simulation = self._simulation
        if instance.missing_outputs:
            self._fail(f"A7 {instance.run}'s sensor is green, and {instance.missing_outputs} outputs are missing")
        if simulation.auditor.lost_ledgers:
            return
        for sent in simulation.wire.sent:
            worker = sent.worker
            run, task, *_ = worker.name.split(".")
            if run != instance.run or task != "send" or worker.is_dead or not sent.is_receipt_delivered:
                continue
            if sent.at > instance.given_at:
                continue  # the task was cleared later, and has another sensor behind it
            closes = any(
                one.kind == "run" and one.facts["run"] == run and one.facts["close_after"] for one in simulation.events
            )
            if closes or worker.ended_at is None or sent.request is None:
                continue
            if sent.request.state is not Real.SUCCEEDED and not self._was_sent_again(sent, run):
                self._fail(f"A7 {instance.run}'s sensor is green, but {sent.request.id} is {sent.request.state.value}")

    def _was_sent_again(self, sent: Any, run: str) -> bool:
        return any(
            other.lead == sent.lead and other.number > sent.number and other.worker.name.startswith(f"{run}.")
            for other in self._simulation.wire.sent
        )

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


def _row_key(sent: Sent) -> str:
    """Return the row key of a sending: its city begins with it."""
    city = str(sent.lead.get("mx_City"))
    return city.rstrip("~") if city.startswith("c") else city.partition(".")[0]


def _prefix(instance: TaskInstance) -> str:
    return f"{instance.run}.{instance.task}.{instance.part}."
