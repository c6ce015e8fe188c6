"""What can go wrong with one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_leadsquared.sandbox.fault_kinds import FAULT_KINDS, Stage
from airflow_provider_leadsquared.sandbox.faults import Fault

#: What a fault of the network does to a call, besides the sandbox's own kinds.
REFUSED, RESET_BEFORE, LOST, LATE, RESET_AFTER = "refused", "reset before", "lost", "late", "reset after"


@dataclass(slots=True)
class Trouble:
    """
    What goes wrong with one call.

    :param name: Names it in the story.
    :param kind: What the network does, None for the sandbox's own faults.
    :param faults: The sandbox's faults.
    :param seconds: By how much the response is late.
    :param stays: By how much the call is late on its way there.
    """

    name: str
    kind: str | None = None
    faults: dict[Stage, Fault] = field(default_factory=dict)
    seconds: float = 0.0
    stays: float = 0.0


def sandbox_fault(kind: str, **parameters: Any) -> Trouble:
    """Return a fault of the sandbox for one call."""
    spec = FAULT_KINDS[kind]
    return Trouble(kind, None, {spec.stage: Fault(kind, {**spec.parameters, **parameters})})
