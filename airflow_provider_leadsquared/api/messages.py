"""
Requests as data: what to send for each call, before anything is sent.

A transport (``requests`` for one call, ``aiohttp`` for many) takes a :class:`Request`, puts it on the wire, and
hands what comes back to the readers in ``answers`` as an :class:`Answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.endpoints import (
    LEADS_METADATA,
    SYNC_LEAD_CAPTURE,
    USER_BY_ACCESS_KEY,
    Endpoint,
    Host,
    KeyPair,
)

#: What LeadSquared does to an existing lead; absent, every attribute that is sent overwrites.
LEAD_UPDATE_BEHAVIORS = ("DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields")


@dataclass(frozen=True, slots=True)
class Request:
    """
    One call, ready for any transport.

    :param endpoint: The call that it makes.
    :param url: The whole URL. Never shown: the query may hold keys.
    :param headers: Header names and values. Never shown.
    :param body: The JSON body, None for GET. Never shown.
    """

    endpoint: Endpoint
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False, default=None)

    @property
    def label(self) -> str:
        """Name the call in messages, without query or host."""
        return self.endpoint.label


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came back, unread.

    :param status_code: The HTTP code.
    :param body: The body as it came. Never shown: it may echo a lead.
    :param content_type: The header's media type, to describe a body that is no JSON.
    """

    status_code: int
    body: bytes = field(repr=False)
    content_type: str = ""


def submit_lead(account: Account, body: bytes, *, lead_update_behavior: str | None = None) -> Request:
    """
    Submit one lead to be captured asynchronously.

    :param lead_update_behavior: One of :data:`LEAD_UPDATE_BEHAVIORS`. LeadSquared documents it for the synchronous
        call and says that the asynchronous one works alike; whether it honours it is not verified.
    :raises ValueError: ``lead_update_behavior`` is none of those.
    """
    return _request(account, account.lead_capture.submit, _behavior(lead_update_behavior), body)


def ask_status(account: Account, request_id: str) -> Request:
    """Ask what became of one RequestId."""
    return _request(account, account.lead_capture.status, {"RequestID": request_id})


def ask_metrics(account: Account, *, with_key_pair: bool = False) -> Request:
    """
    Ask how busy the queue is.

    :param with_key_pair: Send the access and secret keys too. LeadSquared's pages disagree on whether they are needed.
    """
    keys = {"accessKey": account.access_key, "secretKey": account.secret_key} if with_key_pair else {}
    return _request(account, account.lead_capture.metrics, keys)


def capture_lead(account: Account, body: bytes, *, lead_update_behavior: str | None = None) -> Request:
    """
    Capture one lead at once.

    :raises ValueError: ``lead_update_behavior`` is none of :data:`LEAD_UPDATE_BEHAVIORS`.
    """
    return _request(account, SYNC_LEAD_CAPTURE, _behavior(lead_update_behavior), body)


def list_lead_fields(account: Account, *, with_options: bool = True) -> Request:
    """
    Ask for the account's lead fields.

    :param with_options: Include the values of dropdowns, which make up most of the answer.
    """
    return _request(account, LEADS_METADATA, {} if with_options else {"excludeOptionSets": "1"})


def identify_user(account: Account) -> Request:
    """Ask whose keys these are and which host serves them."""
    return _request(account, USER_BY_ACCESS_KEY, {})


def _behavior(value: str | None) -> dict[str, str]:
    if value is None:
        return {}
    if value not in LEAD_UPDATE_BEHAVIORS:
        raise ValueError(f"lead_update_behavior must be one of {', '.join(LEAD_UPDATE_BEHAVIORS)}, or None")
    return {"LeadUpdateBehavior": value}


def _request(account: Account, endpoint: Endpoint, query: dict[str, str], body: bytes | None = None) -> Request:
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if endpoint.host is Host.ASYNC:
        headers["x-api-key"] = account.async_api_key
    if endpoint.key_pair is KeyPair.QUERY:
        query = {"accessKey": account.access_key, "secretKey": account.secret_key, **query}
    elif endpoint.key_pair is KeyPair.HEADERS:
        headers |= {"x-LSQ-AccessKey": account.access_key, "x-LSQ-SecretKey": account.secret_key}
    # Access keys hold a '$', which must travel percent-encoded.
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return Request(endpoint, f"{account.url(endpoint.host)}{endpoint.path}{'?' if text else ''}{text}", headers, body)
