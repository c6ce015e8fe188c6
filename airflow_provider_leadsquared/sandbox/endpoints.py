"""The endpoints of both hosts. Those of the async host follow from the table of asynchronous APIs at every call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from airflow_provider_leadsquared.sandbox.async_apis import ASYNC_APIS, AsyncApi
from airflow_provider_leadsquared.sandbox.capture import read_lead


class Action(Enum):
    """What a call to an endpoint does."""

    SUBMIT = auto()
    STATUS = auto()
    METRICS = auto()
    SYNC_CAPTURE = auto()
    LEAD_FIELDS = auto()
    LEAD_BY_ID = auto()
    LEAD_BY_EMAIL = auto()
    USER = auto()
    NONE = auto()
    """The path does not exist."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint."""

    name: str
    """Its name in faults and records."""
    action: Action
    method: str
    path: str
    needs_key_pair: bool = True
    """Whether access key and secret key are needed. An endpoint of the async host needs ``x-api-key`` as well."""
    api: AsyncApi | None = None
    """The asynchronous API, None on the sync host."""

    @property
    def is_async(self) -> bool:
        """Whether it is on the async host."""
        return not self.path.startswith("/v2/")

    def read_lead(self, body: bytes) -> Mapping[str, str | None] | None:
        """
        Return attributes and values of the lead in the body of a call, None if the body has no lead.

        :param body: The body, empty if the call had none.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
        return self.api.read_lead(text) if self.api else read_lead(text)


_LEADS = "/v2/LeadManagement.svc"
_SYNC_ENDPOINTS = (
    Endpoint("sync_capture", Action.SYNC_CAPTURE, "POST", f"{_LEADS}/Lead.Capture"),
    Endpoint("lead_fields", Action.LEAD_FIELDS, "GET", f"{_LEADS}/LeadsMetaData.Get"),
    Endpoint("lead_by_id", Action.LEAD_BY_ID, "GET", f"{_LEADS}/Leads.GetById"),
    Endpoint("lead_by_email", Action.LEAD_BY_EMAIL, "GET", f"{_LEADS}/Leads.GetByEmailaddress"),
    Endpoint("user", Action.USER, "GET", "/v2/Authentication.svc/UserByAccessKey.Get"),
)


def endpoints() -> Iterator[Endpoint]:
    """Yield every endpoint that exists now."""
    for api in ASYNC_APIS.values():
        yield Endpoint(api.endpoint_name("submit"), Action.SUBMIT, "POST", api.submit_path, api=api)
        yield Endpoint(api.endpoint_name("status"), Action.STATUS, "GET", api.status_path, False, api)
        for path in api.metrics_paths:
            yield Endpoint(api.endpoint_name("metrics"), Action.METRICS, "GET", path, False, api)
    yield from _SYNC_ENDPOINTS


def find_endpoint(method: str, path: str) -> Endpoint | None:
    """
    Return the endpoint of a call, None if there is none.

    If two APIs have the same method and path, the first one in the table is returned.

    :param method: HTTP method, in capital letters.
    :param path: Path without the query, compared exactly.
    """
    return next((one for one in endpoints() if one.method == method and one.path == path), None)


def endpoint_names() -> frozenset[str]:
    """Return the names that the ``endpoint`` condition of a fault may have."""
    return frozenset(endpoint.name for endpoint in endpoints())
