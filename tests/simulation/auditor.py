"""
The judge of a simulation.

It knows what the sandbox received and stores, what the warehouse held when, what the author set, and what tasks
returned and the result table says. It shares no rule with the package.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.plan import STILL_NIGHTS
from tests.simulation.timeline import Worker

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.tries import TaskInstance

#: The longest reading of the documented ladder, and an hour of backlog: after it a sending is not waited for any more.
SETTLE_TIMEOUT = 36_570.0
_YES = {"created", "updated"}


class Violation(Exception):
    """A promise was not kept."""


class Auditor:
    """
    The judge of one simulation.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        #: Whether anybody but the sync has changed leads.
        self.others_wrote = bool({"captures"} & simulation.plan.parts)
        self.lost_ledgers = 0
        self.is_pruned = False
        self._calm_sent: list[int] = []
        self._calm_states: list[dict[str, int]] = []

    # --- while it runs

    def task_ended(
        self, instance: TaskInstance, worker: Worker, state: str, output: Any, error: BaseException | None
    ) -> None:
        """Judge a try that ended, if it says anything."""
        self._check_error(error)
        if isinstance(output, dict) and "counts" in output:
            self._check_counts(instance, worker, state, output["counts"])
        if state == "success" and instance.task == "wait" and isinstance(output, dict):
            self._check_green(instance)

    def _check_error(self, error: BaseException | None) -> None:
        from airflow_provider_leadsquared.exceptions import LeadSquaredError

        if error is not None and not isinstance(error, LeadSquaredError):
            import traceback

            lines = "".join(traceback.format_exception(error)[-12:])
            self._fail(f"A0 a task fails with {type(error).__name__}: {error}\n{lines}")

    def _check_counts(self, instance: TaskInstance, worker: Worker, state: str, counts: dict[str, int]) -> None:
        others = sum(count for name, count in counts.items() if name != "read")
        if others != counts["read"]:
            self._fail(f"A10 counts of {worker.name} do not add up: {counts}")
        read = self._simulation.reads.get(worker)
        if instance.task == "send" and read is not None and counts["read"] < len(read.rows):
            self._fail(f"A10 {worker.name} read {len(read.rows)} rows and counts {counts}")
        if state == "success" and (counts.get("unsent") or counts.get("rejected") or counts.get("invalid")):
            self._fail(f"A7 {worker.name} is green with {counts}")

    def _check_green(self, instance: TaskInstance) -> None:
        """Demand that a green sensor's run has only requests to which the CRM said yes."""
        simulation = self._simulation
        if self.lost_ledgers:
            return
        for sent in simulation.wire.sent:
            worker = sent.worker
            run, task, *_ = worker.name.split(".")
            if run != instance.run or task != "send" or worker.is_dead or not sent.is_receipt_delivered:
                continue
            closes = any(
                one.kind == "run" and one.facts["run"] == run and one.facts["close_after"] for one in simulation.events
            )
            if closes or not worker.is_ended or sent.request is None:
                continue
            if sent.request.state is not Real.SUCCEEDED and not self._was_sent_again(sent, run):
                self._fail(f"A7 {instance.run}'s sensor is green, but {sent.request.id} is {sent.request.state.value}")

    def _was_sent_again(self, sent: Any, run: str) -> bool:
        return any(
            other.lead == sent.lead and other.number > sent.number and other.worker.name.startswith(f"{run}.")
            for other in self._simulation.wire.sent
        )

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
        self._check_order()
        self._check_unkeyed()
        self._check_no_double()
        self._check_crm()

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
        sql = "SELECT request_id, state, row_key, lead_id, run_id FROM leadsquared_ledger WHERE request_id IS NOT NULL"
        return {line[0].lower(): line for line in self._simulation.ledger.query(sql)}

    def _check_verdicts(self) -> None:
        simulation = self._simulation
        results = self._results()
        unwatched = self._unwatched_runs()
        for request_id, state, row_key, lead_id, run in results.values():
            if state == "open" and run in unwatched:
                continue
            request = simulation.account.queue.request(request_id)
            if request is None:
                raise self._violation(f"A2 {row_key} has a RequestId that nobody gave: {request_id}")
            right = _VERDICTS[request.state]
            if state == "failed" and ("ERROR" in request.planned.flap_statuses or self._began_late(request)):
                continue  # its status said so after the last retry, too
            if state in ("open", "failed") and request.polls <= request.planned.hidden_polls:
                continue  # no poll has found it yet
            if state not in right:
                self._fail(f"A2 {row_key}, request {request_id}: {state}, but it is {request.state.value}")
            if state in _YES and lead_id != request.lead_id:
                self._fail(f"A2 {row_key}, request {request_id}: lead {lead_id}, but it is {request.lead_id}")
            if state == "created" and not request.as_json()["is_created"]:
                self._fail(f"A2 {row_key}, request {request_id}: created, but updated")
        if self.lost_ledgers or self.is_pruned:
            return
        for sent in simulation.wire.sent:
            is_sync = not sent.worker.name.startswith("k")
            if not (is_sync and sent.is_receipt_delivered and sent.request) or sent.worker.is_dead:
                continue
            if sent.request.id.lower() not in results and "ledger" not in simulation.plan.parts:
                self._fail(f"A1 {sent.worker.name} got a receipt {sent.request.id} that is nowhere")

    def _began_late(self, request: Any) -> bool:
        """
        Tell whether a request waited in the queue so long that its retries ended later than counted from acceptance.

        Known and open: a system error counts as final a minute after the longest reading of the ladder, counted from
        acceptance, although LeadSquared counts from its first attempt.
        """
        return bool(request.attempts) and request.attempts[0].at - request.accepted_at > 50.0

    def _unwatched_runs(self) -> set[str]:
        """Return the captures that ended without an output: the sensor behind such a one fails at once."""
        return {one.run for one in self._simulation.instances if one.run.startswith("k") and one.output is None}

    def _rows_sent(self) -> Any:
        """Yield what syncs sent: the sending, its row and the time at which that was read."""
        simulation = self._simulation
        for sent in simulation.wire.sent:
            read = simulation.reads.get(sent.worker)
            city = sent.lead.get("mx_City") or ""
            customer = city.partition(".")[0]
            if read is not None and customer.isdigit():
                yield sent, int(customer), read.at

    def _check_order(self) -> None:
        """Demand that no older value of a row lands after a newer one."""
        if self.lost_ledgers:
            return
        by_request = {sent.request.id: (sent, row, at) for sent, row, at in self._rows_sent() if sent.request}
        newest: dict[int, tuple[Any, float]] = {}
        for landing in self._simulation.account.landings:
            found = by_request.get(landing.request.id)
            if found is None:
                continue
            sent, row, read_at = found
            before = newest.get(row)
            if before is not None and read_at < before[1] and before[0].lead != sent.lead:
                is_late = landing.at - sent.at > SETTLE_TIMEOUT - 100
                if not (sent.is_from_pause or is_late):
                    self._fail(
                        f"A5 row {row}: {sent.lead} of {sent.worker.name} landed after {before[0].lead} of "
                        f"{before[0].worker.name}"
                    )
            if before is None or read_at >= before[1]:
                newest[row] = sent, read_at

    def _check_unkeyed(self) -> None:
        """Demand that no row without a match key is accepted twice."""
        seen: dict[tuple[str, str], Any] = {}
        for sent in self._simulation.wire.sent:
            if sent.lead.get("EmailAddress") or sent.lead.get("Phone") or sent.request is None:
                continue
            run = sent.worker.name.partition(".")[0]
            city = sent.lead.get("mx_City") or ""
            if (run, city) in seen and not self._is_resent(run):
                self._fail(f"A4 {city} has no match key and was sent by {seen[run, city]} and {sent.worker.name}")
            seen[run, city] = sent.worker.name

    def _is_resent(self, run: str) -> bool:
        return any(
            event.kind == "capture" and event.facts["run"] == run and event.facts["on_clear"] == "resend"
            for event in self._simulation.events
        ) and any(one.run == run and one.clears for one in self._simulation.instances)

    def _check_no_double(self) -> None:
        for name in self._simulation.account.settings.unique_fields:
            seen: set[Any] = set()
            for lead in self._simulation.account.store.leads:
                value: Any = self._simulation.account._match_form(name, str(lead.values.get(name) or ""))
                if value and value in seen:
                    self._fail(f"A3 two leads have {value}")
                seen.add(value)

    def _check_crm(self) -> None:
        """Demand that the CRM holds what the warehouse holds, for every row that is not refused."""
        simulation = self._simulation
        behaviour = simulation.arguments.get("lead_update_behavior")
        if behaviour in ("DoNotUpdate", "UpdateOnlyEmptyFields"):
            return
        wanted: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        for customer, (email, phone, city) in sorted(simulation.warehouse.items()):
            keys = {"EmailAddress": email, "Phone": phone, None: email or phone}
            needed = keys[simulation.arguments.get("search_by")]
            if not needed:
                continue
            lead = self._match(email, phone)
            if self._would_refuse(lead, phone) or self._is_refused(email, phone, city):
                continue
            if lead is None:
                self._fail(f"A6 row {customer} {email} {phone} {city} is lost: no lead has its keys")
            values = {"mx_City": city}
            if not behaviour:  # else match keys stay as they are
                values |= {name: value for name, value in (("EmailAddress", email), ("Phone", phone)) if value}
            wanted[lead.id].append((customer, values))
        for lead_id, rows in wanted.items():
            lead = simulation.account.store.lead(lead_id)
            holds = lead.values if lead else {}
            if not any(self._has(holds, values) for _, values in rows):
                self._fail(f"A6 lead {lead_id} holds {holds}, the warehouse says {rows}")

    def _has(self, holds: dict[str, Any], values: dict[str, str]) -> bool:
        """Tell whether a lead holds these values, in whatever spelling the account keeps phones."""
        form = self._simulation.account._match_form
        return all(name in holds and form(name, str(holds[name])) == form(name, one) for name, one in values.items())

    def _match(self, email: str | None, phone: str | None) -> Any:
        store, settings = self._simulation.account.store, self._simulation.account.settings
        search_by = self._simulation.arguments.get("search_by")
        if search_by:
            return store.find(search_by, str(email if search_by == "EmailAddress" else phone))
        lead = store.find("EmailAddress", email) if email else None
        if lead is None and phone and (settings.phone_match == "fallback" or not email):
            lead = store.find("Phone", phone)
        return lead

    def _would_refuse(self, lead: Any, phone: str | None) -> bool:
        simulation = self._simulation
        if not phone or "Phone" not in simulation.account.settings.unique_fields:
            return False
        if lead is not None and simulation.arguments.get("lead_update_behavior"):
            return False  # its match keys stay as they are
        holder = simulation.account.store.find("Phone", phone)
        return holder is not None and holder is not lead

    def _is_refused(self, email: str | None, phone: str | None, city: str) -> bool:
        """Tell whether the CRM rejected these very values when they were last sent."""
        for sent in reversed(self._simulation.wire.sent):
            lead = sent.lead
            if lead.get("mx_City") == city and (lead.get("EmailAddress") or None, lead.get("Phone") or None) == (
                email,
                phone,
            ):
                # Without faults and others, each reason that passes shows in what the sync itself has sent.
                may_stay = self._simulation.plan.parts & _UNSEEN_REASONS
                return sent.request is not None and sent.request.state is Real.REJECTED and bool(may_stay)
        return False

    def _fail(self, text: str) -> NoReturn:
        raise self._violation(text)

    @staticmethod
    def _violation(text: str) -> Exception:
        return Violation(text)


#: Parts of the world in which a rejection's reason may pass without the sync's knowing it.
_UNSEEN_REASONS = {
    "foreign",
    "captures",
    "crashes",
    "calls",
    "queue",
    "pauses",
    "ledger",
    "lost ledger",
    "behaviour",
    "rejects",
    "search by",
}
_VERDICTS = {
    Real.SUCCEEDED: _YES,
    Real.REJECTED: {"rejected"},
    Real.FAILED: {"failed"},
    Real.LOST: {"failed", "open"},
    Real.WAITING: {"open"},
    Real.RETRYING: {"open"},
}
