"""
What every response of LeadSquared has in common: from (HTTP code, headers, bytes) to parsed JSON or a typed error.

An error in the body takes precedence over the HTTP code. Names of keys are compared without case. A string may hold
JSON. Texts that LeadSquared wrote are masked before they enter an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_leadsquared.api.errors import (
    AuthenticationError,
    NoSuchPathError,
    RateLimitError,
    RejectedError,
    ServerError,
    UnexpectedResponseError,
    WrongRegionError,
)
from airflow_provider_leadsquared.api.leads import values_of
from airflow_provider_leadsquared.api.masking import mask_text
from airflow_provider_leadsquared.api.requests import Request, Response

#: Seconds to wait after a rate limit that names no window; LeadSquared's limits are all "in 5 second(s)".
RATE_WINDOW = 5.0

#: A status response, its task, the task's message and that message's own: nothing that is read lies deeper.
_ENVELOPE_LEVELS = 4

#: Characters of an error text in which the right host is looked for.
_LONGEST_PROSE = 2_000

_RATE_LIMIT = re.compile(r"exceeded the limit|rate ?limit|throttl|too many requests|limit exceeded", re.IGNORECASE)
_WINDOW = re.compile(r"in (\d{1,4}) second", re.IGNORECASE)
_AUTHENTICATION = re.compile(r"^MX\w*(unauthori[sz]ed|invalidaccess|authenticationfailed)", re.IGNORECASE)
_LEADSQUARED_HOST = re.compile(r"\b[a-z0-9-]+\.leadsquared\.com\b")


def read_json(request: Request, response: Response) -> Any:
    """
    Return the parsed body of a response that reports no error.

    :raises ApiError: What the response reports.
    """
    what = f"{request.label}: HTTP {response.status_code}"
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        _raise_for_code(request, what, response, "", readable=False)
    if isinstance(data, dict):
        keys = lower_keys(data)
        text = error_text_in(keys)
        if is_error(keys):
            _raise_reported(request, what, response, exception_type_in(keys), text)
        if response.status_code != 200:
            _raise_for_code(request, what, response, text)
    elif response.status_code != 200:
        _raise_for_code(request, what, response, "")
    return data


def _raise_reported(request: Request, what: str, response: Response, kind: str | None, text: str) -> NoReturn:
    """Raise what LeadSquared's own error body reports, whatever the HTTP code."""
    code = response.status_code
    reason = mask_text(text, values_of(request.body))
    # A lead's own words are masked by now: none can be taken for LeadSquared's.
    if code == 429 or _RATE_LIMIT.search(reason) or _RATE_LIMIT.search(kind or ""):
        _raise_rate_limit(what, text)
    if code == 401 or (code == 403 and kind is None) or _AUTHENTICATION.search(kind or ""):
        _raise_authentication(request, what, text)
    if kind is None and code >= 500:
        raise ServerError(what)
    if kind is not None and not kind.startswith("MX") and code not in (400, 404, 413):
        raise ServerError(f"{what}, {kind}")
    label = f"{kind}: " if kind else ""
    raise RejectedError(f"{what}, {label}{reason}", kind, reason)


def _raise_for_code(request: Request, what: str, response: Response, text: str, *, readable: bool = True) -> NoReturn:
    """Raise what the HTTP code says, where the body is not LeadSquared's own."""
    code = response.status_code
    if not readable:
        what = f"{what}, {len(response.body)} bytes of {response.content_type or 'unnamed content'} that are no JSON"
    if code == 429 or (_RATE_LIMIT.search(text) and code != 200):
        _raise_rate_limit(what, text)
    if code == 404 or (code == 403 and text == "Missing Authentication Token"):
        raise NoSuchPathError(f"{what}: the host has no such path; check the connection's hosts")
    if code == 401:
        _raise_authentication(request, what, text or response.body[:_LONGEST_PROSE].decode(errors="replace"))
    if code == 403:
        raise AuthenticationError(
            f"{what}: refused at the gateway; check extra 'async_api_key' (x-api-key) first, then the two keys"
        )
    if code in (400, 413):
        reason = "the body is too large" if code == 413 else "the body was not understood"
        raise RejectedError(f"{what}: {reason}", None, reason)
    if code >= 500:
        raise ServerError(what)
    if 300 <= code < 400:
        raise UnexpectedResponseError(f"{what}: a redirect, not followed with keys; check the connection's hosts")
    raise UnexpectedResponseError(f"{what}: no response of LeadSquared's; check the connection's hosts and any proxy")


def _raise_rate_limit(what: str, text: str) -> NoReturn:
    window = _WINDOW.search(text)
    raise RateLimitError(f"{what}: call limit exceeded", float(window.group(1)) if window else RATE_WINDOW)


def _raise_authentication(request: Request, what: str, text: str) -> NoReturn:
    named = _LEADSQUARED_HOST.findall(text[:_LONGEST_PROSE].lower())
    right = next((host for host in named if host != urlsplit(request.url).hostname), None)
    if right:
        raise WrongRegionError(f"{what}: the account lives on another host; LeadSquared names {right}", right)
    raise AuthenticationError(
        f"{what}: the keys were refused; check login (access key), password (secret key) and that the user is active"
    )


def is_error(envelope: Mapping[str, Any]) -> bool:
    """Tell whether an envelope with lower-case keys reports an error."""
    status = envelope.get("status")
    return bool(envelope.get("exceptiontype")) or (isinstance(status, str) and status.strip().upper() == "ERROR")


def exception_type_in(envelope: Mapping[str, Any]) -> str | None:
    """Return the exception's name, only if it looks like one; None where there is none."""
    kind = envelope.get("exceptiontype")
    if not kind:
        return None
    return kind if isinstance(kind, str) and re.fullmatch(r"[A-Za-z_][\w.]{0,99}", kind) else "(unnamed)"


def error_text_in(envelope: Mapping[str, Any]) -> str:
    """Return the error's text; empty where it is none."""
    texts = (envelope.get("exceptionmessage"), envelope.get("message"))
    return next((text for text in texts if isinstance(text, str) and text), "")


def lower_keys(data: Any, levels: int = _ENVELOPE_LEVELS) -> Any:
    """Lower the names of an envelope's keys, which differ between LeadSquared's pages, and unpack its messages."""
    if not isinstance(data, dict) or not levels:
        return data
    lowered = {str(key).lower(): value for key, value in data.items()}
    if "message" in lowered:
        lowered["message"] = _parsed(lowered["message"])
    return {key: lower_keys(value, levels - 1) for key, value in lowered.items()}


def _parsed(value: Any) -> Any:
    """Unpack a JSON object inside a string; anything else comes back as it is."""
    if isinstance(value, str):
        try:
            unpacked = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return unpacked if isinstance(unpacked, dict) else value
    return value
