"""The sandbox's account on the timeline; what each request did to the leads is kept for the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.queue import Request
from airflow_provider_leadsquared.sandbox.settings import Settings
from tests.simulation.timeline import Timeline


class TimelineClock(Clock):
    """The sandbox's clock is the timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._speed = 1.0

    def now(self) -> float:
        return self._timeline.now

    def real_time(self, at: float) -> float:
        return at


@dataclass(slots=True)
class Landing:
    """A request that the CRM applied or rejected: what it did to its lead."""

    at: float
    request: Request
    lead_id: str | None
    before: dict[str, Any]
    after: dict[str, Any]


class WatchedAccount(Account):
    """An account of the sandbox that keeps what each request did to the leads."""

    def __init__(self, settings: Settings, fields: Any, clock: Clock) -> None:
        self.landings: list[Landing] = []
        super().__init__(settings, fields, clock)

    def _process(self, request: Request, at: float) -> Mapping[str, object]:
        before = {lead.id: dict(lead.values) for lead in self.store.leads}
        result = super()._process(request, at)
        message = result.get("Message")
        lead_id = str(message["RelatedId"]) if isinstance(message, Mapping) else None
        lead = self.store.lead(lead_id or "")
        self.landings.append(
            Landing(at, request, lead_id, before.get(lead_id or "", {}), dict(lead.values) if lead else {})
        )
        return result
