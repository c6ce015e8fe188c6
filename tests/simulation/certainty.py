"""What a sync surely knows of a sending at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_leadsquared.sandbox.queue import State as Real

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation
    from tests.simulation.wire import Sent

#: The longest reading of the documented ladder, and an hour of backlog: after it a sending is not waited for any more.
SETTLE_TIMEOUT = 36_570.0


def is_known(simulation: Simulation, sent: Sent, at: float) -> bool:
    """Tell whether at a time the sync knew that LeadSquared had taken a row, and what the CRM had said."""
    worker, request = sent.worker, sent.request
    if request is None or request.settled_at is None or not sent.is_receipt_delivered:
        return False
    if worker in simulation.ledger.refused:
        return False  # its receipt may be in no ledger
    known_at = simulation.wire.known_at.get(request.id, at)
    return known_at < at and not worker.is_dead and worker.ended_at is not None and worker.ended_at < at


def is_certain(simulation: Simulation, sent: Sent, at: float) -> bool:
    """Tell whether the CRM had said yes, as long as it was waited for, and the sync knew that at a time."""
    request = sent.request
    if request is None or request.state is not Real.SUCCEEDED or not is_known(simulation, sent, at):
        return False
    return simulation.wire.known_at.get(request.id, at) - sent.at <= SETTLE_TIMEOUT - 100
