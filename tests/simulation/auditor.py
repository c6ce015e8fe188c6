"""
The judge of a simulation.

It knows what the sandbox received and stores, what the warehouse held when, what the author set, and what tasks
returned and the result table says. It shares no rule with the package.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.judging_counts import store_of
from tests.simulation.judging_crm import CrmJudge
from tests.simulation.judging_sendings import SendingJudge
from tests.simulation.judging_table import TableJudge
from tests.simulation.judging_tasks import TaskJudge
from tests.simulation.plan import STILL_NIGHTS
from tests.simulation.timeline import Violation, Worker

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.tries import TaskInstance

_YES = {"created", "updated"}


class Auditor:
    """
    The judge of one simulation.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        #: Whether anybody but the sync has changed leads.
        self.others_wrote = bool({"captures"} & simulation.plan.parts)
        #: Whether anybody else has changed match keys of leads, merged or deleted some.
        self.others_moved_keys = False
        #: Whether anybody else has made leads, which the sync does not foresee.
        self.others_made_leads = False
        self.lost_ledgers = 0
        self.ledger_lost_at = -math.inf
        self.tasks = TaskJudge(simulation)
        self.is_pruned = False
        self._calm_sent: list[int] = []
        self._calm_states: list[dict[str, int]] = []

    # --- while it runs

    def task_ended(
        self, instance: TaskInstance, worker: Worker, state: str, output: Any, error: BaseException | None
    ) -> None:
        """Judge a try that ended, if it says anything."""
        self._check_error(error)
        self.tasks.check_error(instance, error)
        self.tasks.judge(instance, worker, state, output)

    def _check_error(self, error: BaseException | None) -> None:
        from airflow_provider_leadsquared.exceptions import LeadSquaredError

        if error is not None and not isinstance(error, LeadSquaredError):
            import traceback

            lines = "".join(traceback.format_exception(error)[-12:])
            self._fail(f"A0 a task fails with {type(error).__name__}: {error}\n{lines}")

    # --- calm nights

    def night_begins(self) -> None:
        """Note what was sent before a calm night."""
        self._calm_sent.append(len(self._simulation.wire.sent))

    def night_ends(self) -> None:
        """Note how a calm night ended."""
        run = f"calm{len(self._calm_sent) - 1}"
        counts: dict[str, int] = defaultdict(int)
        for instance in self._simulation.instances:
            if instance.run == run and instance.task == "send" and isinstance(instance.output, dict):
                for name, count in instance.output["counts"].items():
                    counts[name] += count
        self._calm_states.append(dict(counts))

    # --- at the end

    def end(self) -> None:
        """Judge the whole."""
        simulation = self._simulation
        simulation.account.run_due()
        self._check_stillness()
        self._check_verdicts()
        is_memory_whole = not (self.lost_ledgers or self.is_pruned)
        if simulation.ledger.exists():
            TableJudge(simulation, is_memory_whole=is_memory_whole).judge()
        SendingJudge(simulation, is_memory_whole=is_memory_whole).judge()
        CrmJudge(simulation).judge()

    def is_still(self) -> bool:
        """Tell whether nothing was sent and nothing waited in the last calm nights."""
        begun = [*self._calm_sent, len(self._simulation.wire.sent)]
        return len(self._calm_sent) >= STILL_NIGHTS and all(
            begun[-night] == begun[-night - 1] and not self._calm_states[-night].get("waiting")
            for night in range(1, STILL_NIGHTS + 1)
        )

    def _check_stillness(self) -> None:
        if not self.is_still():
            self._fail(f"A8 there is no end of sending: {[states for states in self._calm_states[-4:]]}")

    def _results(self) -> dict[str, tuple[Any, ...]]:
        # What a capture sent before it was to send all again (``on_clear="resend"``) is asked for no more.
        sql = """
            SELECT request_id, CASE WHEN generation = (
                SELECT MAX(generation) FROM leadsquared_ledger AS others
                WHERE others.run_id = one.run_id AND others.map_index = one.map_index
            ) THEN state ELSE REPLACE(state, 'open', 'left') END, row_key, lead_id, run_id
            FROM leadsquared_ledger AS one WHERE request_id IS NOT NULL
        """
        return {line[0].lower(): line for line in self._simulation.ledger.query(sql)}

    def _check_verdicts(self) -> None:
        simulation = self._simulation
        results = self._results()
        unwatched = self._unwatched_runs()
        for request_id, state, row_key, lead_id, run in results.values():
            if state == "left" or (state == "open" and run in unwatched):
                continue
            request = simulation.account.queue.request(request_id)
            if request is None:
                raise Violation(f"A2 {row_key} has a RequestId that nobody gave: {request_id}")
            right = _VERDICTS[request.state]
            if state == "failed" and ("ERROR" in request.planned.flap_statuses or self._began_late(request)):
                continue  # its status said so after the last retry, too
            if state in ("open", "failed") and 0 < request.polls <= request.planned.hidden_polls:
                continue  # no poll has found it yet
            if state == "open" and 0 < request.polls <= request.planned.flap_polls:
                continue  # no poll was shown the verdict yet
            is_unknown = request.planned.lost_status == "unknown" and (
                simulation.account.settings.unknown_request == "200" or self._has_proof(run, results)
            )
            if state == "open" and is_unknown and simulation.is_calm_for_days and request.polls:
                self._fail(f"A2 {row_key}, request {request_id}: open, but LeadSquared says that it does not know it")
            if state not in right:
                self._fail(f"A2 {row_key}, request {request_id}: {state}, but it is {request.state.value}")
            if state in _YES and lead_id != request.lead_id:
                self._fail(f"A2 {row_key}, request {request_id}: lead {lead_id}, but it is {request.lead_id}")
            if state == "created" and not request.as_json()["is_created"]:
                self._fail(f"A2 {row_key}, request {request_id}: created, but updated")
        if self.lost_ledgers or self.is_pruned:
            return
        for sent in simulation.wire.sent:
            if (
                not (store_of(simulation, sent.worker) == "sql" and sent.is_receipt_delivered and sent.request)
                or sent.worker.is_dead
            ):
                continue
            is_refused = sent.worker in simulation.ledger.refused
            if sent.request.id.lower() not in results and not is_refused:
                self._fail(f"A1 {sent.worker.name} got a receipt {sent.request.id} that is nowhere")

    def _has_proof(self, run: str, results: dict[str, tuple[Any, ...]]) -> bool:
        """Tell whether a capture has another request by which its sensor can show that the status path works."""
        return run.startswith("k") and any(line[4] == run and line[1] in _YES for line in results.values())

    def _began_late(self, request: Any) -> bool:
        """
        Tell whether a request waited in the queue so long that its retries ended later than counted from acceptance.

        LeadSquared counts from its first attempt. We allow for 45 minutes in the queue before it, which polls need not
        have seen.
        """
        return bool(request.attempts) and request.attempts[0].at - request.accepted_at > 2_640.0

    def _unwatched_runs(self) -> set[str]:
        """
        Return the runs that ended without an output and have no later run that asks for what they left open.

        These are captures, behind which the sensor fails at once, and the second sync if none of its runs had one.
        """
        sends = [one for one in self._simulation.instances if one.run[0] in "ks" and one.task == "send"]
        is_second_watched = any(one.output is not None for one in sends if one.run.startswith("s"))
        return {one.run for one in sends if one.output is None and not (one.run.startswith("s") and is_second_watched)}

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


_VERDICTS = {
    Real.SUCCEEDED: _YES,
    Real.REJECTED: {"rejected"},
    Real.FAILED: {"failed"},
    Real.LOST: {"failed", "open"},
    Real.WAITING: {"open"},
    Real.RETRYING: {"open"},
}
