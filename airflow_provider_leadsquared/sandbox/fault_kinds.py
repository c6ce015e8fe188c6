"""The table of fault kinds: at which stage of a call each one takes effect, its parameters, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from airflow_provider_leadsquared.sandbox.endpoints import Action


class Stage(Enum):
    """
    The stage of a call at which a fault takes effect.

    At each stage, the first matching fault takes effect on a call; faults of different stages combine.
    """

    CONNECTION = auto()
    """The connection is reset and the call is not processed."""
    REPLACEMENT = auto()
    """Another response is sent in place of the normal one."""
    ALTERATION = auto()
    """The call is processed, and its normal response is changed. No effect on a replaced response."""
    HEADER = auto()
    """A header is added to whatever response is sent."""
    DELIVERY = auto()
    """The call is processed, but its response does not arrive, or not whole."""
    DELAY = auto()
    """The call is processed at once and its response is sent later."""
    CLOSING = auto()
    """The response arrives whole, and the connection does not stay open for the next call."""
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
    """The values that a parameter, or each item of a list, may have. A parameter that is not listed may have any."""
    action: Action | None = None
    """The only calls that it affects, None for all."""


_ACCEPTED = {"accepted": False}
ODD_STATUS_SHAPES = (
    "is_created_text",
    "is_created_capital",
    "is_created_digit",
    "is_created_number",
    "number_ids",
    "encoded_twice",
    "message_bom",
    "bom",
    "inner_failure",
    "reason_in_message",
    "reason_as_text",
)

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
        "LeadSquared's error body with any HTTP code, including 200; an empty exception leaves out its type",
        {"http": tuple(range(200, 600))},
    ),
    "gateway": FaultKind(
        Stage.REPLACEMENT,
        {"http": 504, **_ACCEPTED},
        "an error of the gateway",
        {"http": (504, 400, 403, 404, 413, 429, 500, 502, 503)},
    ),
    "garbage": FaultKind(
        Stage.REPLACEMENT,
        {"shape": "html", "megabytes": 20, **_ACCEPTED},
        "HTTP 200 with a body that is not a valid response",
        {"shape": ("html", "broken_json", "empty", "wrong_types", "no_request_id", "huge")},
    ),
    "html_page": FaultKind(
        Stage.REPLACEMENT,
        {"http": 404, **_ACCEPTED},
        "an HTML page with any HTTP code, as a proxy or a captive portal sends it",
        {"http": tuple(range(200, 600))},
    ),
    "redirect": FaultKind(
        Stage.REPLACEMENT,
        {"http": 302, "location": "https://login.example.org/", **_ACCEPTED},
        "a redirect to another address",
        {"http": (301, 302, 303, 307, 308)},
    ),
    "repeated_request_id": FaultKind(
        Stage.REPLACEMENT,
        {"accepted": True},
        "the receipt has the RequestID of the receipt before, as from a cache; the first receipt is never replaced",
        action=Action.SUBMIT,
    ),
    "wrong_host": FaultKind(
        Stage.REPLACEMENT,
        {"host": "asyncapi-us11.leadsquared.com"},
        "HTTP 401 that names another host as the right one",
    ),
    "keys_revoked": FaultKind(Stage.REPLACEMENT, {}, "the response to wrong keys"),
    "unknown_request": FaultKind(Stage.REPLACEMENT, {}, "the response to an unknown RequestID"),
    "other_code": FaultKind(
        Stage.ALTERATION,
        {"http": 202, "body": "kept"},
        "the normal response to a call that succeeds, with another HTTP code, and with or without its body",
        {"http": tuple(range(201, 300)), "body": ("kept", "empty")},
    ),
    "odd_receipt": FaultKind(
        Stage.ALTERATION,
        {"shapes": ("bom",)},
        "the receipt in a form that is not documented but still has one meaning",
        {"shapes": ("bom", "other_id_key", "no_status")},
        action=Action.SUBMIT,
    ),
    "odd_status": FaultKind(
        Stage.ALTERATION,
        {"shapes": ("is_created_text",)},
        "the status response in a form that is not documented but still has one meaning",
        {"shapes": ODD_STATUS_SHAPES},
        action=Action.STATUS,
    ),
    "retry_after": FaultKind(
        Stage.HEADER,
        {"form": "seconds", "seconds": 30},
        "a Retry-After header; combine it with a fault that replaces the response",
        {"form": ("seconds", "date", "past_date", "far_date", "zero", "negative", "fraction", "huge", "garbage")},
    ),
    "lost_response": FaultKind(
        Stage.DELIVERY,
        {"how": "close", "seconds": 3600.0},
        "process the call, then close the connection without a response, or send nothing for that many real seconds",
        {"how": ("close", "hang")},
    ),
    "reset": FaultKind(Stage.DELIVERY, {}, "process the call, send half of the response, then reset the connection"),
    "close_connection": FaultKind(
        Stage.CLOSING,
        {"when": "after_response"},
        "close the connection right after the response, with or without a Connection: close header, "
        "or reset it when the next call comes on it",
        {"when": ("after_response", "announced", "at_next_call")},
    ),
    "system_errors": FaultKind(
        Stage.QUEUE,
        {"count": 1},
        "that many attempts fail with a system error before the request is processed",
        action=Action.SUBMIT,
    ),
    "reject": FaultKind(
        Stage.QUEUE,
        {"exception": "MXInvalidInputException", "message": "Invalid Input! Parameter Name: Sandbox"},
        "the request is rejected when it is processed",
        action=Action.SUBMIT,
    ),
    "silent_loss": FaultKind(
        Stage.QUEUE,
        {"status": "in_queue"},
        "accepted but never processed; polls show In-Queue for ever, or an unknown RequestID",
        {"status": ("in_queue", "unknown")},
        action=Action.SUBMIT,
    ),
    "hidden": FaultKind(
        Stage.STATUS, {"polls": 3}, "the RequestID is unknown for that many polls", action=Action.SUBMIT
    ),
    "flap": FaultKind(
        Stage.STATUS,
        {"polls": 6, "statuses": ("In-Queue", "ERROR")},
        "that many polls get these statuses in turn instead of the real one",
        action=Action.SUBMIT,
    ),
}
