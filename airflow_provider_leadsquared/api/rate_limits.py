"""How LeadSquared says that there were too many calls, and how long to wait then."""

from __future__ import annotations

import re

from airflow_provider_leadsquared.api.errors import RateLimitError

#: Seconds to wait after a rate limit that names no window; LeadSquared's limits are all "in 5 second(s)".
RATE_WINDOW = 5.0

_NAMES = re.compile(r"exceeded the limit|rate ?limit|throttl|too many requests|limit exceeded", re.IGNORECASE)
_WINDOW = re.compile(r"in (\d{1,4}) second", re.IGNORECASE)


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
    :param text: LeadSquared's text, which may name the window.
    """
    window = _WINDOW.search(text)
    return RateLimitError(f"{what}: call limit exceeded", float(window.group(1)) if window else RATE_WINDOW)
