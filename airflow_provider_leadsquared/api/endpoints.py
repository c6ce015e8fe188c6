"""
The calls that LeadSquared offers and this package makes, as data.

An asynchronous API is one row of :data:`LEAD_CAPTURE`'s shape: where to submit, where to ask for the outcome, where
to ask how busy the queue is. Adding one of LeadSquared's other asynchronous APIs means adding its row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum


class Host(Enum):
    """Which of an account's two hosts serves a call."""

    SYNC = "sync"
    ASYNC = "async"


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
    :param key_pair: Where the access and secret keys travel. Calls on the async host also carry the async API key.
    """

    method: str
    path: str
    host: Host
    key_pair: KeyPair

    @property
    def label(self) -> str:
        """Name the call in messages; holds no query, so no key."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class AsyncApi:
    """
    One asynchronous API: a submission and the two calls that follow it up.

    :param submit: Takes one entity and answers with a RequestId.
    :param status: Tells what became of one RequestId. Every asynchronous API has its own.
    :param metrics: Tells how busy the queue is. Not every account has it.
    """

    submit: Endpoint
    status: Endpoint
    metrics: Endpoint

    def with_paths(self, paths: dict[str, str]) -> AsyncApi:
        """
        Replace paths, for an account whose paths differ from the documented ones.

        :param paths: Any of ``submit``, ``status`` and ``metrics``, each with its path.
        :raises ValueError: A name is unknown or a path does not begin with a slash, or holds more than a path.
        """
        for name, path in paths.items():
            if name not in ("submit", "status", "metrics"):
                raise ValueError(f"unknown path name {name!r}; write submit, status or metrics")
            if not isinstance(path, str) or not re.fullmatch(r"/[^\s?#]*", path):
                raise ValueError(f"the {name} path must begin with '/' and hold no '?', no '#' and no blank")
        return AsyncApi(
            **{
                name: replace(getattr(self, name), path=paths.get(name, getattr(self, name).path))
                for name in ("submit", "status", "metrics")
            }
        )


def _async(path: str, *, status: str, metrics: str) -> AsyncApi:
    """Write a row: submissions carry the key pair in the query, the follow-up calls carry none."""
    return AsyncApi(
        submit=Endpoint("POST", path, Host.ASYNC, KeyPair.QUERY),
        status=Endpoint("GET", status, Host.ASYNC, KeyPair.ABSENT),
        metrics=Endpoint("GET", metrics, Host.ASYNC, KeyPair.ABSENT),
    )


#: Capture a lead, asynchronously. The status path really is ``/lead/status``; the metrics path is not printed on
#: LeadSquared's page and follows the pattern of the one that is.
LEAD_CAPTURE = _async("/lead/capture", status="/lead/status", metrics="/lead/capture/metrics")

#: Capture a lead and wait for the CRM's answer.
SYNC_LEAD_CAPTURE = Endpoint("POST", "/v2/LeadManagement.svc/Lead.Capture", Host.SYNC, KeyPair.HEADERS)

#: The account's lead fields.
LEADS_METADATA = Endpoint("GET", "/v2/LeadManagement.svc/LeadsMetaData.Get", Host.SYNC, KeyPair.HEADERS)

#: Who the key pair belongs to, and which host serves that account. Answers on every region's host; its page
#: documents the keys in the query only.
USER_BY_ACCESS_KEY = Endpoint("GET", "/v2/Authentication.svc/UserByAccessKey.Get", Host.SYNC, KeyPair.QUERY)
