"""
Faults on request: which calls a fault affects, and what all faults together do to one call.

The kinds of faults are in :mod:`~airflow_provider_leadsquared.sandbox.fault_kinds`. At each stage of a call, the first
fault that matches the call takes effect and is counted; the others are not counted.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_leadsquared.sandbox.endpoints import Endpoint
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.fault_kinds import FAULT_KINDS, Stage
from airflow_provider_leadsquared.sandbox.queue import PlannedOutcome

FindLead = Callable[[], Mapping[str, str | None]]
"""Returns attributes and values of the lead of a call, empty if it has none. Called only if a fault depends on it."""


@dataclass(slots=True)
class Fault:
    """
    One fault, and the calls that it affects: those that match ``endpoint`` and ``attribute`` with ``value``.

    None matches everything. Of the matching calls, the first ``skip`` pass; each later one is affected with the
    probability ``share``, until ``calls`` calls were affected (None: no end).
    """

    kind: str
    parameters: Mapping[str, Any]
    id: int = 0
    endpoint: str | None = None
    attribute: str | None = None
    value: str | None = None
    skip: int = 0
    calls: int | None = None
    share: float = 1.0
    seed: int = 0
    """Start of the random numbers for ``share``. The same seed affects the same calls."""
    affected: int = 0
    """How many calls it has affected so far."""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - selects calls for a fault, protects nothing

    @classmethod
    def from_json(cls, raw: object, endpoints: frozenset[str]) -> Fault:
        """
        Read a fault as sent over HTTP: ``kind``, conditions and the kind's own parameters in one object.

        :param raw: The decoded JSON object.
        :param endpoints: The endpoint names that exist.
        :raises ValueError: If the kind, a condition or a parameter does not exist or has a wrong value.
        """
        if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str) or raw["kind"] not in FAULT_KINDS:
            raise ValueError(f"a fault must be an object whose kind is one of {', '.join(FAULT_KINDS)}")
        given = dict(raw)
        kind = FAULT_KINDS[given.pop("kind")]
        conditions = {name: given.pop(name, None) for name in _CONDITIONS}
        conditions = {name: value for name, value in conditions.items() if value is not None}
        for name, value in conditions.items():
            if not _is_valid(value, _CONDITIONS[name]):
                raise ValueError(f"{name} cannot be {value!r}")
        if "endpoint" in conditions and conditions["endpoint"] not in endpoints:
            raise ValueError(f"endpoint must be one of {', '.join(sorted(endpoints))}")
        if ("attribute" in conditions) != ("value" in conditions):
            raise ValueError("attribute and value must be given together")
        if conditions.get("share", 1) > 1:
            raise ValueError("share must be between 0 and 1")
        parameters = dict(kind.parameters)
        for name, value in given.items():
            if name not in parameters:
                raise ValueError(f"{raw['kind']} has no parameter {name!r}")
            parameters[name] = _converted(name, value, parameters[name], kind.choices.get(name))
        return cls(raw["kind"], parameters, **conditions)

    def affects(self, endpoint: str, find_lead: FindLead) -> bool:
        """
        Return whether the fault affects this call, and update its counters.

        :param endpoint: Name of the endpoint called.
        :param find_lead: Finds the lead of the call.
        """
        if self.endpoint not in (None, endpoint) or self.calls == 0:
            return False
        if self.attribute is not None and find_lead().get(self.attribute) != self.value:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self._random.random() >= self.share:
            return False
        if self.calls is not None:
            self.calls -= 1
        self.affected += 1
        return True

    def as_json(self) -> dict[str, object]:
        """Return the fault as JSON: ``calls`` that are left, calls ``affected`` so far, and its parameters."""
        return {
            "id": self.id,
            "kind": self.kind,
            "endpoint": self.endpoint,
            "attribute": self.attribute,
            "value": self.value,
            "skip": self.skip,
            "calls": self.calls,
            "share": self.share,
            "seed": self.seed,
            "affected": self.affected,
            **self.parameters,
        }


_CONDITIONS: Mapping[str, type | tuple[type, ...]] = {
    "endpoint": str,
    "attribute": str,
    "value": str,
    "skip": int,
    "calls": int,
    "share": (int, float),
    "seed": int,
}


def _is_valid(value: object, wanted: type | tuple[type, ...]) -> bool:
    """Return whether a value has the type; a number must not be negative and a list must not be empty."""
    if isinstance(value, bool) and wanted is not bool:
        return False
    return isinstance(value, wanted) and value != () and not (isinstance(value, (int, float)) and not value >= 0)


def _converted(name: str, value: object, default: object, choices: tuple[object, ...] | None) -> object:
    """Return a parameter's value in the type of its default; raise ValueError if it does not fit."""
    if isinstance(default, str) and type(value) is int:
        value = str(value)  # so that a shape such as "429" may be given as a number
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(default, tuple) and isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        value = tuple(value)
    allowed = not choices or all(item in choices for item in (value if isinstance(value, tuple) else (value,)))
    if type(value) is not type(default) or not _is_valid(value, type(default)) or not allowed:
        raise ValueError(f"{name} cannot be {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class CallFaults:
    """The faults that affect one call, at most one for each stage."""

    by_stage: Mapping[Stage, Fault]

    def parameters(self, stage: Stage, kind: str) -> Mapping[str, Any] | None:
        """
        Return the parameters of the fault at a stage, None if there is none or it is of another kind.

        :param stage: The stage.
        :param kind: The kind of fault.
        """
        fault = self.by_stage.get(stage)
        return fault.parameters if fault and fault.kind == kind else None

    @property
    def kinds(self) -> list[str]:
        """The kinds of all faults that affect the call."""
        return [fault.kind for fault in self.by_stage.values()]

    def planned_outcome(self) -> PlannedOutcome:
        """Return what the faults plan for the request that this call submits."""
        errors = self.parameters(Stage.QUEUE, "system_errors") or {}
        reject = self.parameters(Stage.QUEUE, "reject")
        loss = self.parameters(Stage.QUEUE, "silent_loss") or {}
        hidden = self.parameters(Stage.STATUS, "hidden") or {}
        flap = self.parameters(Stage.STATUS, "flap") or {}
        return PlannedOutcome(
            system_errors=errors.get("count", 0),
            rejection=MXError(reject["exception"], reject["message"]) if reject else None,
            lost_status=loss.get("status"),
            hidden_polls=hidden.get("polls", 0),
            flap_statuses=flap.get("statuses", ()),
            flap_polls=flap.get("polls", 0),
        )


class Faults:
    """The active faults of one account, in the order in which they were set."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """
        Set a fault.

        :param fault: The fault. Its ``id`` is set.
        :return: The id, to clear the fault by.
        """
        fault.id = next(self._ids)
        self.active.append(fault)
        return fault.id

    def clear(self, fault_id: int | None = None) -> None:
        """
        Clear one fault, or all.

        :param fault_id: Id of the fault; None clears all. An unknown id is ignored.
        """
        self.active = [fault for fault in self.active if fault_id is not None and fault.id != fault_id]

    def before_reading(self, endpoint: str) -> Fault | None:
        """
        Return the fault that resets the connection before the body is read, None if there is none.

        A fault with an attribute condition needs the body, so it is left to :meth:`for_call`.

        :param endpoint: Name of the endpoint called.
        """
        for fault in self.active:
            if _is_before_reading(fault) and fault.affects(endpoint, dict):
                return fault
        return None

    def for_call(self, endpoint: Endpoint, find_lead: FindLead) -> CallFaults:
        """
        Return the faults that affect a call whose body was read, and update their counters.

        :param endpoint: The endpoint called.
        :param find_lead: Finds the lead of the call.
        """
        by_stage: dict[Stage, Fault] = {}
        for fault in self.active:
            kind = FAULT_KINDS[fault.kind]
            if kind.stage in by_stage or _is_before_reading(fault):
                continue
            if kind.action in (None, endpoint.action) and fault.affects(endpoint.name, find_lead):
                by_stage[kind.stage] = fault
        return CallFaults(by_stage)


def _is_before_reading(fault: Fault) -> bool:
    return FAULT_KINDS[fault.kind].stage is Stage.CONNECTION and fault.attribute is None
