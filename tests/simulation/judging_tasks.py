"""What the judge demands of a task whose try has ended: its counts, its color, and what it wrote down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.certainty import SETTLE_TIMEOUT
from tests.simulation.judging_counts import CountJudge, row_key, sendings, store_of
from tests.simulation.judging_lost import LostJudge
from tests.simulation.timeline import Violation, Worker

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.tries import TaskInstance
    from tests.simulation.wire import Sent

#: Faults that leave a receipt what it is.
_READABLE = ("odd_receipt", "other_code")
#: Errors that are trouble on the way to LeadSquared.
_TROUBLE = (
    "NoConnectionError",
    "NoResponseError",
    "RateLimitError",
    "ServerError",
    "UnexpectedResponseError",
    "UnknownRequestError",
)
#: Waits of one sensor for a trigger at most: another one only where the clocks of two machines differ.
DEFERRALS = 12


class TaskJudge:
    """
    Judges tries of tasks as they end.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._counts, self._lost = CountJudge(simulation), LostJudge(simulation)

    def judge(self, instance: TaskInstance, worker: Worker, state: str, output: Any) -> None:
        """
        Judge A2, A7, A9, A10 and A15 for a try that ended, if it says anything.

        :raises Violation: A promise was not kept.
        """
        if instance.task == "wait" and state in ("success", "failed"):
            self._check_recorded(worker)
            self._lost.judge()
        if isinstance(output, dict) and "counts" in output:
            self._counts.judge(instance, worker, state, output["counts"])
        if state == "success" and instance.task == "wait" and isinstance(output, dict):
            self._check_green(instance)
        if state == "success" and instance.task == "send":
            self._check_receipts(instance, worker)

    def deferred(self, instance: TaskInstance) -> None:
        """
        Judge A9: how often a sensor has waited for a trigger.

        :raises Violation: Too often.
        """
        if instance.deferrals > DEFERRALS:
            self._fail(f"A9 {instance.run}.{instance.task} was deferred {instance.deferrals} times")

    def _check_recorded(self, worker: Worker) -> None:
        """Demand that a verdict which a poll was shown is in the ledger when its task ends."""
        simulation = self._simulation
        if not worker.shown or worker in simulation.ledger.refused or "ledger" in simulation.plan.parts:
            return
        # Another task may have got the RequestId as its own, and has another ledger.
        repeated = {
            str(one.id_shown)
            for one in simulation.wire.sent
            if one.request is not None and one.id_shown not in (None, one.request.id_as_sent)
        }
        asked = [one.lower() for one in worker.shown if one not in repeated]
        places = ", ".join("?" * len(asked))
        sql = f"SELECT request_id FROM leadsquared_ledger WHERE state = 'open' AND LOWER(request_id) IN ({places})"
        left = simulation.ledger.query(sql, *asked) if simulation.ledger.exists() else []
        if left:
            self._fail(f"A2 {worker.name} was shown the verdict of {left[0][0]}, and it is still open")
        if not simulation.auditor.is_pruned and simulation.auditor.ledger_lost_at < worker.begun_at:
            self._check_lines(worker)

    def _check_lines(self, worker: Worker) -> None:
        """Demand that what a sensor was shown of its capture's requests has a line, also if the ledger was lost."""
        simulation, run = self._simulation, worker.name.partition(".")[0]
        for sent in simulation.wire.sent:
            is_shown = sent.request is not None and sent.request.id in worker.shown and sent.is_receipt_delivered
            if not (is_shown and sent.worker.name.startswith(f"{run}.") and store_of(simulation, sent.worker) == "sql"):
                continue
            asked = str(sent.request and sent.request.id).lower()
            sql = "SELECT 1 FROM leadsquared_ledger WHERE LOWER(request_id) = ?"
            if run.startswith("k") and not (simulation.ledger.exists() and simulation.ledger.query(sql, asked)):
                self._fail(f"A2 {worker.name} was shown the verdict of {asked}, and no line has it")

    def _check_receipts(self, instance: TaskInstance, worker: Worker) -> None:
        """Demand that a task is not green with a row of which nobody knows whether LeadSquared took it."""
        simulation = self._simulation
        if simulation.auditor.lost_ledgers or "ledger" in simulation.plan.parts:
            return
        own = [one for one in simulation.wire.sent if one.worker is worker]
        answered = {row_key(one) for one in own if one.is_receipt_delivered or one.fault in _READABLE}
        for sent in own if instance.clears else sendings(simulation, instance):
            is_unkeyed = not (sent.lead.get("EmailAddress") or sent.lead.get("Phone"))
            is_unanswered = not sent.is_receipt_delivered and sent.fault not in _READABLE
            # A row with a match key may have been sent again, or have other values now.
            is_left = is_unkeyed or (sent.worker is worker and row_key(sent) not in answered)
            if (
                is_left
                and is_unanswered
                and sent.request is not None
                and not sent.worker.is_given_up
                and self._can_see_repeated_id(sent)
            ):
                self._fail(f"A7 {worker.name} is green, and nobody knows that {sent.request.id} was accepted")

    def _can_see_repeated_id(self, sent: Sent) -> bool:
        """Tell whether a task can know that the RequestId which it got was another row's, if it was."""
        owner = self._owner_of_id(sent)
        if owner is None:
            return True
        are_in_tables = all(store_of(self._simulation, one.worker) == "sql" for one in (sent, owner))
        return owner.answered_at < sent.answered_at and (are_in_tables or _task(owner) == _task(sent))

    def _owner_of_id(self, sent: Sent) -> Sent | None:
        """Return the sending whose RequestId another one got as its own."""
        if sent.id_shown is None or (sent.request is not None and sent.request.id_as_sent == sent.id_shown):
            return None
        owners = (
            one
            for one in self._simulation.wire.sent
            if one.request is not None and one.request.id_as_sent == sent.id_shown
        )
        return next(owners, None)

    def _check_green(self, instance: TaskInstance) -> None:
        """Demand that a green sensor's run has only requests to which the CRM said yes, and that all have an output."""
        simulation = self._simulation
        if instance.missing_outputs:
            self._fail(f"A7 {instance.run}'s sensor is green, and {instance.missing_outputs} outputs are missing")
        if simulation.auditor.lost_ledgers:
            return
        self._check_own_ids(instance)
        simulation.account.run_due()
        for sent in simulation.wire.sent:
            worker = sent.worker
            run, task, *_ = worker.name.split(".")
            if run != instance.run or task != "send" or worker.is_dead or not sent.is_receipt_delivered:
                continue
            if sent.at > instance.given_at:
                continue  # the task was cleared later, and has another sensor behind it
            if sent.at < self._started_over_at(run):
                continue  # it was to send all again, and asks no more for what it had sent
            closes = any(
                one.kind == "run" and one.facts["run"] == run and one.facts["close_after"] for one in simulation.events
            )
            if closes or worker.ended_at is None or sent.request is None:
                continue
            if sent.request.state is not Real.SUCCEEDED and not self._was_sent_again(sent, run):
                self._fail(f"A7 {instance.run}'s sensor is green, but {sent.request.id} is {sent.request.state.value}")

    def _started_over_at(self, run: str) -> float:
        """Return when a capture was cleared that sends all again then."""
        simulation = self._simulation
        is_resent = any(
            event.kind == "capture" and event.facts["run"] == run and event.facts["on_clear"] == "resend"
            for event in simulation.events
        )
        return max((one.cleared_at for one in simulation.instances if one.run == run and is_resent), default=0.0)

    def _check_own_ids(self, instance: TaskInstance) -> None:
        """Demand that behind green captures no green sensor took one request's verdict for two rows'."""
        tasks = [one for one in self._simulation.instances if one.run == instance.run and one.task == "send"]
        if not instance.run.startswith("k") or any(one.clears or one.state != "success" for one in tasks):
            return
        for sent in (one for task in tasks for one in sendings(self._simulation, task)):
            owner = self._owner_of_id(sent)
            if owner is None or _task(owner)[:1] != _task(sent)[:1]:
                continue
            # Within an instance, who comes first with a RequestId has it.
            is_second = _task(owner) != _task(sent) or owner.answered_at < sent.answered_at
            if is_second and not sent.worker.is_given_up and not self._was_sent_again(sent, instance.run):
                self._fail(f"A7 {instance.run}'s sensor is green, and {sent.lead} got the RequestId of another row")

    def _was_sent_again(self, sent: Any, run: str) -> bool:
        return any(
            other.lead == sent.lead and other.number > sent.number and other.worker.name.startswith(f"{run}.")
            for other in self._simulation.wire.sent
        )

    def check_error(self, instance: TaskInstance, error: BaseException | None) -> None:
        """
        Judge A18: what ends a sensor.

        :raises Violation: Trouble on the way to LeadSquared did, or it gave up before its time.
        """
        if instance.task != "wait" or error is None:
            return
        name = type(error).__name__
        if name in _TROUBLE:
            self._fail(f"A18 {instance.run}'s sensor ends with {name}: {error}")
        account, ledger = self._simulation.account, self._simulation.ledger
        if name != "LeadsStillOpen" or account.settings.date_header == "missing" or not ledger.exists():
            return  # without LeadSquared's time, a clock that is wrong is not known to be
        sql = "SELECT request_id FROM leadsquared_ledger WHERE state = 'open' AND run_id = ?"
        requests = [account.queue.request(asked) for (asked,) in ledger.query(sql, instance.run) if asked]
        ages = [self._simulation.timeline.now - one.accepted_at for one in requests if one is not None]
        if ages and max(ages) < SETTLE_TIMEOUT - 100:
            self._fail(f"A18 {instance.run}'s sensor gave up after {max(ages):.0f} s")

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


def _task(sent: Sent) -> list[str]:
    """Return run, task and instance of a sending."""
    return sent.worker.name.split(".")[:3]
