"""Every switch of the sandbox with its default, choices and meaning, in one table for CLI, HTTP and Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

DOCUMENTED_RETRIES = (30.0, 120.0, 420.0, 900.0, 1800.0, 2700.0, 3600.0, 5400.0, 7200.0, 10800.0)


def _switch(default: Any, help_text: str, *choices: str, minimum: float | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices, "minimum": minimum})


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The switches of one sandbox account.

    The defaults follow LeadSquared's documents; where the documents are open, the more probable reading.
    """

    # Keys and hosts
    access_key: str = _switch("u$r" + "0badcafe" * 4, "access key of the only user")
    secret_key: str = _switch("feedbeef" * 5, "secret key of the only user")
    api_key: str = _switch("SandboxKey" * 4, "x-api-key of the async host")
    account_code: str = _switch("90001", "short code of the account to which the keys belong")
    async_host: str = _switch("", "host of the async API; calls with another Host header get 401. Empty: any host")
    sync_host: str = _switch("", "host of the sync API; calls with another Host header get 401. Empty: any host")
    async_header_keys: bool = _switch(False, "accept x-LSQ-* headers on async submissions (documented: query only)")
    metrics: bool = _switch(True, "the account has the metrics endpoints")
    metrics_need_keys: bool = _switch(False, "metrics need the key pair in the query too")
    metrics_rate_key: str = _switch(
        "ProcessingRatePerMinute",
        "spelling of the rate in metrics",
        "ProcessingRatePerMinute",
        "ProcessingratePerMinute",
    )

    # Queue and retries
    rate: float = _switch(60000.0, "attempts the queue makes per sandbox minute", minimum=0.001)
    queue_delay: float = _switch(1.0, "sandbox seconds before a request's first attempt", minimum=0)
    ladder: str = _switch("gaps", "listed retry times count from the last attempt or from the first", "gaps", "offsets")
    retries: tuple[float, ...] = _switch(DOCUMENTED_RETRIES, "listed retry times in sandbox seconds")
    status_between_retries: str = _switch("In-Queue", "status between retries, such as In-Queue, ERROR or FAILURE")
    status_queued: str = _switch("In-Queue", "status of a request that waits for its first attempt")
    status_success: str = _switch("Success", "final status of a request that succeeded")
    status_rejected: str = _switch("FAILURE", "final status after an application error")
    status_failed: str = _switch("ERROR", "final status after a system error at the last retry")

    # Shapes of responses
    status_id_key: str = _switch(
        "RequestId", "spelling of the id in status responses", "RequestId", "RequestID", "requestid"
    )
    request_id_form: str = _switch(
        "uuid", "form of RequestIDs; text has characters that a URL must encode", "uuid", "upper", "number", "text"
    )
    date_header: str = _switch(
        "real", "Date header of responses: real time, sandbox time, or none", "real", "sandbox", "missing"
    )
    date_offset: float = _switch(0.0, "seconds by which the Date header is ahead, negative if it is behind")
    status_message: str = _switch(
        "string", "Message of a status response: JSON in a string, or an object", "string", "object"
    )
    rejection_shape: str = _switch(
        "failure",
        "a rejected request has the status of a failure, or Success with an error in Message",
        "failure",
        "inner",
    )
    unknown_request: str = _switch(
        "404", "response to an unknown RequestID; 200 has no TaskStatus", "404", "200", "400"
    )
    error_http: str = _switch("500", "HTTP code of application errors on the sync host", "500", "200")

    # Call limit
    rate_limit: int = _switch(0, "sync calls allowed per 5 sandbox seconds; 0: no limit", minimum=0)
    rate_limit_shape: str = _switch("429", "HTTP code of a call over the limit", "429", "403", "200")
    rate_limit_async: bool = _switch(False, "count async calls too (documented: no limit)")

    # Capture rules
    unique_fields: tuple[str, ...] = _switch(("EmailAddress", "Phone"), "fields whose values belong to one lead only")
    phone_match: str = _switch(
        "fallback",
        "a lead is searched by phone if its e-mail matches nothing, only if it has no e-mail, or only with SearchBy",
        "fallback",
        "alone",
        "never",
    )
    phone_spelling: str = _switch(
        "normalise",
        "phones are stored and compared as +91-9000000001, only compared in that form, or neither",
        "normalise",
        "compare",
        "keep",
    )
    value_case: str = _switch(
        "ignore", "letter case of values, other than e-mail addresses, by which leads are searched", "ignore", "exact"
    )
    country_code: str = _switch("91", "default country code of phones")
    async_update_behavior: bool = _switch(True, "async submissions use LeadUpdateBehavior")
    unknown_update_behavior: str = _switch("reject", "an unknown LeadUpdateBehavior", "reject", "ignore")
    source_on_recapture: str = _switch("keep", "source fields of a lead captured again", "keep", "overwrite")
    attribute_case: str = _switch("exact", "letter case of attribute names", "exact", "ignore")
    repeated_attribute: str = _switch("reject", "one attribute twice in one lead", "reject", "last")
    overlong: str = _switch("truncate", "text longer than its field", "reject", "truncate", "accept")
    wrong_type: str = _switch("reject", "value that is not of its field's type", "reject", "accept")
    dropdown: str = _switch("accept", "value outside a dropdown's options", "accept", "reject")
    null_value: str = _switch("clear", "null as a value", "clear", "ignore", "reject")
    mandatory: str = _switch("reject", "new lead without a mandatory field", "reject", "accept")
    locked: str = _switch(
        "reject", "change of a field with LockAfterCreate on a known lead", "reject", "accept", "ignore"
    )

    # Leads that were merged into another or deleted
    merged_capture: str = _switch(
        "reject",
        "ProspectID of such a lead: rejected, matches nothing, or leads to the lead that is left",
        "reject",
        "no_match",
        "survivor",
    )
    merged_read: str = _switch(
        "empty",
        "Leads.GetById of such a lead: nothing, the lead that is left, or an error",
        "empty",
        "survivor",
        "error",
    )

    def changed(self, changes: Mapping[str, object]) -> Settings:
        """
        Return a copy of these settings with some switches changed.

        :param changes: Switch names and their new values.
        :raises ValueError: If a switch does not exist or a value is wrong.
        """
        known = {spec.name: spec for spec in fields(self)}
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no switch {name!r}")
            checked[name] = _converted(name, value, known[name].default, known[name].metadata)
        return replace(self, **checked)

    def as_json(self) -> dict[str, object]:
        """Return every switch and its value."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}


def _converted(name: str, value: object, default: object, rules: Mapping[str, Any]) -> object:
    """Return the value in the type of the switch; raise ValueError if it is wrong."""
    converted = _as_type_of(default, value)
    if converted is None:
        raise ValueError(f"switch {name!r} cannot be {value!r}")
    if rules["choices"] and converted not in rules["choices"]:
        raise ValueError(f"switch {name!r} must be one of {', '.join(rules['choices'])}")
    if rules["minimum"] is not None and not (isinstance(converted, (int, float)) and converted >= rules["minimum"]):
        raise ValueError(f"switch {name!r} must be at least {rules['minimum']:g}")
    return converted


def _as_type_of(default: object, value: object) -> object | None:
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        parts = [_as_type_of(default[0], part) for part in value]
        negative = any(isinstance(part, float) and part < 0 for part in parts)
        return None if None in parts or negative else tuple(parts)
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(default, bool) and isinstance(value, bool) else None
    if isinstance(default, float) and isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(default, str) and isinstance(value, int):
        return str(value)  # so that a choice such as "404" may be given as a number
    return value if type(value) is type(default) else None
