"""How LeadSquared says that there were too many calls, and how long to wait then."""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_provider_leadsquared.api.errors import RateLimitError
from airflow_provider_leadsquared.api.http_dates import header, parse_http_date, server_time

#: Seconds to wait after a rate limit that names no window; LeadSquared's limits are all "in 5 second(s)".
RATE_WINDOW = 5.0
#: Seconds that a server may ask to wait at the most. Our own figure: after it one call finds out whether to wait on.
LONGEST_HOLD = 60.0

_NAMES = re.compile(r"exceeded the limit|rate ?limit|throttl|too many requests|limit exceeded", re.IGNORECASE)
_WINDOW = re.compile(r"in (\d{1,300}) second", re.IGNORECASE)
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """
    Return how long a server asks to wait before the next call (the ``Retry-After`` header).

    :param headers: The response's headers.
    :param now: Seconds since the epoch, for a date in a response that has no date of its own.
    :return: Seconds from 0 to :data:`LONGEST_HOLD`; None if the header is missing or holds neither seconds nor a date.
    """
    text = header(headers, "Retry-After")
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_HOLD)
    until = parse_http_date(text)
    if until is None:
        return None
    # A server's date counts on the server's own clock, which may differ from ours.
    sent_at = server_time(headers)
    return min(max(until - (now if sent_at is None else sent_at), 0.0), LONGEST_HOLD)


def names_rate_limit(text: str) -> bool:
    """
    Tell whether a text speaks of a rate limit. An HTTP 429 is one whatever its text.

    :param text: An error's text or its exception type; a lead's own values are masked in it.
    """
    return _NAMES.search(text) is not None


def rate_limit_error(what: str, text: str) -> RateLimitError:
    """
    Return the error of a rate limit.

    :param what: The call and its HTTP code, for the message.
    :param text: LeadSquared's text, which may name the window; at most :data:`LONGEST_HOLD` is taken from it.
    """
    window = _WINDOW.search(text)
    seconds = min(float(window.group(1)), LONGEST_HOLD) if window else RATE_WINDOW
    return RateLimitError(f"{what}: call limit exceeded", seconds)
