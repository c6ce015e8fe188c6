"""What the judge demands of the CRM: no lead twice, and each holds what the warehouse holds."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.timeline import Violation

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

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
    "unmoved keys",
    "other settings",
    "rejects",
    "search by",
}


class CrmJudge:
    """
    Judges the leads at the end of a simulation.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def judge(self) -> None:
        """
        Judge A3 and A6.

        :raises Violation: A promise was not kept.
        """
        self._check_no_double()
        self._check_crm()

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
        set_aside = self._set_aside() if simulation.auditor.others_moved_keys else set()
        for customer, (email, phone, city) in sorted(simulation.warehouse.items()):
            keys = {"EmailAddress": email, "Phone": phone, None: email or phone}
            needed = keys[simulation.arguments.get("search_by")]
            if not needed or str(customer) in set_aside:
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
        if not simulation.auditor.others_moved_keys:
            self._check_changes_went(wanted)

    def _check_changes_went(self, wanted: dict[str, list[tuple[int, dict[str, str]]]]) -> None:
        """Demand that each row's values were sent, unless a row of the same task instance has the same lead."""
        simulation = self._simulation
        parts = [event.facts["parts"] for event in simulation.events if event.kind == "run"]
        number = parts[-1] if len(set(parts)) == 1 else 1
        sent = {one.lead.get("mx_City") for one in simulation.wire.sent}
        for lead_id, rows in wanted.items():
            for customer, values in rows:
                rivals = [one for one, _ in rows if one != customer and one % number == customer % number]
                if values["mx_City"] not in sent and not rivals:
                    self._fail(f"A16 row {customer} {values} of lead {lead_id} was never sent")

    def _set_aside(self) -> set[str]:
        """Return the rows that count as superseded: after what others did, one may lead to another lead."""
        sql = "SELECT row_key FROM leadsquared_ledger WHERE state = 'superseded' AND run_id LIKE 'calm%'"
        return {row_key for (row_key,) in self._simulation.ledger.query(sql)}

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
        by_phone = settings.phone_match == "fallback" or (settings.phone_match == "alone" and not email)
        if lead is None and phone and by_phone:
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
                if sent.request is None and sent.fault == "error":
                    return self._is_recorded_as_rejected(city.partition(".")[0])
                return sent.request is not None and sent.request.state is Real.REJECTED and bool(may_stay)
        return False

    def _is_recorded_as_rejected(self, row_key: str) -> bool:
        """Tell whether a row is red because LeadSquared's own error came in place of its receipt."""
        sql = "SELECT 1 FROM leadsquared_ledger WHERE state = 'rejected' AND row_key = ?"
        return bool(self._simulation.ledger.query(sql, row_key))

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)
