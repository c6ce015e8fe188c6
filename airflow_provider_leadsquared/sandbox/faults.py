"""
Faults on request: which there are, whom they strike, and what they do to one call.

A fault strikes in one of six ways: at the door (before the call is carried out), instead of the proper answer, after
the call is carried out, by delay of the answer, in the queue (the fate of the request that the call submits), or in
the view (what later looks at that request show). For each way, the first fault that matches a call strikes it; the
others wait.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.queue import Fate

FindLead = Callable[[], Mapping[str, str | None]]
"""Finds attributes and values of the lead a call is about, none if it is about no lead; asked only when it matters."""


class Way(Enum):
    """Where in a call's life a fault strikes."""

    DOOR = auto()
    INSTEAD = auto()
    AFTER = auto()
    DELAY = auto()
    QUEUE = auto()
    VIEW = auto()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: how it strikes, what it takes (with defaults), and what it is."""

    way: Way
    parameters: Mapping[str, Any]
    meaning: str
    choices: Mapping[str, tuple[object, ...]] = field(default_factory=dict)


_ANSWER = {"accepted": False}

KINDS: Mapping[str, Kind] = {
    "refuse": Kind(Way.DOOR, {}, "reset the connection with the body unread, as a host that is down"),
    "slow": Kind(Way.DELAY, {"seconds": 1.0}, "carry the call out, then keep its answer for that many real seconds"),
    "unavailable": Kind(Way.INSTEAD, _ANSWER, "503 with a page"),
    "rate_limit": Kind(
        Way.INSTEAD,
        {"shape": "429", "limit": 10},
        "call limit exceeded, in one of its three shapes",
        {"shape": ("429", "403", "200")},
    ),
    "error": Kind(
        Way.INSTEAD,
        {
            "http": 500,
            "exception": "NullReferenceException",
            "message": "Object reference not set to an instance of an object.",
            **_ANSWER,
        },
        "LeadSquared's error body under any HTTP code, 200 included",
        {"http": tuple(range(200, 600))},
    ),
    "gateway": Kind(Way.INSTEAD, {"http": 504, **_ANSWER}, "the gateway's own error", {"http": (429, 500, 502, 504)}),
    "garbage": Kind(
        Way.INSTEAD,
        {"shape": "html", "megabytes": 20, **_ANSWER},
        "200 with an answer that makes no sense",
        {"shape": ("html", "broken_json", "empty", "wrong_types", "no_request_id", "huge")},
    ),
    "wrong_host": Kind(
        Way.INSTEAD, {"host": "asyncapi-us11.leadsquared.com"}, "401 that names another host as the right one"
    ),
    "keys_revoked": Kind(Way.INSTEAD, {}, "keys are refused as if they were wrong"),
    "unknown_request": Kind(Way.INSTEAD, {}, "the answer to an unknown RequestID"),
    "lost_answer": Kind(
        Way.AFTER,
        {"how": "close", "seconds": 3600.0},
        "carry the call out, then close without an answer, or hang for real seconds",
        {"how": ("close", "hang")},
    ),
    "reset": Kind(Way.AFTER, {}, "carry the call out, then reset the connection in the middle of the answer"),
    "system_errors": Kind(Way.QUEUE, {"count": 1}, "that many attempts fail before the request is processed"),
    "reject": Kind(
        Way.QUEUE,
        {"exception": "MXInvalidInputException", "message": "Invalid Input! Parameter Name: Sandbox"},
        "the request is refused when processed",
    ),
    "silent_loss": Kind(
        Way.QUEUE,
        {"shown": "in_queue"},
        "accepted but never processed; its status stays In-Queue or becomes unknown",
        {"shown": ("in_queue", "unknown")},
    ),
    "hidden": Kind(Way.VIEW, {"looks": 3}, "the RequestID is unknown for that many looks"),
    "flap": Kind(
        Way.VIEW,
        {"looks": 6, "words": ("In-Queue", "ERROR")},
        "that many looks get these words in turn instead of the true status",
    ),
}


@dataclass(slots=True)
class Fault:
    """
    One fault and whom it strikes: calls that match every condition given.

    ``skip`` calls pass first, then ``calls`` are struck (None: no end), each with the chance ``share``.
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
    struck: int = 0
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # Reproducible by design: the same seed strikes the same calls.
        self._chance = random.Random(self.seed)  # noqa: S311 - draws which calls a fault strikes, guards nothing

    @classmethod
    def from_json(cls, raw: object, endpoints: frozenset[str]) -> Fault:
        """
        Read a fault as sent over HTTP: ``kind``, conditions and the kind's own parameters in one object.

        :param raw: The decoded JSON object.
        :param endpoints: The endpoint names there are.
        :raises ValueError: When something in it does not exist or does not fit.
        """
        if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str) or raw["kind"] not in KINDS:
            raise ValueError(f"a fault is an object whose kind is one of {', '.join(KINDS)}")
        given = dict(raw)
        kind = KINDS[given.pop("kind")]
        conditions = {name: given.pop(name, None) for name in _CONDITIONS}
        conditions = {name: value for name, value in conditions.items() if value is not None}
        for name, value in conditions.items():
            if not _is_sound(value, _CONDITIONS[name]):
                raise ValueError(f"{name} does not take {value!r}")
        if "endpoint" in conditions and conditions["endpoint"] not in endpoints:
            raise ValueError(f"endpoint is one of {', '.join(sorted(endpoints))}")
        if ("attribute" in conditions) != ("value" in conditions):
            raise ValueError("attribute and value come together")
        if conditions.get("share", 1) > 1:
            raise ValueError("share is between 0 and 1")
        parameters = dict(kind.parameters)
        for name, value in given.items():
            if name not in parameters:
                raise ValueError(f"{raw['kind']} takes no {name!r}")
            parameters[name] = _fitted(name, value, parameters[name], kind.choices.get(name))
        return cls(raw["kind"], parameters, **conditions)

    def strikes(self, endpoint: str, lead: FindLead) -> bool:
        """
        Say whether the fault strikes this call, and count the call if so.

        :param endpoint: Name of the endpoint called.
        :param lead: Finds the lead the call is about.
        """
        if self.endpoint not in (None, endpoint) or self.calls == 0:
            return False
        if self.attribute is not None and lead().get(self.attribute) != self.value:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self._chance.random() >= self.share:
            return False
        if self.calls is not None:
            self.calls -= 1
        self.struck += 1
        return True

    def as_json(self) -> dict[str, object]:
        """Return the fault, with the calls left and the calls struck."""
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
            "struck": self.struck,
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


def _is_sound(value: object, wanted: type | tuple[type, ...]) -> bool:
    """Say whether a value is of a type and, where it counts something, not negative; an empty list says nothing."""
    if isinstance(value, bool) and wanted is not bool:
        return False
    return isinstance(value, wanted) and value != () and not (isinstance(value, (int, float)) and not value >= 0)


def _fitted(name: str, value: object, default: object, choices: tuple[object, ...] | None) -> object:
    if isinstance(default, str) and type(value) is int:
        value = str(value)  # shapes such as 429 read naturally as numbers
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(word, str) for word in value):
        value = tuple(value)
    if type(value) is not type(default) or not _is_sound(value, type(default)) or (choices and value not in choices):
        raise ValueError(f"{name} does not take {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults that strike one call, by the way they strike."""

    struck: Mapping[Way, Fault]

    def parameters(self, way: Way, *kinds: str) -> Mapping[str, Any] | None:
        """
        Return the parameters of the fault striking in a way, if it is of one of the kinds.

        :param way: The way.
        :param kinds: The kinds of interest.
        """
        fault = self.struck.get(way)
        return fault.parameters if fault and fault.kind in kinds else None

    @property
    def names(self) -> list[str]:
        """The kinds of all faults that strike."""
        return [fault.kind for fault in self.struck.values()]

    def fate(self) -> Fate:
        """Return the fate of a request submitted by this call."""
        errors = self.parameters(Way.QUEUE, "system_errors") or {}
        reject = self.parameters(Way.QUEUE, "reject")
        loss = self.parameters(Way.QUEUE, "silent_loss") or {}
        hidden = self.parameters(Way.VIEW, "hidden") or {}
        flap = self.parameters(Way.VIEW, "flap") or {}
        return Fate(
            system_errors=errors.get("count", 0),
            rejection=MXError(reject["exception"], reject["message"]) if reject else None,
            lost=loss.get("shown"),
            hidden_looks=hidden.get("looks", 0),
            flap=flap.get("words", ()),
            flap_looks=flap.get("looks", 0),
        )


class Faults:
    """The faults of one account, in the order they were set."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """
        Set a fault.

        :param fault: The fault.
        :return: The id to clear it by.
        """
        fault.id = next(self._ids)
        self.active.append(fault)
        return fault.id

    def clear(self, fault_id: int | None = None) -> None:
        """
        Clear one fault, or all.

        :param fault_id: Which one; all when left out.
        """
        self.active = [fault for fault in self.active if fault_id is not None and fault.id != fault_id]

    def door(self, endpoint: str) -> Fault | None:
        """
        Return the fault that turns a call away unread; one that depends on the lead cannot.

        :param endpoint: Name of the endpoint called.
        """
        at_door = (f for f in self.active if KINDS[f.kind].way is Way.DOOR and f.attribute is None)
        return next((fault for fault in at_door if fault.strikes(endpoint, dict)), None)

    def plan(self, endpoint: str, lead: FindLead, is_submission: bool) -> Plan:
        """
        Return the faults that strike a call whose body was read, and count them.

        :param endpoint: Name of the endpoint called.
        :param lead: Finds the lead the call is about.
        :param is_submission: Whether the call puts a request into the queue.
        """
        struck: dict[Way, Fault] = {}
        for fault in self.active:
            way = KINDS[fault.kind].way
            if way in struck or (way is Way.DOOR and fault.attribute is None):
                continue
            if way in (Way.QUEUE, Way.VIEW) and not is_submission:
                continue
            if fault.strikes(endpoint, lead):
                struck[way] = fault
        return Plan(struck)
