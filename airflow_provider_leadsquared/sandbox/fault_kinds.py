"""The table of fault kinds: at which stage of a call each one takes effect, its parameters, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Stage(Enum):
    """
    The stage of a call at which a fault takes effect.

    At each stage, the first matching fault takes effect on a call; faults of different stages combine.
    """

    CONNECTION = auto()
    """The connection is reset and the call is not processed."""
    REPLACEMENT = auto()
    """Another response is sent in place of the normal one."""
    DELIVERY = auto()
    """The call is processed, but its response does not arrive, or not whole."""
    DELAY = auto()
    """The call is processed at once and its response is sent later."""
    QUEUE = auto()
    """The request that the call submits has another outcome in the queue."""
    STATUS = auto()
    """Polls of the request that the call submits get another status."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault."""

    stage: Stage
    parameters: Mapping[str, Any]
    """Its own parameters with their defaults. A value must have the type of the default."""
    meaning: str
    choices: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    """The values a parameter may have. A parameter that is not listed may have any."""


_ACCEPTED = {"accepted": False}

FAULT_KINDS: Mapping[str, FaultKind] = {
    "refuse": FaultKind(
        Stage.CONNECTION, {}, "reset the connection without reading the body, like a host that is down"
    ),
    "slow": FaultKind(
        Stage.DELAY, {"seconds": 1.0}, "process the call, then send the response after that many real seconds"
    ),
    "unavailable": FaultKind(Stage.REPLACEMENT, _ACCEPTED, "HTTP 503 with an HTML page"),
    "rate_limit": FaultKind(
        Stage.REPLACEMENT,
        {"shape": "429", "limit": 10},
        "call limit exceeded, in one of its three shapes",
        {"shape": ("429", "403", "200")},
    ),
    "error": FaultKind(
        Stage.REPLACEMENT,
        {
            "http": 500,
            "exception": "NullReferenceException",
            "message": "Object reference not set to an instance of an object.",
            **_ACCEPTED,
        },
        "LeadSquared's error body with any HTTP code, including 200",
        {"http": tuple(range(200, 600))},
    ),
    "gateway": FaultKind(
        Stage.REPLACEMENT, {"http": 504, **_ACCEPTED}, "an error of the gateway", {"http": (429, 500, 502, 504)}
    ),
    "garbage": FaultKind(
        Stage.REPLACEMENT,
        {"shape": "html", "megabytes": 20, **_ACCEPTED},
        "HTTP 200 with a body that is not a valid response",
        {"shape": ("html", "broken_json", "empty", "wrong_types", "no_request_id", "huge")},
    ),
    "wrong_host": FaultKind(
        Stage.REPLACEMENT,
        {"host": "asyncapi-us11.leadsquared.com"},
        "HTTP 401 that names another host as the right one",
    ),
    "keys_revoked": FaultKind(Stage.REPLACEMENT, {}, "the response to wrong keys"),
    "unknown_request": FaultKind(Stage.REPLACEMENT, {}, "the response to an unknown RequestID"),
    "lost_response": FaultKind(
        Stage.DELIVERY,
        {"how": "close", "seconds": 3600.0},
        "process the call, then close the connection without a response, or send nothing for that many real seconds",
        {"how": ("close", "hang")},
    ),
    "reset": FaultKind(Stage.DELIVERY, {}, "process the call, send half of the response, then reset the connection"),
    "system_errors": FaultKind(
        Stage.QUEUE, {"count": 1}, "that many attempts fail with a system error before the request is processed"
    ),
    "reject": FaultKind(
        Stage.QUEUE,
        {"exception": "MXInvalidInputException", "message": "Invalid Input! Parameter Name: Sandbox"},
        "the request is rejected when it is processed",
    ),
    "silent_loss": FaultKind(
        Stage.QUEUE,
        {"status": "in_queue"},
        "accepted but never processed; polls show In-Queue for ever, or an unknown RequestID",
        {"status": ("in_queue", "unknown")},
    ),
    "hidden": FaultKind(Stage.STATUS, {"polls": 3}, "the RequestID is unknown for that many polls"),
    "flap": FaultKind(
        Stage.STATUS,
        {"polls": 6, "statuses": ("In-Queue", "ERROR")},
        "that many polls get these statuses in turn instead of the real one",
    ),
}
