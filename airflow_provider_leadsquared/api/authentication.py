"""How LeadSquared says that it refuses the keys (401, 403), and what is wrong with them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from airflow_provider_leadsquared.api.errors import AuthenticationError, WrongRegionError
from airflow_provider_leadsquared.api.requests import Request

#: Characters of an error text in which the right host is looked for.
LONGEST_TEXT = 2_000

_REFUSED_KEYS = re.compile(r"^MX\w*(unauthori[sz]ed|invalidaccess|authenticationfailed)", re.IGNORECASE)
_LEADSQUARED_HOST = re.compile(r"\b[a-z0-9-]+\.leadsquared\.com\b")


def names_refused_keys(exception_type: str) -> bool:
    """Tell whether the name of an exception says that the keys were refused, whatever the HTTP code."""
    return _REFUSED_KEYS.search(exception_type) is not None


def authentication_error(request: Request, what: str, text: str) -> AuthenticationError:
    """
    Return the error of keys that were refused; a :class:`WrongRegionError` if LeadSquared names another host.

    :param request: The call.
    :param what: The call and its HTTP code, for the message.
    :param text: LeadSquared's text.
    """
    named = _LEADSQUARED_HOST.findall(text[:LONGEST_TEXT].lower())
    right = next((host for host in named if host != urlsplit(request.url).hostname), None)
    if right:
        return WrongRegionError(f"{what}: the account is served by another host; LeadSquared names {right}", right)
    return AuthenticationError(
        f"{what}: the keys were refused; check login (access key), password (secret key) and that the user is active"
    )


def gateway_error(what: str) -> AuthenticationError:
    """
    Return the error of a call that the gateway of the asynchronous host refused (403).

    :param what: The call and its HTTP code, for the message.
    """
    return AuthenticationError(
        f"{what}: refused at the gateway; check extra 'async_api_key' (x-api-key) first, then the two keys"
    )
