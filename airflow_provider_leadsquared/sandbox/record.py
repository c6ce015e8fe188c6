"""The record of what the sandbox received and what it responded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_leadsquared.sandbox.endpoints import Endpoint


@dataclass(slots=True)
class Post:
    """One POST received; ``at`` is sandbox time and ``at_real`` real time, in seconds since 1970."""

    number: int
    at: float
    at_real: float
    endpoint: Endpoint
    behavior: str | None
    """``LeadUpdateBehavior`` of the query."""
    body: bytes | None
    """None if no body was read."""
    faults: Sequence[str] = ()
    http: int | None = None
    """The HTTP code sent, None if no response was sent."""
    request_id: str | None = None
    """Set whenever a request was accepted, even if the client did not receive the response."""

    def as_json(self) -> dict[str, object]:
        """Return the POST as JSON; ``lead`` is null if the body has no lead."""
        return {
            "number": self.number,
            "at": self.at,
            "at_real": self.at_real,
            "endpoint": self.endpoint.name,
            "update_behavior": self.behavior,
            "body_sha256": None if self.body is None else hashlib.sha256(self.body).hexdigest(),
            "lead": self.endpoint.read_lead(self.body or b""),
            "faults": list(self.faults),
            "http": self.http,
            "request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll of a request's status; ``at`` is sandbox time and ``at_real`` real time, in seconds since 1970."""

    number: int
    at: float
    at_real: float
    endpoint: str
    request_id: str
    http: int | None
    """The HTTP code sent, None if no response was sent."""
    status: str | None
    """The ``Status`` sent, None if the response had none or was not sent."""
    faults: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Return the poll as JSON."""
        return {
            "number": self.number,
            "at": self.at,
            "at_real": self.at_real,
            "endpoint": self.endpoint,
            "request_id": self.request_id,
            "http": self.http,
            "status": self.status,
            "faults": list(self.faults),
        }
