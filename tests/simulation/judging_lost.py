"""What the judge demands before a request is called lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.timeline import Violation

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

#: Seconds for which a request must be unknown while others are found.
LOST_AFTER = 3 * 3_600.0
#: Seconds from acceptance to LeadSquared's last retry, in the longer reading: from then on it counts if it says itself
#: that it does not know a request.
LADDER_SECONDS = 32_970.0


class LostJudge:
    """
    Judges what is recorded as failed while LeadSquared has not failed.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        #: Requests that were judged: what is shown of them later says nothing about that time.
        self._judged: set[str] = set()

    def judge(self) -> None:
        """
        Judge A2: a request is lost only if it was unknown for hours while others were found, or by LeadSquared's word.

        :raises Violation: One was called lost too early.
        """
        ledger = self._simulation.ledger
        if not ledger.exists():
            return
        for (request_id,) in ledger.query(_FAILED):
            request = self._simulation.account.queue.request(request_id)
            if request is None or request.id in self._judged:
                continue
            self._judged.add(request.id)
            if request.state is not Real.FAILED and not self._may_be_lost(request):
                self._fail(f"A2 {request_id} is called lost too early, it is {request.state.value}")

    def _may_be_lost(self, request: Any) -> bool:
        simulation = self._simulation
        is_over = simulation.timeline.now - request.accepted_at >= LADDER_SECONDS
        if is_over and (simulation.account.settings.unknown_request == "200" or request.planned.system_errors):
            return True
        wire = simulation.wire
        unknown_since = max(wire.found_at.get(request.id, 0.0), request.accepted_at)
        return wire.path_found_at - unknown_since >= LOST_AFTER

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


_FAILED = """
SELECT request_id FROM leadsquared_ledger WHERE state = 'failed' AND request_id IS NOT NULL
"""
