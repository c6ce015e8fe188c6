"""
Requests as data: what to send for each call, before anything is sent.

A transport (``requests`` for one call, ``aiohttp`` for many) sends a :class:`Request` and hands what comes back to the
readers in ``responses`` as a :class:`Response`.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE, AsyncApi
from airflow_provider_leadsquared.api.endpoints import (
    LEADS_METADATA,
    SYNCHRONOUS_LEAD_CAPTURE,
    USER_BY_ACCESS_KEY,
    Endpoint,
    Host,
    KeyPair,
)
from airflow_provider_leadsquared.api.http_dates import server_time


@dataclass(frozen=True, slots=True)
class Request:
    """
    One call, ready for any transport.

    :param endpoint: The call that it makes.
    :param url: The whole URL. Never shown: the query may hold keys.
    :param headers: Header names and values. Never shown.
    :param body: The JSON body, None for GET. Never shown.
    :param keys: The account's credentials in all their spellings, to be masked in responses. Never shown.
    """

    endpoint: Endpoint
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False, default=None)
    keys: tuple[str, ...] = field(repr=False, default=())

    @property
    def label(self) -> str:
        """The name of the call in messages, without query or host."""
        return self.endpoint.label

    def with_body(self, body: bytes) -> Request:
        """Return the same call with another body."""
        return Request(self.endpoint, self.url, self.headers, body, self.keys)

    def with_last_value(self, value: str) -> Request:
        """Return the same call with a value for the last parameter of its query, which has none yet."""
        return Request(self.endpoint, self.url + quote(value, safe=""), self.headers, self.body, self.keys)


@dataclass(frozen=True, slots=True)
class Response:
    """
    What came back, not yet parsed.

    :param status_code: The HTTP code.
    :param body: The body as it came. Never shown: it may repeat a lead.
    :param content_type: The header's media type, to describe a body that is no JSON.
    :param headers: ``Date`` and ``Retry-After``, where the response has them. Never shown.
    """

    status_code: int
    body: bytes = field(repr=False)
    content_type: str = ""
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def server_time(self) -> float | None:
        """The time on the server's clock (``Date``), whole seconds since the epoch; None where it is not given."""
        return server_time(self.headers)

    @property
    def is_html(self) -> bool:
        """Whether this is a page for people. LeadSquared sends none: a server on the way does."""
        return self._begins_with(b"<") or self.content_type == "text/html"

    @property
    def may_be_leadsquareds(self) -> bool:
        """Whether the body is an object, or empty; pages and plain texts are of a server on the way."""
        return not self.body.strip() or self._begins_with(b"{")

    def _begins_with(self, sign: bytes) -> bool:
        return self.body[:1_000].removeprefix(codecs.BOM_UTF8).lstrip().startswith(sign)


def submit(account: Account, api: AsyncApi, body: bytes, parameters: Mapping[str, str] | None = None) -> Request:
    """
    Submit one record to an asynchronous API.

    :param parameters: Query parameters, those that the API's row allows.
    :raises ValueError: A parameter or its value is not among those.
    """
    return _request(account, api.submit, check_parameters(api, parameters or {}), body)


def get_status(account: Account, api: AsyncApi, request_id: str) -> Request:
    """Ask for the outcome of one RequestId."""
    return _request(account, api.status, {"RequestID": request_id})


def get_metrics(account: Account, api: AsyncApi, *, with_key_pair: bool = False) -> Request:
    """
    Ask how busy the queue is.

    :param with_key_pair: Send the access and secret keys too. LeadSquared's pages disagree on whether they are needed.
    """
    keys = {"accessKey": account.access_key, "secretKey": account.secret_key} if with_key_pair else {}
    return _request(account, api.metrics, keys)


def capture_lead(account: Account, body: bytes, parameters: Mapping[str, str] | None = None) -> Request:
    """
    Capture one lead with the synchronous call.

    :raises ValueError: As for :func:`submit`.
    """
    return _request(account, SYNCHRONOUS_LEAD_CAPTURE, check_parameters(LEAD_CAPTURE, parameters or {}), body)


def list_lead_fields(account: Account, *, with_options: bool = True) -> Request:
    """
    Ask for the account's lead fields.

    :param with_options: Include the values of dropdowns, which make up most of the response.
    """
    return _request(account, LEADS_METADATA, {} if with_options else {"excludeOptionSets": "1"})


def identify_user(account: Account) -> Request:
    """Ask whose keys these are and which host serves them."""
    return _request(account, USER_BY_ACCESS_KEY, {})


def check_parameters(api: AsyncApi, parameters: Mapping[str, str]) -> dict[str, str]:
    """
    Return query parameters that an API's row allows.

    :raises ValueError: A parameter or its value is not among those; names it and what may be written.
    """
    for name, value in parameters.items():
        if name not in api.parameters:
            allowed = ", ".join(api.parameters) or "none"
            raise ValueError(f"the API {api.name} takes no parameter {name!r}; those that it takes: {allowed}")
        if value not in api.parameters[name]:
            raise ValueError(f"{name} must be one of {', '.join(api.parameters[name])}, or None")
    return dict(parameters)


def _request(account: Account, endpoint: Endpoint, query: dict[str, str], body: bytes | None = None) -> Request:
    # A proxy must not give the response of an earlier call.
    headers = {"Accept": "application/json", "Cache-Control": "no-cache"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if endpoint.host is Host.ASYNCHRONOUS:
        headers["x-api-key"] = account.async_api_key
    if endpoint.key_pair is KeyPair.QUERY:
        query = {"accessKey": account.access_key, "secretKey": account.secret_key, **query}
    elif endpoint.key_pair is KeyPair.HEADERS:
        headers |= {"x-LSQ-AccessKey": account.access_key, "x-LSQ-SecretKey": account.secret_key}
    # Access keys hold a '$', which must be percent-encoded.
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    url = f"{account.url(endpoint.host)}{endpoint.path}{'?' if text else ''}{text}"
    keys = (account.access_key, account.secret_key, account.async_api_key)
    return Request(endpoint, url, headers, body, (*keys, *(quote(key, safe="") for key in keys)))
