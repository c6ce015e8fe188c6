"""The single calls that LeadSquared offers and this package makes, as data. Asynchronous APIs: see ``async_apis``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Host(Enum):
    """Which of an account's two hosts serves a call."""

    SYNCHRONOUS = "synchronous"
    ASYNCHRONOUS = "asynchronous"


class KeyPair(Enum):
    """How a call carries the access key and the secret key."""

    QUERY = "query"
    HEADERS = "headers"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One call: where it goes and what it must carry.

    :param method: ``GET`` or ``POST``; LeadSquared has no other.
    :param path: The path on the host, without a query.
    :param host: The host that serves it.
    :param key_pair: Where the access and secret keys are put. Calls to the asynchronous host also carry the async API
        key.
    """

    method: str
    path: str
    host: Host
    key_pair: KeyPair

    @property
    def label(self) -> str:
        """The name of the call in messages; holds no query, so no key."""
        return f"{self.method} {self.path}"


#: Capture a lead and wait for the CRM's response.
SYNCHRONOUS_LEAD_CAPTURE = Endpoint("POST", "/v2/LeadManagement.svc/Lead.Capture", Host.SYNCHRONOUS, KeyPair.HEADERS)

#: The account's lead fields.
LEADS_METADATA = Endpoint("GET", "/v2/LeadManagement.svc/LeadsMetaData.Get", Host.SYNCHRONOUS, KeyPair.HEADERS)

#: Who the key pair belongs to, and which host serves that account. Responds on every region's host; its page
#: documents the keys in the query only.
USER_BY_ACCESS_KEY = Endpoint("GET", "/v2/Authentication.svc/UserByAccessKey.Get", Host.SYNCHRONOUS, KeyPair.QUERY)
